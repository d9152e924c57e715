package double

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// lab is a chain with one beacon; validators are started against it.
type lab struct {
	t           *testing.T
	chain       *chain.Chain
	url         string
	rpc, http   int
	mon         int
	version     string
	beacon      *process
	beaconData  string
	beaconFlags []string
}

// newLab starts a chain with slots of one second and epochs of four, and a beacon.
func newLab(t *testing.T, version string, flags ...string) *lab {
	t.Helper()
	c, err := chain.Open(t.TempDir(), wire.Config{GenesisTime: time.Now().Unix() - 40, SecondsPerSlot: 1, SlotsPerEpoch: 4})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(c.Handler())
	t.Cleanup(func() { srv.Close(); c.Close() })
	l := &lab{
		t: t, chain: c, url: srv.URL, rpc: freeport.Find(t), http: freeport.Find(t), mon: freeport.Find(t), version: version,
		beaconData: t.TempDir(), beaconFlags: flags,
	}
	l.startBeacon()
	return l
}

// another starts a beacon of another version, on a database of its own.
func (l *lab) another(version string, flags ...string) {
	l.t.Helper()
	l.beacon.end(syscall.SIGTERM, 5*time.Second)
	l.version, l.beaconFlags, l.beaconData = version, flags, l.t.TempDir()
	l.startBeacon()
}

// hoodi are the flags with which a beacon of today begins: its genesis comes from a checkpoint.
func hoodi(l *lab) []string { return []string{"--hoodi", "--checkpoint-sync-url=" + l.url} }

func (l *lab) startBeacon() {
	l.beacon = daemon(l.t, prog(l.version, "beacon-chain", l.url, l.t.TempDir(), append([]string{
		"--accept-terms-of-use", "--datadir=" + l.beaconData, fmt.Sprint("--rpc-port=", l.rpc), fmt.Sprint("--grpc-gateway-port=", l.http),
		fmt.Sprint("--monitoring-port=", l.mon), fmt.Sprint("--p2p-tcp-port=", freeport.Find(l.t)), "--p2p-local-ip=127.0.0.1",
		fmt.Sprint("--p2p-udp-port=", freeport.Find(l.t)),
	}, l.beaconFlags...)...))
}

// validator starts a client; port gets its metrics.
func (l *lab) validator(version, data, walletDir string, flags ...string) (p *process, port int) {
	l.t.Helper()
	port = freeport.Find(l.t)
	return daemon(l.t, prog(version, "validator", l.url, filepath.Join(data, "home"), append([]string{
		"--accept-terms-of-use", "--datadir=" + data, "--wallet-dir=" + walletDir, "--wallet-password-file=" + fixture.Password(l.t),
		fmt.Sprint("--beacon-rpc-provider=127.0.0.1:", l.rpc), fmt.Sprint("--monitoring-port=", port),
	}, flags...)...)), port
}

func (l *lab) judge() *chain.Report {
	l.t.Helper()
	var r chain.Report
	res, err := http.Get(l.url + "/judge")
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&r); err != nil {
		l.t.Fatal(err)
	}
	return &r
}

// until waits for something to become true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

// more waits until n more signatures were made.
func (l *lab) more(n int) {
	l.t.Helper()
	have := l.judge().Signatures
	until(l.t, "signatures", func() bool { return l.judge().Signatures >= have+n })
}

func (l *lab) noOffence() {
	l.t.Helper()
	for _, o := range l.judge().Offences {
		l.t.Errorf("%s of %s: %s", o.Kind, o.Key[:14], o.Detail)
	}
}

func (l *lab) offences() string {
	seen := map[string]bool{}
	for _, o := range l.judge().Offences {
		seen[o.Kind] = true
	}
	return fmt.Sprint(seen)
}

func get(t *testing.T, port int, path string) (int, string) {
	t.Helper()
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(raw)
}

// smallWallet has keys of the fixtures; cheap to open.
func smallWallet(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "wallet")
	w, err := wallet.Create(dir, string(fixture.Read(t, fixture.Password(t))), fixture.Release(t, "v7.1.6"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(someKeys(t, n)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func someKeys(t *testing.T, n int) []wallet.Key {
	var keys []wallet.Key
	for _, k := range fixture.Keys(t)[:n] {
		keys = append(keys, wallet.Key{Secret: fixture.Unhex(t, k.Secret), Public: fixture.Unhex(t, k.Pubkey)})
	}
	return keys
}

// The life of one database through versions: each goes on where the last one stopped, and nothing is ever an offence.
func TestAValidatorsLife(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6", "--execution-endpoint=http://127.0.0.1:1")
	l.another("v7.1.6", append(hoodi(l), "--execution-endpoint=http://127.0.0.1:1")...)
	data, w := t.TempDir(), smallWallet(t, 3)
	p, port := l.validator("v7.1.6", data, w, "--hoodi")
	l.more(8)
	if code, body := get(t, port, "/healthz"); code != 200 || !strings.Contains(body, "*client.ValidatorService: OK") {
		t.Errorf("%d %s", code, body)
	}
	_, metrics := get(t, port, "/metrics")
	for _, k := range someKeys(t, 3) {
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
		second, _ := l.validator(version, data, w)
		if got := second.wait(10 * time.Second); got != code || !strings.Contains(second.log.String(), kv.ErrLocked.Error()) {
			t.Errorf("%s: exit %d\n%s", version, got, second.log.String())
		}
	}
	start := time.Now()
	if code := p.end(syscall.SIGTERM, 10*time.Second); code != 0 {
		t.Errorf("exit %d", code)
	}
	t.Logf("stopped in %v", time.Since(start))
	for _, version := range []string{"v1.3.3", "v1.3.4", "v2.1.4", "v6.1.4"} {
		var network []string
		if fixture.Release(t, version).From(5, 3, 2) {
			network = []string{"--hoodi"}
			l.another(version, hoodi(l)...)
		} else {
			l.another(version) // hoodi is not known to them
		}
		p, port := l.validator(version, data, w, network...)
		l.more(5)
		if _, m := get(t, port, "/metrics"); !strings.Contains(m, `version="`+version+`"`) ||
			strings.Contains(m, "index=") != fixture.Release(t, version).From(5, 2, 0) {
			t.Errorf("%s: %s", version, m)
		}
		sig := syscall.SIGTERM
		if version == "v1.3.4" {
			sig = syscall.SIGKILL
		}
		p.end(sig, 10*time.Second)
	}
	l.noOffence()
	for key, r := range l.judge().Keys {
		if r.Attestations == 0 || r.Blocks == 0 || len(r.Clients) != 5 {
			t.Errorf("%s: %+v", key, r)
		}
	}
	// An export of what was really signed has as many records as the judge has, or more (kept, but not sent).
	r, file := export(t, "v7.1.6", data)
	if r.code != 0 {
		t.Fatal(r)
	}
	var in wire.Interchange
	json.Unmarshal(fixture.Read(t, file), &in)
	for _, d := range in.Data {
		if k := l.judge().Keys[d.Pubkey]; len(d.Attestations) < k.Attestations || len(d.Blocks) < k.Blocks {
			t.Errorf("%s: %d and %d records for %+v", d.Pubkey, len(d.Attestations), len(d.Blocks), k)
		}
	}
}

// What the site must never do is really caught by the judge when somebody does it with real clients.
func TestTheJudgeCatchesRealClients(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v1.3.4")
	data, w := t.TempDir(), smallWallet(t, 2)
	p, _ := l.validator("v1.3.4", data, w)
	l.more(6)
	// An empty database beside it: two signers, and one without history.
	q, _ := l.validator("v1.3.4", t.TempDir(), w)
	until(t, "offences", func() bool {
		o := l.offences()
		return strings.Contains(o, chain.LessHistory) && strings.Contains(o, chain.TwoClients) &&
			(strings.Contains(o, chain.DoubleVote) || strings.Contains(o, chain.DoubleProposal))
	})
	q.end(syscall.SIGTERM, 10*time.Second)
	p.end(syscall.SIGTERM, 10*time.Second)
}

func TestAnOlderCopyOfTheDatabaseIsCaught(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6")
	data, old, w := t.TempDir(), t.TempDir(), smallWallet(t, 2)
	p, _ := l.validator("v7.1.6", data, w)
	l.more(3)
	p.end(syscall.SIGTERM, 10*time.Second)
	fixture.Write(t, filepath.Join(old, database.File), fixture.Read(t, filepath.Join(data, database.File)), 0o600)
	p, _ = l.validator("v7.1.6", data, w)
	l.more(4)
	p.end(syscall.SIGTERM, 10*time.Second)
	l.noOffence()
	p, _ = l.validator("v7.1.6", old, w)
	until(t, "less history", func() bool { return strings.Contains(l.offences(), chain.LessHistory) })
	p.end(syscall.SIGTERM, 10*time.Second)
}

// Real Prysm's own way back over the change of layout mixes up the records of several keys. The judge sees it.
func TestMigrateDownIsCaught(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v1.3.4")
	data, w := t.TempDir(), smallWallet(t, 3)
	p, _ := l.validator("v1.3.4", data, w)
	until(t, "three attestations a key", func() bool {
		n := 0
		for _, k := range l.judge().Keys {
			if k.Attestations >= 3 {
				n++
			}
		}
		return n == 3
	})
	p.end(syscall.SIGTERM, 10*time.Second)
	l.noOffence()
	if r := playValidator(t, "v1.3.4", "--accept-terms-of-use", "db", "migrate", "down", "--datadir="+data); r.code != 0 {
		t.Fatal(r)
	}
	p, _ = l.validator("v1.2.2", data, w)
	until(t, "less history", func() bool { return strings.Contains(l.offences(), chain.LessHistory) })
	p.end(syscall.SIGTERM, 10*time.Second)
}

// Writing the history anew by way of the interchange file loses nothing.
func TestHistoryMovedByInterchangeIsComplete(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v1.3.4")
	data, w := t.TempDir(), smallWallet(t, 2)
	for _, version := range []string{"v1.3.4", "v1.2.2", "v1.3.4", "v5.3.3"} {
		if version == "v5.3.3" {
			l.another(version)
		}
		p, _ := l.validator(version, data, w)
		l.more(5)
		p.end(syscall.SIGTERM, 10*time.Second)
		r, file := export(t, version, data)
		if r.code != 0 {
			t.Fatal(r)
		}
		data = t.TempDir()
		if version == "v1.2.2" || version == "v1.3.4" {
			open(t, data, "v1.2.2").Close() // v1.3.4 imports nothing where there is no database
		}
		if r := importHistory(t, "v1.2.2", data, file); r.code != 0 {
			t.Fatal(r)
		}
	}
	l.noOffence()
}

func TestDoppelgangerAndForeignDatabase(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6")
	data, w := t.TempDir(), smallWallet(t, 2)
	p, _ := l.validator("v7.1.6", data, w)
	until(t, "both keys attest", func() bool {
		n := 0
		for _, k := range l.judge().Keys {
			if k.Attestations > 0 {
				n++
			}
		}
		return n == 2
	})
	q, _ := l.validator("v7.1.6", t.TempDir(), w, "--enable-doppelganger")
	if code := q.wait(10 * time.Second); code != 0 || !strings.Contains(q.log.String(), "Duplicate instances exists in the network for validator keys") {
		t.Errorf("exit %d", code)
	}
	q, _ = l.validator("v5.3.3", t.TempDir(), w, "--enable-doppelganger")
	if code := q.wait(10 * time.Second); code != 1 {
		t.Errorf("exit %d", code)
	}
	l.noOffence()

	foreign := t.TempDir()
	s := open(t, foreign, "v1.3.4")
	s.SaveGenesisRoot(fixture.Unhex(t, fixture.GenesisRoot))
	s.Close()
	for version, code := range map[string]int{"v1.3.4": 1, "v7.1.6": 0} {
		q, _ = l.validator(version, foreign, w)
		if got := q.wait(10 * time.Second); got != code || !strings.Contains(q.log.String(), "does not match root saved in validator db") {
			t.Errorf("%s: exit %d\n%s", version, got, q.log.String())
		}
	}
	// The wallet is looked at late from v6 on.
	for version, code := range map[string]int{"v5.3.3": 1, "v6.1.4": 1, "v7.1.6": 0} {
		q, _ = l.validator(version, t.TempDir(), t.TempDir())
		if got := q.wait(10 * time.Second); got != code || !strings.Contains(q.log.String(), "no wallet found") {
			t.Errorf("%s: exit %d\n%s", version, got, q.log.String())
		}
	}
	p.end(syscall.SIGTERM, 10*time.Second)
}

func TestNoWalletAndNoBeaconStaysUp(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := daemon(t, prog("v7.1.6", "validator", "http://127.0.0.1:1", data, "--accept-terms-of-use", "--datadir="+data,
		"--wallet-dir="+data+"/none", "--beacon-rpc-provider=127.0.0.1:1", fmt.Sprint("--monitoring-port=", freeport.Find(t))))
	select {
	case <-p.done:
		t.Error("it ended")
	case <-time.After(2 * time.Second):
	}
	if code := p.end(syscall.SIGTERM, 5*time.Second); code != 0 || !fixture.Exists(filepath.Join(data, database.File)) {
		t.Errorf("exit %d", code)
	}
}

func TestBlacklistedKeysGetNoDuties(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6")
	data, w := t.TempDir(), smallWallet(t, 2)
	keys := someKeys(t, 2)
	s := open(t, data, "v7.1.6")
	s.Blacklist([][]byte{keys[0].Public})
	s.Close()
	p, port := l.validator("v7.1.6", data, w)
	l.more(4)
	if l.judge().Keys[keys[0].Pub()] != nil {
		t.Error("a blacklisted key signed")
	}
	if _, m := get(t, port, "/metrics"); !strings.Contains(m, `pubkey="`+keys[0].Pub()+`"} 3`) {
		t.Errorf("its status is not 3: %s", m)
	}
	if code, _ := get(t, port, "/healthz"); code != 200 {
		t.Errorf("healthz %d", code)
	}
	p.end(syscall.SIGTERM, 10*time.Second)
	if !strings.Contains(p.log.String(), "Not including slashable public key from slashing protection import in request to update validator duties") {
		t.Error("nothing in the log")
	}
}

func TestHotReload(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v1.3.4")
	data, w := t.TempDir(), smallWallet(t, 1)
	p, _ := l.validator("v1.3.4", data, w)
	l.more(2)
	opened, _ := wallet.Find(w, fixture.Release(t, "v1.3.4"))
	opened.Password = string(fixture.Read(t, fixture.Password(t)))
	if err := opened.Write(someKeys(t, 3)); err != nil {
		t.Fatal(err)
	}
	until(t, "new keys sign", func() bool { return len(l.judge().Keys) == 3 })
	// A key taken away stops, and its label stays.
	if err := opened.Write(someKeys(t, 1)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond)
	gone := someKeys(t, 2)[1].Pub()
	n := *l.judge().Keys[gone]
	l.more(4)
	if m := *l.judge().Keys[gone]; m.Attestations != n.Attestations || m.Blocks != n.Blocks {
		t.Error("a key that was taken away signed")
	}
	// Replacing the file by a rename ends the watch.
	path := opened.Path()
	os.Rename(path, path+".old")
	if err := opened.Write(someKeys(t, 3)); err != nil {
		t.Fatal(err)
	}
	p.end(syscall.SIGTERM, 10*time.Second)
	if !strings.Contains(p.log.String(), "Reloaded validator keys into keymanager") {
		t.Error(p.log.String())
	}
	l.noOffence()
}

func TestBeaconInterfaces(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"v1.3.4", "v7.1.6"} {
		t.Run(v, func(t *testing.T) {
			l := newLab(t, v)
			until(t, "healthy", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 200 })
			if _, m := get(t, l.mon, "/metrics"); !strings.Contains(m, `version="`+v+`"`) || !strings.Contains(m, "beacon_head_slot ") {
				t.Errorf("%s", m)
			}
			codes := map[string]int{
				"/eth/v1alpha1/node/syncing": 200, "/eth/v1alpha1/node/version": 200, "/eth/v1alpha1/node/genesis": 200,
				"/eth/v1alpha1/beacon/chainhead": 200, "/eth/v1/node/health": 404, "/eth/v1/node/syncing": 404,
			}
			if v == "v7.1.6" {
				codes = map[string]int{
					"/eth/v1alpha1/node/syncing": 404, "/eth/v1/node/health": 200, "/eth/v1/node/syncing": 200,
					"/eth/v1/node/version": 200, "/eth/v1/beacon/genesis": 200, "/eth/v1/config/spec": 200,
				}
			}
			for path, want := range codes {
				if code, body := get(t, l.http, path); code != want {
					t.Errorf("%s: %d %s", path, code, body)
				}
			}
			post(t, l.url+"/faults", map[string]bool{"syncing": true, "el_offline": true})
			until(t, "syncing", func() bool { code, _ := get(t, l.mon, "/healthz"); return code == 503 })
			if _, body := get(t, l.mon, "/healthz"); !strings.Contains(body, "rpc.Service: ERROR, syncing") {
				t.Error(body)
			}
			if v == "v7.1.6" {
				if code, _ := get(t, l.http, "/eth/v1/node/health"); code != 206 {
					t.Errorf("health %d", code)
				}
				if code, _ := get(t, l.http, "/eth/v1/node/health?syncing_status=299"); code != 299 {
					t.Errorf("health %d", code)
				}
				if _, body := get(t, l.http, "/eth/v1/node/syncing"); !strings.Contains(body, `"el_offline":true`) || !strings.Contains(body, `"is_syncing":true`) {
					t.Error(body)
				}
			} else if _, body := get(t, l.http, "/eth/v1alpha1/node/syncing"); strings.TrimSpace(body) != `{"syncing":true}` {
				t.Error(body)
			}
			if code := l.beacon.end(syscall.SIGTERM, 5*time.Second); code != 0 {
				t.Errorf("exit %d", code)
			}
		})
	}
}

func TestABeaconThatGoesAndComes(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6")
	data, w := t.TempDir(), smallWallet(t, 2)
	p, port := l.validator("v7.1.6", data, w)
	l.more(3)
	l.beacon.end(syscall.SIGKILL, 5*time.Second)
	time.Sleep(2 * time.Second)
	if code, _ := get(t, port, "/healthz"); code != 200 {
		t.Errorf("healthz %d while the beacon is away", code)
	}
	l.startBeacon()
	l.more(3)
	l.noOffence()
	// Over the standard port it works too.
	p.end(syscall.SIGTERM, 10*time.Second)
	p, _ = l.validator("v7.1.6", data, w, "--enable-beacon-rest-api", fmt.Sprint("--beacon-rest-api-provider=http://127.0.0.1:", l.http))
	l.more(3)
	p.end(syscall.SIGTERM, 10*time.Second)
	l.noOffence()
}

// A client and its beacon that do not mean the same network, or the same length of slots, get nothing done.
func TestNetworksThatDiffer(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "conf.yaml")
	fixture.Write(t, conf, []byte("CONFIG_NAME: x\nSECONDS_PER_SLOT: 1\n"), 0o600)
	other := filepath.Join(t.TempDir(), "conf.yaml")
	fixture.Write(t, other, []byte("CONFIG_NAME: x\nSECONDS_PER_SLOT: 12\n"), 0o600)
	l := newLab(t, "v1.3.4", "--chain-config-file="+conf)
	w := smallWallet(t, 1)
	var all []*process
	for _, flags := range [][]string{{}, {"--prater"}, {"--chain-config-file=" + other}} {
		p, _ := l.validator("v1.3.4", t.TempDir(), w, flags...)
		all = append(all, p)
	}
	time.Sleep(4 * time.Second)
	for _, p := range all {
		p.end(syscall.SIGTERM, 5*time.Second)
		if !strings.Contains(p.log.String(), "is not its beacon node's") {
			t.Error(p.log.String())
		}
	}
	if n := l.judge().Signatures; n != 0 {
		t.Errorf("%d signatures", n)
	}
	p, _ := l.validator("v1.3.4", t.TempDir(), w, "--chain-config-file="+conf)
	l.more(2)
	p.end(syscall.SIGTERM, 5*time.Second)

	// Configurations that no beacon of that version follows.
	for version, text := range map[string]string{
		"v1.3.4": "SECONDS_PER_SLOT: 1\n", "v7.1.6": "CONFIG_NAME: x\nDENEB_FORK_EPOCH: 18446744073709551615\n" + allForks,
	} {
		fixture.Write(t, other, []byte(text), 0o600)
		bad := newLab(t, version, "--chain-config-file="+other)
		until(t, "it answers", func() bool { code, _ := get(t, bad.mon, "/healthz"); return code != 0 })
		time.Sleep(2 * time.Second)
		if code, _ := get(t, bad.mon, "/healthz"); code != 503 {
			t.Errorf("%s with %q: healthz %d", version, text, code)
		}
	}
}

func post(t *testing.T, url string, in any) {
	t.Helper()
	raw, _ := json.Marshal(in)
	res, err := http.Post(url, "application/json", bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

func TestKeymanagerAPI(t *testing.T) {
	t.Parallel()
	l := newLab(t, "v7.1.6")
	data, w := t.TempDir(), smallWallet(t, 1)
	apiPort := freeport.Find(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	p, _ := l.validator("v7.1.6", data, w, "--rpc", fmt.Sprint("--http-port=", apiPort), "--keymanager-token-file="+tokenFile)
	token := ""
	call := func(method string, in any) (int, map[string]any) {
		t.Helper()
		raw, _ := json.Marshal(in)
		req, _ := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d/eth/v1/keystores", apiPort), bytes.NewReader(raw))
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil
		}
		defer res.Body.Close()
		var out map[string]any
		json.NewDecoder(res.Body).Decode(&out)
		return res.StatusCode, out
	}
	status := func(out map[string]any, i int) string {
		t.Helper()
		list, _ := out["data"].([]any)
		if len(list) <= i {
			t.Fatalf("%v", out)
		}
		s, _ := list[i].(map[string]any)["status"].(string)
		return s
	}
	until(t, "the API answers", func() bool { code, _ := call("GET", nil); return code == 401 })
	token = "wrong"
	if code, _ := call("GET", nil); code != 403 {
		t.Errorf("wrong token: %d", code)
	}
	raw := fixture.Read(t, tokenFile)
	if st, _ := os.Stat(tokenFile); st.Mode().Perm() != 0o600 || strings.Count(strings.TrimSpace(string(raw)), "\n") != 0 {
		t.Errorf("token file: %o %q", st.Mode().Perm(), raw)
	}
	token = strings.TrimSpace(string(raw))
	until(t, "ready", func() bool { code, _ := call("GET", nil); return code == 200 })

	keys := someKeys(t, 3)
	stores := []string{string(fixture.Keystore(t, 0, "", "")), string(fixture.Keystore(t, 1, "", "")), string(fixture.Keystore(t, 2, "", ""))}
	pass := "Fixture-pass-1!"
	code, out := call("POST", map[string]any{"keystores": stores, "passwords": []string{pass, pass, "wrong"}})
	if code != 200 || status(out, 0) != "duplicate" || status(out, 1) != "imported" || status(out, 2) != "error" {
		t.Errorf("%d %v", code, out)
	}
	root := l.chain.Config.GenesisValidatorsRoot
	wrongRoot := fmt.Sprintf(`{"metadata":{"interchange_format_version":"5","genesis_validators_root":"%s"},"data":[]}`, fixture.GenesisRoot)
	code, out = call("POST", map[string]any{"keystores": stores[2:], "passwords": []string{pass}, "slashing_protection": wrongRoot})
	if code != 200 || status(out, 0) != "error" || !strings.Contains(fmt.Sprint(out), "could not import slashing protection: <nil>") {
		t.Errorf("%d %v", code, out)
	}
	_ = root
	until(t, "the new key signs", func() bool { return l.judge().Keys[keys[1].Pub()] != nil })
	unknown := "0x" + strings.Repeat("ab", 48)
	code, out = call("DELETE", map[string]any{"pubkeys": []string{keys[1].Pub(), unknown}})
	if code != 200 || status(out, 0) != "deleted" || status(out, 1) != "not_found" {
		t.Errorf("%d %v", code, out)
	}
	var moved wire.Interchange
	text, _ := out["slashing_protection"].(string)
	if err := json.Unmarshal([]byte(text), &moved); err != nil || len(moved.Data) != 1 || moved.Data[0].Pubkey != keys[1].Pub() {
		t.Errorf("%v %s", err, text)
	}
	n := l.judge().Keys[keys[1].Pub()]
	if got := len(moved.Data[0].Attestations) + len(moved.Data[0].Blocks); got < n.Attestations+n.Blocks {
		t.Errorf("the history has %d records for %d signatures", got, n.Attestations+n.Blocks)
	}
	code, out = call("DELETE", map[string]any{"pubkeys": []string{keys[1].Pub()}})
	if code != 200 || status(out, 0) != "not_active" || !strings.Contains(fmt.Sprint(out["slashing_protection"]), keys[1].Pub()) {
		t.Errorf("%d %v", code, out)
	}
	l.more(4)
	if after := l.judge().Keys[keys[1].Pub()]; after.Attestations != n.Attestations || after.Blocks != n.Blocks {
		t.Error("a deleted key signed")
	}
	l.noOffence()
	p.end(syscall.SIGTERM, 10*time.Second)
}
