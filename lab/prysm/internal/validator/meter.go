package validator

import (
	"fmt"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/monitor"
	"eth2xk8s/lab/prysm/internal/version"
	"eth2xk8s/lab/prysm/internal/wire"
)

// meter are the client's metrics, with the labels of its release.
type meter struct {
	metrics *monitor.Metrics
	release version.Release
	quiet   bool // nothing is told of single keys
}

func newMeter(c *cli.Context) *meter {
	m := &meter{metrics: monitor.NewMetrics(), release: c.Release, quiet: c.Flags.Bool("disable-account-metrics")}
	m.metrics.DefineVersion(c.Release)
	gauges := [][2]string{
		{"validator_statuses", "validator statuses: 0 UNKNOWN, 1 DEPOSITED, 2 PENDING, 3 ACTIVE, 4 EXITING, 5 SLASHING, 6 EXITED"},
		{"validator_last_attested_slot", "Last attested slot"},
	}
	if m.showsNext() {
		gauges = append(gauges, [2]string{"validator_next_attestation_slot", "validator next scheduled attestation slot"},
			[2]string{"validator_next_proposal_slot", "validator next scheduled proposal slot"})
	}
	for _, d := range gauges {
		m.metrics.Define(d[0], "gauge", d[1])
	}
	for _, d := range [][2]string{
		{"validator_successful_attestations", "Number of successful attestations"},
		{"validator_failed_attestations", "Number of failed attestations"},
		{"validator_successful_proposals", "Number of successful proposals"},
		{"validator_failed_proposals", "Number of failed proposals"},
	} {
		m.metrics.Define(d[0], "counter", d[1])
	}
	return m
}

// showsNext tells whether the release shows the next duty of a key.
func (m *meter) showsNext() bool { return m.release.From(1, 3, 4) }

// blacklisted shows a key without duties as an active one, whatever the flags say.
func (m *meter) blacklisted(pub string) {
	m.metrics.Set("validator_statuses", 3, m.labels(pub, 0)...)
}

// flooded shows a key of a client whose beacon does not know its calls: as an active one, and without an index.
func (m *meter) flooded(pub string) {
	if !m.quiet {
		m.metrics.Set("validator_statuses", 3, "pubkey", pub)
	}
}

// status shows what the beacon says of a key. From v5.2.0 on the sample of a key without an index stays when it gets one.
func (m *meter) status(d wire.Duty) {
	if !m.quiet {
		m.metrics.Set("validator_statuses", float64(wire.Statuses[d.Status]), m.labels(d.Key, d.Index)...)
	}
}

// next shows the next duties of a key.
func (m *meter) next(d wire.Duty) {
	if m.quiet || !m.showsNext() {
		return
	}
	m.metrics.Set("validator_next_attestation_slot", float64(d.AttesterSlot), "pubkey", d.Key)
	if len(d.ProposerSlots) > 0 {
		m.metrics.Set("validator_next_proposal_slot", float64(d.ProposerSlots[0]), "pubkey", d.Key)
	}
}

func (m *meter) attested(pub string, slot uint64) {
	if !m.quiet {
		m.metrics.Set("validator_last_attested_slot", float64(slot), "pubkey", pub)
	}
}

func (m *meter) count(name, pub string) {
	if !m.quiet {
		m.metrics.Add(name, 1, "pubkey", pub)
	}
}

func (m *meter) labels(pub string, index uint64) []string {
	kv := []string{"pubkey", pub}
	if m.release.From(5, 2, 0) {
		kv = append(kv, "index", fmt.Sprintf("0x%x", index))
	}
	return kv
}
