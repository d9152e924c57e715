package validator_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/chain"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/freeport"
	"eth2xk8s/lab/prysm/internal/kv"
	"eth2xk8s/lab/prysm/internal/labtest"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// The life of one database through versions: each goes on where the last one stopped, and nothing is ever an offence.
func TestAValidatorsLife(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6", "--execution-endpoint=http://127.0.0.1:1")
	l.Another("v7.1.6", append(l.Hoodi(), "--execution-endpoint=http://127.0.0.1:1")...)
	data, w := t.TempDir(), labtest.SmallWallet(t, 3)
	p, port := l.Validator("v7.1.6", data, w, "--hoodi")
	l.More(8)
	if code, body := labtest.Get(t, port, "/healthz"); code != 200 || !strings.Contains(body, "*client.ValidatorService: OK") {
		t.Errorf("%d %s", code, body)
	}
	_, metrics := labtest.Get(t, port, "/metrics")
	for _, k := range labtest.SomeKeys(t, 3) {
		for _, m := range []string{"validator_statuses{index=\"0x", "pubkey=\"" + k.Pub() + "\"} 3\n"} {
			if !strings.Contains(metrics, m) {
				t.Errorf("no %s in %s", m, metrics)
			}
		}
	}
	for _, m := range []string{`version="v7.1.6"`, "validator_last_attested_slot{", "validator_successful_attestations{", "validator_next_attestation_slot{"} {
		if !strings.Contains(metrics, m) {
			t.Errorf("no %s in %s", m, metrics)
		}
	}

	// A second one on the same database waits a second and is refused, with the code of its version.
	for version, code := range map[string]int{"v1.3.4": 0, "v7.1.6": 1} {
		second, _ := l.Validator(version, data, w)
		if got := second.Wait(10 * time.Second); got != code || !strings.Contains(second.Log.String(), kv.ErrLocked.Error()) {
			t.Errorf("%s: exit %d\n%s", version, got, second.Log.String())
		}
	}
	start := time.Now()
	if code := p.End(syscall.SIGTERM, 10*time.Second); code != 0 {
		t.Errorf("exit %d", code)
	}
	t.Logf("stopped in %v", time.Since(start))
	for _, version := range []string{"v1.3.3", "v1.3.4", "v2.1.4", "v6.1.4"} {
		var network []string
		if fixture.Release(t, version).From(5, 3, 2) {
			network = []string{"--hoodi"}
			l.Another(version, l.Hoodi()...)
		} else {
			l.Another(version) // hoodi is not known to them
		}
		p, port := l.Validator(version, data, w, network...)
		l.More(5)
		if _, m := labtest.Get(t, port, "/metrics"); !strings.Contains(m, `version="`+version+`"`) ||
			strings.Contains(m, "index=") != fixture.Release(t, version).From(5, 2, 0) {
			t.Errorf("%s: %s", version, m)
		}
		sig := syscall.SIGTERM
		if version == "v1.3.4" {
			sig = syscall.SIGKILL
		}
		p.End(sig, 10*time.Second)
	}
	l.NoOffence()
	for key, r := range l.Judge().Keys {
		if r.Attestations == 0 || r.Blocks == 0 || len(r.Clients) != 5 {
			t.Errorf("%s: %+v", key, r)
		}
	}
	// An export of what was really signed has as many records as the judge has, or more (kept, but not sent).
	r, file := labtest.Export(t, "v7.1.6", data)
	if r.Code != 0 {
		t.Fatal(r)
	}
	var in wire.Interchange
	json.Unmarshal(fixture.Read(t, file), &in)
	for _, d := range in.Data {
		if k := l.Judge().Keys[d.Pubkey]; len(d.Attestations) < k.Attestations || len(d.Blocks) < k.Blocks {
			t.Errorf("%s: %d and %d records for %+v", d.Pubkey, len(d.Attestations), len(d.Blocks), k)
		}
	}
}

// What the site must never do is really caught by the judge when somebody does it with real clients.
func TestTheJudgeCatchesRealClients(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v1.3.4")
	data, w := t.TempDir(), labtest.SmallWallet(t, 2)
	p, _ := l.Validator("v1.3.4", data, w)
	l.More(6)
	// An empty database beside it: two signers, and one without history.
	q, _ := l.Validator("v1.3.4", t.TempDir(), w)
	labtest.Until(t, "offences", func() bool {
		o := l.Offences()
		return strings.Contains(o, chain.LessHistory) && strings.Contains(o, chain.TwoClients) &&
			(strings.Contains(o, chain.DoubleVote) || strings.Contains(o, chain.DoubleProposal))
	})
	q.End(syscall.SIGTERM, 10*time.Second)
	p.End(syscall.SIGTERM, 10*time.Second)
}

func TestAnOlderCopyOfTheDatabaseIsCaught(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6")
	data, old, w := t.TempDir(), t.TempDir(), labtest.SmallWallet(t, 2)
	p, _ := l.Validator("v7.1.6", data, w)
	l.More(3)
	p.End(syscall.SIGTERM, 10*time.Second)
	fixture.Write(t, filepath.Join(old, database.File), fixture.Read(t, filepath.Join(data, database.File)), 0o600)
	p, _ = l.Validator("v7.1.6", data, w)
	l.More(4)
	p.End(syscall.SIGTERM, 10*time.Second)
	l.NoOffence()
	p, _ = l.Validator("v7.1.6", old, w)
	labtest.Until(t, "less history", func() bool { return strings.Contains(l.Offences(), chain.LessHistory) })
	p.End(syscall.SIGTERM, 10*time.Second)
}

func TestDoppelgangerAndForeignDatabase(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6")
	data, w := t.TempDir(), labtest.SmallWallet(t, 2)
	p, _ := l.Validator("v7.1.6", data, w)
	labtest.Until(t, "both keys attest", func() bool {
		n := 0
		for _, k := range l.Judge().Keys {
			if k.Attestations > 0 {
				n++
			}
		}
		return n == 2
	})
	q, _ := l.Validator("v7.1.6", t.TempDir(), w, "--enable-doppelganger")
	if code := q.Wait(10 * time.Second); code != 0 || !strings.Contains(q.Log.String(), "Duplicate instances exists in the network for validator keys") {
		t.Errorf("exit %d", code)
	}
	q, _ = l.Validator("v5.3.3", t.TempDir(), w, "--enable-doppelganger")
	if code := q.Wait(10 * time.Second); code != 1 {
		t.Errorf("exit %d", code)
	}
	l.NoOffence()

	foreign := t.TempDir()
	s := labtest.Open(t, foreign, "v1.3.4")
	s.SaveGenesisRoot(fixture.Unhex(t, fixture.GenesisRoot))
	s.Close()
	for version, code := range map[string]int{"v1.3.4": 1, "v7.1.6": 0} {
		q, _ = l.Validator(version, foreign, w)
		if got := q.Wait(10 * time.Second); got != code || !strings.Contains(q.Log.String(), "does not match root saved in validator db") {
			t.Errorf("%s: exit %d\n%s", version, got, q.Log.String())
		}
	}
	// The wallet is looked at late from v6 on.
	for version, code := range map[string]int{"v5.3.3": 1, "v6.1.4": 1, "v7.1.6": 0} {
		q, _ = l.Validator(version, t.TempDir(), t.TempDir())
		if got := q.Wait(10 * time.Second); got != code || !strings.Contains(q.Log.String(), "no wallet found") {
			t.Errorf("%s: exit %d\n%s", version, got, q.Log.String())
		}
	}
	p.End(syscall.SIGTERM, 10*time.Second)
}

func TestNoWalletAndNoBeaconStaysUp(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := labtest.Daemon(t, labtest.Program("v7.1.6", "validator", "http://127.0.0.1:1", data, "--accept-terms-of-use", "--datadir="+data,
		"--wallet-dir="+data+"/none", "--beacon-rpc-provider=127.0.0.1:1", fmt.Sprint("--monitoring-port=", freeport.Find(t))))
	select {
	case <-p.Done:
		t.Error("it ended")
	case <-time.After(2 * time.Second):
	}
	if code := p.End(syscall.SIGTERM, 5*time.Second); code != 0 || !fixture.Exists(filepath.Join(data, database.File)) {
		t.Errorf("exit %d", code)
	}
}

func TestBlacklistedKeysGetNoDuties(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6")
	data, w := t.TempDir(), labtest.SmallWallet(t, 2)
	keys := labtest.SomeKeys(t, 2)
	s := labtest.Open(t, data, "v7.1.6")
	s.Blacklist([][]byte{keys[0].Public})
	s.Close()
	p, port := l.Validator("v7.1.6", data, w)
	l.More(4)
	if l.Judge().Keys[keys[0].Pub()] != nil {
		t.Error("a blacklisted key signed")
	}
	if _, m := labtest.Get(t, port, "/metrics"); !strings.Contains(m, `pubkey="`+keys[0].Pub()+`"} 3`) {
		t.Errorf("its status is not 3: %s", m)
	}
	if code, _ := labtest.Get(t, port, "/healthz"); code != 200 {
		t.Errorf("healthz %d", code)
	}
	p.End(syscall.SIGTERM, 10*time.Second)
	if !strings.Contains(p.Log.String(), "Not including slashable public key from slashing protection import in request to update validator duties") {
		t.Error("nothing in the log")
	}
}

func TestABeaconThatGoesAndComes(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6")
	data, w := t.TempDir(), labtest.SmallWallet(t, 2)
	p, port := l.Validator("v7.1.6", data, w)
	l.More(3)
	l.Beacon.End(syscall.SIGKILL, 5*time.Second)
	time.Sleep(2 * time.Second)
	if code, _ := labtest.Get(t, port, "/healthz"); code != 200 {
		t.Errorf("healthz %d while the beacon is away", code)
	}
	l.StartBeacon()
	l.More(3)
	l.NoOffence()
	// Over the standard port it works too.
	p.End(syscall.SIGTERM, 10*time.Second)
	p, _ = l.Validator("v7.1.6", data, w, "--enable-beacon-rest-api", fmt.Sprint("--beacon-rest-api-provider=http://127.0.0.1:", l.HTTP))
	l.More(3)
	p.End(syscall.SIGTERM, 10*time.Second)
	l.NoOffence()
}

// A client and its beacon that do not mean the same network, or the same length of slots, get nothing done.
func TestNetworksThatDiffer(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "conf.yaml")
	fixture.Write(t, conf, []byte("CONFIG_NAME: x\nSECONDS_PER_SLOT: 1\n"), 0o600)
	other := filepath.Join(t.TempDir(), "conf.yaml")
	fixture.Write(t, other, []byte("CONFIG_NAME: x\nSECONDS_PER_SLOT: 12\n"), 0o600)
	l := labtest.New(t, "v1.3.4", "--chain-config-file="+conf)
	w := labtest.SmallWallet(t, 1)
	var all []*labtest.Process
	for _, flags := range [][]string{{}, {"--prater"}, {"--chain-config-file=" + other}} {
		p, _ := l.Validator("v1.3.4", t.TempDir(), w, flags...)
		all = append(all, p)
	}
	time.Sleep(4 * time.Second)
	for _, p := range all {
		p.End(syscall.SIGTERM, 5*time.Second)
		if !strings.Contains(p.Log.String(), "is not its beacon node's") {
			t.Error(p.Log.String())
		}
	}
	if n := l.Judge().Signatures; n != 0 {
		t.Errorf("%d signatures", n)
	}
	p, _ := l.Validator("v1.3.4", t.TempDir(), w, "--chain-config-file="+conf)
	l.More(2)
	p.End(syscall.SIGTERM, 5*time.Second)

	// Configurations that no beacon of that version follows.
	for version, text := range map[string]string{
		"v1.3.4": "SECONDS_PER_SLOT: 1\n", "v7.1.6": "CONFIG_NAME: x\nDENEB_FORK_EPOCH: 18446744073709551615\n" + labtest.AllForks,
	} {
		fixture.Write(t, other, []byte(text), 0o600)
		bad := labtest.New(t, version, "--chain-config-file="+other)
		labtest.Until(t, "it answers", func() bool { code, _ := labtest.Get(t, bad.Mon, "/healthz"); return code != 0 })
		time.Sleep(2 * time.Second)
		if code, _ := labtest.Get(t, bad.Mon, "/healthz"); code != 503 {
			t.Errorf("%s with %q: healthz %d", version, text, code)
		}
	}
}

func TestKeysOfEveryStatus(t *testing.T) {
	t.Parallel()
	for version, labels := range map[string]bool{"v5.1.2": false, "v5.2.0": true, "v7.1.6": true} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := labtest.New(t, version)
			keys := labtest.SomeKeys(t, 5)
			l.SetStatuses(t, map[string]string{
				keys[0].Pub(): "unknown", keys[1].Pub(): "pending", keys[2].Pub(): "exited", keys[3].Pub(): "exiting",
			})
			p, port := l.Validator(version, t.TempDir(), labtest.SmallWallet(t, 5))
			sample := func(key wallet.Key, index, status string) bool {
				_, m := labtest.Get(t, port, "/metrics")
				label := ""
				if labels {
					label = `index="` + index + `",`
				}
				return strings.Contains(m, "validator_statuses{"+label+`pubkey="`+key.Pub()+`"} `+status+"\n")
			}
			index := func(n int) string {
				for _, s := range l.Chain.States(wire.StatesRequest{}) {
					if s.Key == keys[n].Pub() {
						return fmt.Sprintf("0x%x", s.Index)
					}
				}
				return "?"
			}
			none := "0xffffffffffffffff"
			labtest.Until(t, "statuses", func() bool {
				return sample(keys[0], none, "0") && sample(keys[1], index(1), "2") && sample(keys[2], index(2), "6") &&
					sample(keys[3], index(3), "4") && sample(keys[4], index(4), "3")
			})
			labtest.Until(t, "the exiting and the active one sign", func() bool { return len(l.Judge().Keys) == 2 })
			l.More(4)
			for _, n := range []int{0, 1, 2} {
				if l.Judge().Keys[keys[n].Pub()] != nil {
					t.Errorf("key %d signed", n)
				}
			}
			// Activated while the client runs: it signs, and the old sample stays where there are labels.
			l.SetStatuses(t, map[string]string{keys[0].Pub(): "active"})
			labtest.Until(t, "it signs", func() bool { return l.Judge().Keys[keys[0].Pub()] != nil })
			if !sample(keys[0], index(0), "3") || sample(keys[0], none, "0") != labels {
				_, m := labtest.Get(t, port, "/metrics")
				t.Error(m)
			}
			p.End(syscall.SIGTERM, 10*time.Second)
			l.NoOffence()
		})
	}
}

func TestOldClientsShowNoNextDuty(t *testing.T) {
	t.Parallel()
	for version, has := range map[string]bool{"v1.2.2": false, "v1.3.4": true} {
		l := labtest.New(t, version)
		p, port := l.Validator(version, t.TempDir(), labtest.SmallWallet(t, 1))
		m := ""
		labtest.Until(t, "it attests", func() bool {
			_, m = labtest.Get(t, port, "/metrics")
			return strings.Contains(m, "validator_last_attested_slot{")
		})
		if strings.Contains(m, "validator_next_attestation_slot{") != has {
			t.Errorf("%s\n%s", version, m)
		}
		p.End(syscall.SIGTERM, 10*time.Second)
	}
}

func TestAClientOfAnotherEraAttestsNothingFloodsAndPanics(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v1.3.4")
	data := t.TempDir()
	p, port := l.Validator("v1.3.4", data, labtest.SmallWallet(t, 2))
	l.More(2)
	// The beacon moves first.
	l.Another("v7.1.6")
	labtest.Until(t, "healthy", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 200 })
	time.Sleep(time.Second)
	have := l.Judge().Signatures
	time.Sleep(5 * time.Second)
	if n := l.Judge().Signatures; n != have {
		t.Errorf("%d signatures more", n-have)
	}
	if code, _ := labtest.Get(t, port, "/healthz"); code != 200 {
		t.Errorf("healthz %d", code)
	}
	if _, m := labtest.Get(t, port, "/metrics"); !strings.Contains(m, `"} 3`+"\n") {
		t.Error("its keys are not ACTIVE")
	}
	if code := p.Wait(60 * time.Second); code != 2 {
		t.Errorf("exit %d", code)
	}
	lines := strings.Count(p.Log.String(), "unknown method StreamBlocks")
	if lines < 500 || lines > 5000 || !strings.Contains(p.Log.String(), "panic: ") {
		t.Errorf("%d lines", lines)
	}
	l.NoOffence()
}

func TestANewClientWaitsForAnOldBeacon(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v1.3.4")
	p, _ := l.Validator("v7.1.6", t.TempDir(), labtest.SmallWallet(t, 1))
	time.Sleep(5 * time.Second)
	if n := l.Judge().Signatures; n != 0 {
		t.Errorf("%d signatures", n)
	}
	p.End(syscall.SIGTERM, 10*time.Second)
}

func TestDoppelgangerNeverWaits(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"v1.4.4", "v5.3.3", "v7.1.6"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			l := labtest.New(t, v)
			start := time.Now()
			p, _ := l.Validator(v, t.TempDir(), labtest.SmallWallet(t, 1), "--enable-doppelganger")
			l.More(1)
			// An epoch has four seconds, and a key one duty in it: two epochs more would be a wait.
			if took := time.Since(start); took > 14*time.Second {
				t.Errorf("first signature after %v", took)
			}
			p.End(syscall.SIGTERM, 10*time.Second)
			if !strings.Contains(p.Log.String(), "Running doppelganger check") {
				t.Error(p.Log.String())
			}
		})
	}
	// On a phase 0 chain nobody is asked.
	conf := filepath.Join(t.TempDir(), "conf.yaml")
	fixture.Write(t, conf, []byte("CONFIG_NAME: x\nSECONDS_PER_SLOT: 1\nALTAIR_FORK_EPOCH: 10000000\n"+labtest.AllForks), 0o600)
	l := labtest.New(t, "v7.1.6", "--chain-config-file="+conf)
	p, _ := l.Validator("v7.1.6", t.TempDir(), labtest.SmallWallet(t, 1), "--chain-config-file="+conf, "--enable-doppelganger")
	l.More(1)
	p.End(syscall.SIGTERM, 10*time.Second)
	if strings.Contains(p.Log.String(), "Running doppelganger check") {
		t.Error(p.Log.String())
	}
}

func TestAClientOfV718(t *testing.T) {
	l := labtest.New(t, "v7.1.8")
	p, _ := l.Validator("v7.1.8", t.TempDir(), labtest.SmallWallet(t, 1), "--beacon-rpc-provider=127.0.0.1:1",
		fmt.Sprint("--beacon-rest=http://127.0.0.1:", l.HTTP))
	l.More(1)
	p.End(syscall.SIGTERM, 10*time.Second)
	code, log := labtest.Short(t, "v7.1.8", "validator", l.URL, "--datadir="+t.TempDir(), "--wallet-dir="+t.TempDir(), "--interop-num-validators=2",
		fmt.Sprint("--beacon-rpc-provider=127.0.0.1:", l.RPC))
	if code != 0 || !strings.Contains(log, "no wallet found") {
		t.Errorf("exit %d\n%s", code, log)
	}
}
