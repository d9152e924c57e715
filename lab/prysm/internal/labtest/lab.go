package labtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/chain"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/freeport"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// Lab is a chain with one beacon; validators are started against it.
type Lab struct {
	Chain          *chain.Chain
	URL            string // of the chain
	RPC, HTTP, Mon int    // the beacon's ports
	Version        string // of the beacon
	Beacon         *Process
	BeaconData     string
	BeaconFlags    []string
	t              *testing.T
}

// New starts a chain with slots of one second and epochs of four, and a beacon.
func New(t *testing.T, version string, flags ...string) *Lab {
	t.Helper()
	c, err := chain.Open(t.TempDir(), wire.Config{GenesisTime: time.Now().Unix() - 40, SecondsPerSlot: 1, SlotsPerEpoch: 4})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(c.Handler())
	t.Cleanup(func() { srv.Close(); c.Close() })
	l := &Lab{
		t: t, Chain: c, URL: srv.URL, RPC: freeport.Find(t), HTTP: freeport.Find(t), Mon: freeport.Find(t), Version: version,
		BeaconData: t.TempDir(), BeaconFlags: flags,
	}
	l.StartBeacon()
	return l
}

// Another starts a beacon of another version, on a database of its own.
func (l *Lab) Another(version string, flags ...string) {
	l.t.Helper()
	l.Beacon.End(syscall.SIGTERM, 5*time.Second)
	l.Version, l.BeaconFlags, l.BeaconData = version, flags, l.t.TempDir()
	l.StartBeacon()
}

// StartBeacon starts the beacon, on the database that it has.
func (l *Lab) StartBeacon() {
	l.Beacon = Daemon(l.t, Program(l.Version, "beacon-chain", l.URL, l.t.TempDir(), append([]string{
		"--accept-terms-of-use", "--datadir=" + l.BeaconData, fmt.Sprint("--rpc-port=", l.RPC), fmt.Sprint("--grpc-gateway-port=", l.HTTP),
		fmt.Sprint("--monitoring-port=", l.Mon), fmt.Sprint("--p2p-tcp-port=", freeport.Find(l.t)), "--p2p-local-ip=127.0.0.1",
		fmt.Sprint("--p2p-udp-port=", freeport.Find(l.t)),
	}, l.BeaconFlags...)...))
}

// Validator starts a client; port gets its metrics.
func (l *Lab) Validator(version, data, walletDir string, flags ...string) (p *Process, port int) {
	l.t.Helper()
	port = freeport.Find(l.t)
	return Daemon(l.t, Program(version, "validator", l.URL, filepath.Join(data, "home"), append([]string{
		"--accept-terms-of-use", "--datadir=" + data, "--wallet-dir=" + walletDir, "--wallet-password-file=" + fixture.Password(l.t),
		fmt.Sprint("--beacon-rpc-provider=127.0.0.1:", l.RPC), fmt.Sprint("--monitoring-port=", port),
	}, flags...)...)), port
}

// Judge is what the judge says.
func (l *Lab) Judge() *chain.Report {
	l.t.Helper()
	var r chain.Report
	res, err := http.Get(l.URL + "/judge")
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&r); err != nil {
		l.t.Fatal(err)
	}
	return &r
}

// More waits until n more signatures were made.
func (l *Lab) More(n int) {
	l.t.Helper()
	have := l.Judge().Signatures
	Until(l.t, "signatures", func() bool { return l.Judge().Signatures >= have+n })
}

// NoOffence wants the judge to have seen none.
func (l *Lab) NoOffence() {
	l.t.Helper()
	for _, o := range l.Judge().Offences {
		l.t.Errorf("%s of %s: %s", o.Kind, o.Key[:14], o.Detail)
	}
}

// Offences are the kinds that the judge has seen.
func (l *Lab) Offences() string {
	seen := map[string]bool{}
	for _, o := range l.Judge().Offences {
		seen[o.Kind] = true
	}
	return fmt.Sprint(seen)
}

// Hoodi are the flags with which a beacon of today begins: its genesis comes from a checkpoint.
func (l *Lab) Hoodi() []string { return []string{"--hoodi", "--checkpoint-sync-url=" + l.URL} }

// SetStatuses says how the chain sees keys from now on.
func (l *Lab) SetStatuses(t *testing.T, statuses map[string]string) {
	t.Helper()
	raw, _ := json.Marshal(statuses)
	res, err := http.Post(l.URL+"/validators", "application/json", bytes.NewReader(raw))
	if err != nil || res.StatusCode != 200 {
		t.Fatal(err, res)
	}
	res.Body.Close()
}

// Until waits for something to become true.
func Until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

// Get asks a port of this machine.
func Get(t *testing.T, port int, path string) (int, string) {
	t.Helper()
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(raw)
}

// Post sends JSON and does not look at the answer.
func Post(t *testing.T, url string, in any) {
	t.Helper()
	raw, _ := json.Marshal(in)
	res, err := http.Post(url, "application/json", bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// SmallWallet has keys of the fixtures; cheap to open.
func SmallWallet(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "wallet")
	w, err := wallet.Create(dir, string(fixture.Read(t, fixture.Password(t))), fixture.Release(t, "v7.1.6"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(SomeKeys(t, n)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// SomeKeys are the first keys of the fixtures.
func SomeKeys(t *testing.T, n int) []wallet.Key {
	var keys []wallet.Key
	for _, k := range fixture.Keys(t)[:n] {
		keys = append(keys, wallet.Key{Secret: fixture.Unhex(t, k.Secret), Public: fixture.Unhex(t, k.Pubkey)})
	}
	return keys
}

// AllForks are the fork versions of a chain that is not mainnet.
const AllForks = `GENESIS_FORK_VERSION: 0x20000089
ALTAIR_FORK_VERSION: 0x20000090
BELLATRIX_FORK_VERSION: 0x20000091
CAPELLA_FORK_VERSION: 0x20000092
DENEB_FORK_VERSION: 0x20000093
ELECTRA_FORK_VERSION: 0x20000094
FULU_FORK_VERSION: 0x20000095
GLOAS_FORK_VERSION: 0x20000096
`
