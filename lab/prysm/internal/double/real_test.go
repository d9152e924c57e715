package double

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/freeport"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// What real Prysm was seen to do on private chains, fact by fact.

const allForks = `GENESIS_FORK_VERSION: 0x20000089
ALTAIR_FORK_VERSION: 0x20000090
BELLATRIX_FORK_VERSION: 0x20000091
CAPELLA_FORK_VERSION: 0x20000092
DENEB_FORK_VERSION: 0x20000093
ELECTRA_FORK_VERSION: 0x20000094
FULU_FORK_VERSION: 0x20000095
GLOAS_FORK_VERSION: 0x20000096
`

// short runs a daemon that is expected to end by itself.
func short(t *testing.T, version, binary, chain string, args ...string) (int, string) {
	t.Helper()
	p := daemon(t, prog(version, binary, chain, t.TempDir(), append([]string{
		"--accept-terms-of-use", fmt.Sprint("--monitoring-port=", freeport.Find(t)),
	}, args...)...))
	code := p.wait(20 * time.Second)
	return code, p.log.String()
}

func TestAForkVersionOfMainnetEndsACustomChain(t *testing.T) {
	t.Parallel()
	lines := strings.SplitAfter(allForks, "\n")
	without := func(drop ...string) string {
		text := "CONFIG_NAME: rehearsal\nSECONDS_PER_SLOT: 1\n"
		for _, l := range lines {
			keep := true
			for _, d := range drop {
				keep = keep && !strings.HasPrefix(l, d)
			}
			if keep {
				text += l
			}
		}
		return text
	}
	for _, c := range []struct {
		version string
		drop    []string
		fork    string // that collides; none: it starts
	}{
		{"v1.3.4", []string{"ALTAIR", "FULU", "GLOAS"}, ""},
		{"v2.1.4", []string{"CAPELLA", "DENEB", "ELECTRA", "FULU", "GLOAS"}, ""},
		{"v2.1.4", []string{"ALTAIR"}, "altair"},
		{"v4.2.1", []string{"DENEB"}, "deneb"},
		{"v6.1.4", []string{"GLOAS"}, ""},
		{"v6.1.4", []string{"FULU"}, "fulu"},
		{"v7.1.3", []string{"GLOAS"}, ""},
		{"v7.1.6", []string{"GLOAS"}, "gloas"},
		{"v7.1.6", []string{"GENESIS"}, "genesis"},
		{"v7.1.6", nil, ""},
	} {
		conf := filepath.Join(t.TempDir(), "conf.yaml")
		fixture.Write(t, conf, []byte(without(c.drop...)), 0o600)
		v := fixture.Release(t, c.version)
		for _, binary := range []string{"beacon-chain", "validator"} {
			app := &cli.Context{Binary: binary, Release: v, Log: logging.New(v)}
			_, err := params.Load(app, conf)
			if (err != nil) != (c.fork != "") {
				t.Errorf("%s %s without %v: %v", c.version, binary, c.drop, err)
			}
			if err != nil && !strings.Contains(err.Error(), "conflicts with existing config named=mainnet: configset cannot add "+
				"config with conflicting fork version schedule") {
				t.Error(err)
			}
			if err != nil && v.From(4, 0, 0) && !strings.Contains(err.Error(), " for fork "+c.fork+" in config rehearsal ") {
				t.Error(err)
			}
		}
	}
	conf := filepath.Join(t.TempDir(), "conf.yaml")
	fixture.Write(t, conf, []byte(without("FULU")), 0o600)
	for _, binary := range []string{"beacon-chain", "validator"} {
		code, log := short(t, "v7.1.6", binary, "http://127.0.0.1:1", "--datadir="+t.TempDir(), "--chain-config-file="+conf)
		if code != 1 || !strings.Contains(log, "version 0x06000000 for fork fulu in config rehearsal conflicts") {
			t.Errorf("%s: exit %d\n%s", binary, code, log)
		}
	}
}

func TestQuotedHexIsNoConfiguration(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"GENESIS_FORK_VERSION: '0x20000089'\n", "GENESIS_FORK_VERSION: \"0x20000089\"\n"} {
		conf := filepath.Join(t.TempDir(), "conf.yaml")
		fixture.Write(t, conf, []byte("CONFIG_NAME: x\nDEPOSIT_CONTRACT_ADDRESS: \"0x42\"\n"+text), 0o600)
		for _, v := range []string{"v1.2.2", "v1.3.4", "v6.1.4", "v7.1.6"} {
			code, log := short(t, v, "beacon-chain", "http://127.0.0.1:1", "--datadir="+t.TempDir(), "--chain-config-file="+conf)
			if code != 1 || !strings.Contains(log, "Failed to parse chain config yaml file.") {
				t.Errorf("%s: exit %d\n%s", v, code, log)
			}
		}
	}
}

func TestHoodiAndSepoliaNeedACheckpointOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6")
	const text = "could not initialize genesis state: new genesis data: genesis state has not been initialized"
	for _, v := range []string{"v6.1.4", "v7.1.6"} {
		for _, args := range [][]string{{"--hoodi"}, {"--sepolia"}, {"--hoodi", "--checkpoint-sync-url=http://127.0.0.1:1"}} {
			code, log := short(t, v, "beacon-chain", l.url, append(args, "--datadir="+t.TempDir())...)
			if code != 1 || !strings.Contains(log, text) {
				t.Errorf("%s %v: exit %d\n%s", v, args, code, log)
			}
		}
	}
	healthy := func() {
		t.Helper()
		until(t, "healthy", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 200 })
	}
	l.another("v7.1.6", hoodi(l)...)
	healthy()
	// From then on the checkpoint is not asked for any more.
	l.beacon.end(syscall.SIGTERM, 5*time.Second)
	l.beaconFlags = []string{"--hoodi", "--checkpoint-sync-url=http://127.0.0.1:1"}
	l.startBeacon()
	healthy()
	if !strings.Contains(l.beacon.log.String(), "ignoring checkpoint sync flags") {
		t.Error(l.beacon.log.String())
	}
	// A mainnet database begun without one, with an address that does not answer.
	l.another("v7.1.6")
	healthy()
	l.beacon.end(syscall.SIGTERM, 5*time.Second)
	code, log := short(t, "v7.1.6", "beacon-chain", l.url, "--datadir="+l.beaconData, "--checkpoint-sync-url=http://127.0.0.1:1")
	if code != 1 || !strings.Contains(log, "Error retrieving checkpoint origin state and block") {
		t.Errorf("exit %d\n%s", code, log)
	}
}

func metric(t *testing.T, port int, name string) string {
	t.Helper()
	_, text := get(t, port, "/metrics")
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, name+" ") {
			return strings.TrimPrefix(line, name+" ")
		}
	}
	return ""
}

// syncing is what a beacon says over the standard interface.
func syncing(t *testing.T, l *lab) (head, distance string, is bool) {
	t.Helper()
	var r struct {
		Data struct {
			Head     string `json:"head_slot"`
			Distance string `json:"sync_distance"`
			Syncing  bool   `json:"is_syncing"`
		} `json:"data"`
	}
	_, body := get(t, l.http, "/eth/v1/node/syncing")
	json.Unmarshal([]byte(body), &r)
	return r.Data.Head, r.Data.Distance, r.Data.Syncing
}

func TestClockAndHeadMetricsAreSetByBlocks(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6", "--execution-endpoint=http://127.0.0.1:1")
	until(t, "it answers", func() bool { return metric(t, l.mon, "beacon_head_slot") != "" })
	// The first block arrives within a second, which a slow test may miss: 0 or a number, both metrics alike.
	if clock, head := metric(t, l.mon, "beacon_clock_time_slot"), metric(t, l.mon, "beacon_head_slot"); clock != "0" && head == "0" {
		t.Errorf("clock %s, head %s", clock, head)
	}
	until(t, "blocks", func() bool { return metric(t, l.mon, "beacon_head_slot") != "0" })

	// The execution client dies: nothing but the head tells.
	post(t, l.url+"/faults", map[string]bool{"el_dead": true})
	time.Sleep(1500 * time.Millisecond)
	clock, head := metric(t, l.mon, "beacon_clock_time_slot"), metric(t, l.mon, "beacon_head_slot")
	at, _, _ := syncing(t, l)
	time.Sleep(6 * time.Second) // longer than an epoch
	if c, h := metric(t, l.mon, "beacon_clock_time_slot"), metric(t, l.mon, "beacon_head_slot"); c != clock || h != head {
		t.Errorf("the metrics went on: clock %s to %s, head %s to %s", clock, c, head, h)
	}
	now, distance, is := syncing(t, l)
	if now != at || is || distance == "0" || distance == "1" {
		t.Errorf("head %s to %s, distance %s, syncing %v", at, now, distance, is)
	}
	if code, body := get(t, l.mon, "/healthz"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := get(t, l.http, "/eth/v1/node/health"); code != 200 {
		t.Errorf("health %d", code)
	}
	if _, body := get(t, l.http, "/eth/v1/node/syncing"); !strings.Contains(body, `"el_offline":false`) {
		t.Error(body)
	}
	// Its keys attest to the old head.
	data, w := t.TempDir(), smallWallet(t, 1)
	p, _ := l.validator("v7.1.6", data, w)
	l.more(2)
	p.end(syscall.SIGTERM, 10*time.Second)
	post(t, l.url+"/faults", map[string]bool{"el_dead": false})
	until(t, "the head goes on", func() bool { h, _, _ := syncing(t, l); return h != at })
}

func TestAnOptimisticNodeIsNotHealthy(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6")
	until(t, "healthy", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 200 })
	post(t, l.url+"/faults", map[string]bool{"optimistic": true})
	until(t, "503", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 503 })
	if _, body := get(t, l.mon, "/healthz"); !strings.Contains(body, "*rpc.Service: ERROR, service is optimistic") {
		t.Error(body)
	}
	if _, body := get(t, l.http, "/eth/v1/node/syncing"); !strings.Contains(body, `"is_optimistic":true`) {
		t.Error(body)
	}
}

func TestWithoutEth1OldBeaconsAreNotHealthy(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"v1.2.2", "v1.3.4"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, v, "--http-web3provider=http://127.0.0.1:1")
			until(t, "503", func() bool {
				code, body := get(t, l.mon, "/healthz")
				return code == 503 && strings.Contains(body, "*powchain.Service: ERROR, could not dial eth1 nodes") &&
					strings.Contains(body, "*rpc.Service: OK")
			})
			fallback := newLab(t, v, "--http-web3provider=http://127.0.0.1:1", "--fallback-web3provider="+l.url)
			until(t, "healthy", func() bool { code, _ := get(t, fallback.mon, "/healthz"); return code == 200 })
		})
	}
	l := newLab(t, "v7.1.6", "--execution-endpoint=http://127.0.0.1:1")
	until(t, "healthy", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 200 })
}

func setStatuses(t *testing.T, l *lab, statuses map[string]string) {
	t.Helper()
	raw, _ := json.Marshal(statuses)
	res, err := http.Post(l.url+"/validators", "application/json", bytes.NewReader(raw))
	if err != nil || res.StatusCode != 200 {
		t.Fatal(err, res)
	}
	res.Body.Close()
}

func TestKeysOfEveryStatus(t *testing.T) {
	t.Parallel()
	for version, labels := range map[string]bool{"v5.1.2": false, "v5.2.0": true, "v7.1.6": true} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, version)
			keys := someKeys(t, 5)
			setStatuses(t, l, map[string]string{
				keys[0].Pub(): "unknown", keys[1].Pub(): "pending", keys[2].Pub(): "exited", keys[3].Pub(): "exiting",
			})
			p, port := l.validator(version, t.TempDir(), smallWallet(t, 5))
			sample := func(key wallet.Key, index, status string) bool {
				_, m := get(t, port, "/metrics")
				label := ""
				if labels {
					label = `index="` + index + `",`
				}
				return strings.Contains(m, "validator_statuses{"+label+`pubkey="`+key.Pub()+`"} `+status+"\n")
			}
			index := func(n int) string {
				for _, s := range l.chain.States(wire.StatesRequest{}) {
					if s.Key == keys[n].Pub() {
						return fmt.Sprintf("0x%x", s.Index)
					}
				}
				return "?"
			}
			none := "0xffffffffffffffff"
			until(t, "statuses", func() bool {
				return sample(keys[0], none, "0") && sample(keys[1], index(1), "2") && sample(keys[2], index(2), "6") &&
					sample(keys[3], index(3), "4") && sample(keys[4], index(4), "3")
			})
			until(t, "the exiting and the active one sign", func() bool { return len(l.judge().Keys) == 2 })
			l.more(4)
			for _, n := range []int{0, 1, 2} {
				if l.judge().Keys[keys[n].Pub()] != nil {
					t.Errorf("key %d signed", n)
				}
			}
			// Activated while the client runs: it signs, and the old sample stays where there are labels.
			setStatuses(t, l, map[string]string{keys[0].Pub(): "active"})
			until(t, "it signs", func() bool { return l.judge().Keys[keys[0].Pub()] != nil })
			if !sample(keys[0], index(0), "3") || sample(keys[0], none, "0") != labels {
				_, m := get(t, port, "/metrics")
				t.Error(m)
			}
			p.end(syscall.SIGTERM, 10*time.Second)
			l.noOffence()
		})
	}
}

func TestOldClientsShowNoNextDuty(t *testing.T) {
	t.Parallel()
	for version, has := range map[string]bool{"v1.2.2": false, "v1.3.4": true} {
		l := newLab(t, version)
		p, port := l.validator(version, t.TempDir(), smallWallet(t, 1))
		m := ""
		until(t, "it attests", func() bool {
			_, m = get(t, port, "/metrics")
			return strings.Contains(m, "validator_last_attested_slot{")
		})
		if strings.Contains(m, "validator_next_attestation_slot{") != has {
			t.Errorf("%s\n%s", version, m)
		}
		p.end(syscall.SIGTERM, 10*time.Second)
	}
}

func TestAClientOfAnotherEraAttestsNothingFloodsAndPanics(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v1.3.4")
	data := t.TempDir()
	p, port := l.validator("v1.3.4", data, smallWallet(t, 2))
	l.more(2)
	// The beacon moves first.
	l.another("v7.1.6")
	until(t, "healthy", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 200 })
	time.Sleep(time.Second)
	have := l.judge().Signatures
	time.Sleep(5 * time.Second)
	if n := l.judge().Signatures; n != have {
		t.Errorf("%d signatures more", n-have)
	}
	if code, _ := get(t, port, "/healthz"); code != 200 {
		t.Errorf("healthz %d", code)
	}
	if _, m := get(t, port, "/metrics"); !strings.Contains(m, `"} 3`+"\n") {
		t.Error("its keys are not ACTIVE")
	}
	if code := p.wait(60 * time.Second); code != 2 {
		t.Errorf("exit %d", code)
	}
	lines := strings.Count(p.log.String(), "unknown method StreamBlocks")
	if lines < 500 || lines > 5000 || !strings.Contains(p.log.String(), "panic: ") {
		t.Errorf("%d lines", lines)
	}
	l.noOffence()
}

func TestANewClientWaitsForAnOldBeacon(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v1.3.4")
	p, _ := l.validator("v7.1.6", t.TempDir(), smallWallet(t, 1))
	time.Sleep(5 * time.Second)
	if n := l.judge().Signatures; n != 0 {
		t.Errorf("%d signatures", n)
	}
	p.end(syscall.SIGTERM, 10*time.Second)
}

func TestBeaconDatabasesOfOtherReleases(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v1.3.4")
	again := func(version string) {
		t.Helper()
		l.beacon.end(syscall.SIGTERM, 5*time.Second)
		l.version = version
		l.startBeacon()
	}
	fails := func(version string, code int, text string) {
		t.Helper()
		l.beacon.end(syscall.SIGTERM, 5*time.Second)
		got, log := short(t, version, "beacon-chain", l.url, "--datadir="+l.beaconData)
		if got != code || !strings.Contains(log, text) {
			t.Errorf("%s: exit %d\n%s", version, got, log)
		}
	}
	healthy := func() {
		t.Helper()
		until(t, "healthy", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 200 })
	}
	healthy()
	fails("v7.1.6", 1, "unable to decode finalized block root container")
	again("v5.0.2") // older repairs do not look
	healthy()
	l.another("v7.1.6")
	healthy()
	fails("v1.3.4", 2, "panic: runtime error")
	fails("v4.2.1", 1, "trying to use old deposit trie")
	again("v6.1.4")
	healthy()
	again("v7.1.6")
	healthy()
	// One that is old enough opens, once and for all.
	l.another("v1.3.4")
	healthy()
	first := l.chain.Now
	l.chain.Now = func() time.Time { return first().Add(50 * time.Second) }
	again("v7.1.6")
	until(t, "it answers", func() bool { code, _ := get(t, l.mon, "/healthz"); return code != 0 })
}

func TestADebugLogLiesBesideTheDatabase(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6")
	for _, c := range []struct {
		version string
		flags   []string
		written bool
	}{
		{"v7.1.2", nil, false}, {"v7.1.3", nil, true}, {"v7.1.6", nil, true}, {"v7.1.6", []string{"--disable-ephemeral-log-file"}, false},
	} {
		data := t.TempDir()
		p, _ := l.validator(c.version, data, smallWallet(t, 1), c.flags...)
		until(t, "it runs", func() bool { return fixture.Exists(filepath.Join(data, database.File)) })
		p.end(syscall.SIGTERM, 10*time.Second)
		if fixture.Exists(filepath.Join(data, "logs", "validator.log")) != c.written {
			t.Errorf("%s %v", c.version, c.flags)
		}
	}
	if !fixture.Exists(filepath.Join(l.beaconData, "logs", "beacon-chain.log")) {
		t.Error("no log of the beacon")
	}
}

func TestDoppelgangerNeverWaits(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"v1.4.4", "v5.3.3", "v7.1.6"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, v)
			start := time.Now()
			p, _ := l.validator(v, t.TempDir(), smallWallet(t, 1), "--enable-doppelganger")
			l.more(1)
			// An epoch has four seconds, and a key one duty in it: two epochs more would be a wait.
			if took := time.Since(start); took > 14*time.Second {
				t.Errorf("first signature after %v", took)
			}
			p.end(syscall.SIGTERM, 10*time.Second)
			if !strings.Contains(p.log.String(), "Running doppelganger check") {
				t.Error(p.log.String())
			}
		})
	}
	// On a phase 0 chain nobody is asked.
	conf := filepath.Join(t.TempDir(), "conf.yaml")
	fixture.Write(t, conf, []byte("CONFIG_NAME: x\nSECONDS_PER_SLOT: 1\nALTAIR_FORK_EPOCH: 10000000\n"+allForks), 0o600)
	l := newLab(t, "v7.1.6", "--chain-config-file="+conf)
	p, _ := l.validator("v7.1.6", t.TempDir(), smallWallet(t, 1), "--chain-config-file="+conf, "--enable-doppelganger")
	l.more(1)
	p.end(syscall.SIGTERM, 10*time.Second)
	if strings.Contains(p.log.String(), "Running doppelganger check") {
		t.Error(p.log.String())
	}
}

func TestAClientOfV718(t *testing.T) {
	l := newLab(t, "v7.1.8")
	p, _ := l.validator("v7.1.8", t.TempDir(), smallWallet(t, 1), "--beacon-rpc-provider=127.0.0.1:1",
		fmt.Sprint("--beacon-rest=http://127.0.0.1:", l.http))
	l.more(1)
	p.end(syscall.SIGTERM, 10*time.Second)
	code, log := short(t, "v7.1.8", "validator", l.url, "--datadir="+t.TempDir(), "--wallet-dir="+t.TempDir(), "--interop-num-validators=2",
		fmt.Sprint("--beacon-rpc-provider=127.0.0.1:", l.rpc))
	if code != 0 || !strings.Contains(log, "no wallet found") {
		t.Errorf("exit %d\n%s", code, log)
	}
}

// What playbooks read over port 3500.
func TestKeysAndGenesisOverTheBeaconsInterface(t *testing.T) {
	t.Parallel()
	keys := someKeys(t, 3)
	unknown := "0x" + strings.Repeat("ab", 48)
	for _, v := range []string{"v1.2.2", "v1.3.4", "v2.1.4", "v7.1.6"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, v)
			until(t, "healthy", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 200 })
			setStatuses(t, l, map[string]string{
				keys[0].Pub(): "active", keys[1].Pub(): "pending", keys[2].Pub(): "slashing",
			})
			if fixture.Release(t, v).Before(5, 1, 1) {
				code, body := get(t, l.http, "/eth/v1alpha1/node/genesis")
				if want := time.Unix(l.chain.Config.GenesisTime, 0).UTC().Format(time.RFC3339); code != 200 || !strings.Contains(body, want) {
					t.Errorf("%d %s", code, body)
				}
				if _, body = get(t, l.http, "/eth/v1alpha1/beacon/config"); !strings.Contains(body, `"SecondsPerSlot":"1"`) {
					t.Error(body)
				}
				query := ""
				for _, k := range []string{keys[0].Pub(), keys[1].Pub(), keys[2].Pub(), unknown} {
					raw := fixture.Unhex(t, strings.TrimPrefix(k, "0x"))
					query += "&public_keys=" + url.QueryEscape(base64.StdEncoding.EncodeToString(raw))
				}
				var st struct {
					Statuses []struct {
						Status string `json:"status"`
					} `json:"statuses"`
					Indices []string `json:"indices"`
				}
				_, body = get(t, l.http, "/eth/v1alpha1/validator/statuses?"+query[1:])
				json.Unmarshal([]byte(body), &st)
				if len(st.Statuses) != 4 || st.Statuses[0].Status != "ACTIVE" || st.Statuses[1].Status != "PENDING" ||
					st.Statuses[2].Status != "SLASHING" || st.Statuses[3].Status != "UNKNOWN_STATUS" ||
					st.Indices[3] != "18446744073709551615" {
					t.Error(body)
				}
				_, body = get(t, l.http, "/eth/v1alpha1/validators?"+query[1:])
				if strings.Count(body, `"publicKey"`) != 3 || !strings.Contains(body, `"totalSize":3`) {
					t.Error(body)
				}
			}
			if fixture.Release(t, v).Before(2, 0, 0) {
				if code, _ := get(t, l.http, "/eth/v1/beacon/genesis"); code != 404 {
					t.Errorf("genesis %d", code)
				}
				return
			}
			if _, body := get(t, l.http, "/eth/v1/beacon/genesis"); !strings.Contains(body, fmt.Sprintf(`"genesis_time":"%d"`, l.chain.Config.GenesisTime)) {
				t.Error(body)
			}
			var r struct {
				Data []struct {
					Status    string `json:"status"`
					Validator struct {
						Pubkey string `json:"pubkey"`
					} `json:"validator"`
				} `json:"data"`
			}
			_, body := get(t, l.http, "/eth/v1/beacon/states/head/validators?id="+keys[0].Pub()+"&id="+keys[1].Pub()+","+keys[2].Pub()+"&id="+unknown)
			json.Unmarshal([]byte(body), &r)
			found := map[string]string{}
			for _, one := range r.Data {
				found[one.Validator.Pubkey] = one.Status
			}
			if len(found) != 3 || found[keys[0].Pub()] != "active_ongoing" || found[keys[1].Pub()] != "pending_queued" ||
				found[keys[2].Pub()] != "active_slashed" {
				t.Error(body)
			}
			if _, body = get(t, l.http, "/eth/v1/beacon/states/head/validators?id="+unknown); !strings.Contains(body, `"data":[]`) {
				t.Error(body)
			}
			if code, _ := get(t, l.http, "/eth/v1/beacon/states/head/validators?id=0x12"); code != 400 {
				t.Errorf("%d for half a key", code)
			}
		})
	}
}

// A program that is exec'd with a lock in an inherited descriptor keeps it for as long as it lives.
func TestAnInheritedLockIsKept(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6")
	for _, binary := range []string{"validator", "beacon-chain"} {
		path := filepath.Join(t.TempDir(), ".validator-lock")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		data := t.TempDir()
		c := prog("v7.1.6", binary, l.url, data, "--accept-terms-of-use", "--datadir="+data, "--wallet-dir="+smallWallet(t, 1),
			"--wallet-password-file="+fixture.Password(t), fmt.Sprint("--beacon-rpc-provider=127.0.0.1:", l.rpc),
			fmt.Sprint("--monitoring-port=", freeport.Find(t)))
		if binary == "beacon-chain" {
			c.Args = append(c.Args[:1], "--accept-terms-of-use", "--datadir="+data, fmt.Sprint("--rpc-port=", freeport.Find(t)),
				fmt.Sprint("--http-port=", freeport.Find(t)), fmt.Sprint("--monitoring-port=", freeport.Find(t)),
				"--p2p-local-ip=127.0.0.1", fmt.Sprint("--p2p-tcp-port=", freeport.Find(t)), fmt.Sprint("--p2p-udp-port=", freeport.Find(t)))
		}
		c.ExtraFiles = []*os.File{f}
		p := daemon(t, c)
		f.Close()
		free := func() bool {
			g, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			return syscall.Flock(int(g.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
		}
		for range 30 {
			if free() {
				t.Fatalf("%s let the lock go", binary)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if code := p.end(syscall.SIGTERM, 10*time.Second); code != 0 || !free() {
			t.Errorf("%s: exit %d, lock free %v", binary, code, free())
		}
	}
}

func TestAnExecutionClientThatRefusesTheToken(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("5f", 32)
	var accepts atomic.Bool
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !accepts.Load() || strings.Count(r.Header.Get("Authorization"), ".") != 2 {
			http.Error(w, "signature is invalid", http.StatusUnauthorized)
		}
	}))
	defer engine.Close()
	file := filepath.Join(t.TempDir(), "jwt.hex")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLab(t, "v7.1.6")
	l.another("v7.1.6", append(hoodi(l), "--execution-endpoint="+engine.URL, "--jwt-secret="+file)...)
	until(t, "it says so", func() bool { return strings.Contains(l.beacon.log.String(), "connection is not authenticated") })
	if code, _ := get(t, l.mon, "/healthz"); code == 200 {
		t.Error("healthy without an execution client")
	}
	accepts.Store(true)
	until(t, "healthy", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 200 })
}
