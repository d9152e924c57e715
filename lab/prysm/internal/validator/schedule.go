package validator

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/wire"
)

const noDutiesText = "Not including slashable public key from slashing protection import in request to update validator duties"

// schedule goes through the slots and gives each key its duties.
type schedule struct {
	*session
	signing *signing

	plan    map[string]wire.Duty
	planned uint64 // the epoch that the plan is of
	have    bool   // there is a plan
	down    bool   // the beacon does not answer, which was said
	noted   map[string]bool
	flooded int // lines written because the beacon is of another era
}

func newSchedule(s *session) *schedule {
	return &schedule{session: s, signing: &signing{s}, plan: map[string]wire.Duty{}, noted: map[string]bool{}}
}

// run goes through the slots until the client is to end.
func (s *schedule) run(ctx context.Context) {
	slotLen := time.Duration(s.config.SecondsPerSlot) * time.Second
	genesis := time.Unix(s.config.GenesisTime, 0)
	for {
		slot, _ := params.SlotAt(s.config, time.Now())
		begin := genesis.Add(time.Duration(slot) * slotLen)
		select {
		case <-s.keys.Changed():
			s.have = false
		default:
		}
		if epoch := slot / s.config.SlotsPerEpoch; !s.have || s.planned != epoch {
			usable, end := s.refresh(ctx, epoch)
			if end {
				return
			}
			if !usable {
				continue
			}
		}
		s.giveOut(ctx, slot, begin, slotLen)
		if !s.waitForNext(ctx, slot, begin.Add(slotLen)) {
			return
		}
	}
}

// refresh asks for the duties of an epoch. Without an answer nobody has duties in this slot.
func (s *schedule) refresh(ctx context.Context, epoch uint64) (usable, end bool) {
	next, err := s.fetch(ctx, epoch)
	switch {
	case err == nil:
		if s.down {
			s.cli.Log.Info(s.prefix, "Beacon chain started")
		}
		s.plan, s.planned, s.have, s.down = next, epoch, true, false
	case ctx.Err() != nil:
		return false, true
	case isUnknownCall(err):
		return false, !s.flood(ctx, err)
	default:
		s.have = false
		s.plan = map[string]wire.Duty{}
		if !s.down {
			s.cli.Log.Error(s.prefix, "Failed to update assignments", "error", err)
		}
		s.down = true
	}
	return true, false
}

// giveOut begins the duties of a slot.
func (s *schedule) giveOut(ctx context.Context, slot uint64, begin time.Time, slotLen time.Duration) {
	for pub, d := range s.plan {
		for _, p := range d.ProposerSlots {
			if p == slot {
				s.start(func() { s.signing.propose(ctx, pub, slot) })
			}
		}
		if d.AttesterSlot == slot {
			s.start(func() {
				if sleep(ctx, time.Until(begin.Add(slotLen/3))) {
					s.signing.attest(ctx, pub, slot)
				}
			})
		}
	}
}

// waitForNext sleeps to the next slot by the wall clock: a machine may be frozen, and a clock may be set.
func (s *schedule) waitForNext(ctx context.Context, slot uint64, end time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-s.keys.Changed():
			s.have = false
		case <-time.After(min(100*time.Millisecond, max(time.Until(end), time.Millisecond))):
		}
		if now, _ := params.SlotAt(s.config, time.Now()); now != slot {
			return true
		}
	}
}

// fetch asks the beacon for the duties of an epoch, and shows what it says of the keys.
func (s *schedule) fetch(ctx context.Context, epoch uint64) (map[string]wire.Duty, error) {
	ask := s.withoutBlacklisted()
	out := map[string]wire.Duty{}
	if len(ask) == 0 {
		return out, nil
	}
	short, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	var got []wire.Duty
	if err := s.beacons.ask(short, "POST", "/lab/duties", wire.DutiesRequest{Epoch: epoch, Keys: ask}, &got); err != nil {
		return nil, err
	}
	var raw [][]byte
	for _, d := range got {
		s.meter.status(d)
		if !wire.OnDuty(d.Status) {
			s.cli.Log.Info(s.prefix, waitsText(d.Status), "pubkey", d.Key[:14], "status", strings.ToUpper(d.Status))
			continue
		}
		out[d.Key] = d
		if b, err := wire.Bytes(d.Key, 48); err == nil {
			raw = append(raw, b)
		}
		if s.meter.quiet {
			continue
		}
		s.meter.next(d)
		s.cli.Log.Info(s.prefix, "Schedule for epoch", "epoch", epoch, "attesterSlot", d.AttesterSlot,
			"proposerSlots", fmt.Sprint(d.ProposerSlots), "pubkey", d.Key[:14])
	}
	return out, s.store.AddPublicKeys(raw)
}

// withoutBlacklisted are the keys that duties are asked for; of the others it is said once.
func (s *schedule) withoutBlacklisted() []string {
	var ask []string
	for _, pub := range s.keys.Public() {
		if !s.keys.Blacklisted(pub) {
			ask = append(ask, pub)
			continue
		}
		if !s.noted[pub] {
			s.noted[pub] = true
			s.cli.Log.Warn(s.prefix, noDutiesText, "pubkey", pub[:14])
		}
		s.meter.blacklisted(pub)
	}
	return ask
}

func waitsText(status string) string {
	switch status {
	case "unknown":
		return "Waiting for deposit to be observed by beacon node"
	case "deposited":
		return "Validator deposited, entering activation queue after finalization"
	case "pending":
		return "Waiting for activation... Check validator queue status in a block explorer"
	case "exited":
		return "Validator exited"
	}
	return "Validator status"
}

// How a client of another era ends: the real one writes some 7,000 lines a second, for minutes.
const (
	floodPause = 20 * time.Millisecond
	floodLines = 1500
)

// flood is what a client does whose beacon does not know its calls: it begins anew at once, again and again, says that its
// keys are active, and in the end panics. It says false when the client is to end.
func (s *schedule) flood(ctx context.Context, err error) bool {
	if strings.Contains(err.Error(), "GetHealth") {
		s.cli.Log.Warn(s.prefix, "Validator service health check failed, waiting for a healthy beacon node", "error", err)
		return sleep(ctx, 2*time.Second)
	}
	for _, pub := range s.keys.Public() {
		s.meter.flooded(pub)
	}
	for n := 0; n < 50; n++ {
		s.cli.Log.Error(s.prefix, "Failed to receive blocks or slots", "error", "rpc error: code = Unimplemented desc = "+err.Error())
		if !sleep(ctx, floodPause) {
			return false
		}
	}
	if s.flooded += 50; s.flooded >= floodLines {
		fmt.Fprint(os.Stderr, "panic: close of closed channel\n\ngoroutine 1 [running]:\nvalidator/client.run(...)\n")
		s.failure <- 2
		return false
	}
	return true
}
