package beacon_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/labtest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func metric(t *testing.T, port int, name string) string {
	t.Helper()
	_, text := labtest.Get(t, port, "/metrics")
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, name+" ") {
			return strings.TrimPrefix(line, name+" ")
		}
	}
	return ""
}

// syncing is what a beacon says over the standard interface.
func syncing(t *testing.T, l *labtest.Lab) (head, distance string, is bool) {
	t.Helper()
	var r struct {
		Data struct {
			Head     string `json:"head_slot"`
			Distance string `json:"sync_distance"`
			Syncing  bool   `json:"is_syncing"`
		} `json:"data"`
	}
	_, body := labtest.Get(t, l.HTTP, "/eth/v1/node/syncing")
	json.Unmarshal([]byte(body), &r)
	return r.Data.Head, r.Data.Distance, r.Data.Syncing
}

func TestHoodiAndSepoliaNeedACheckpointOnce(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6")
	const text = "could not initialize genesis state: new genesis data: genesis state has not been initialized"
	for _, v := range []string{"v6.1.4", "v7.1.6"} {
		for _, args := range [][]string{{"--hoodi"}, {"--sepolia"}, {"--hoodi", "--checkpoint-sync-url=http://127.0.0.1:1"}} {
			code, log := labtest.Short(t, v, "beacon-chain", l.URL, append(args, "--datadir="+t.TempDir())...)
			if code != 1 || !strings.Contains(log, text) {
				t.Errorf("%s %v: exit %d\n%s", v, args, code, log)
			}
		}
	}
	healthy := func() {
		t.Helper()
		labtest.Until(t, "healthy", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 200 })
	}
	l.Another("v7.1.6", l.Hoodi()...)
	healthy()
	// From then on the checkpoint is not asked for any more.
	l.Beacon.End(syscall.SIGTERM, 5*time.Second)
	l.BeaconFlags = []string{"--hoodi", "--checkpoint-sync-url=http://127.0.0.1:1"}
	l.StartBeacon()
	healthy()
	if !strings.Contains(l.Beacon.Log.String(), "ignoring checkpoint sync flags") {
		t.Error(l.Beacon.Log.String())
	}
	// A mainnet database begun without one, with an address that does not answer.
	l.Another("v7.1.6")
	healthy()
	l.Beacon.End(syscall.SIGTERM, 5*time.Second)
	code, log := labtest.Short(t, "v7.1.6", "beacon-chain", l.URL, "--datadir="+l.BeaconData, "--checkpoint-sync-url=http://127.0.0.1:1")
	if code != 1 || !strings.Contains(log, "Error retrieving checkpoint origin state and block") {
		t.Errorf("exit %d\n%s", code, log)
	}
}

func TestClockAndHeadMetricsAreSetByBlocks(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6", "--execution-endpoint=http://127.0.0.1:1")
	labtest.Until(t, "it answers", func() bool { return metric(t, l.Mon, "beacon_head_slot") != "" })
	// The first block arrives within a second, which a slow test may miss: 0 or a number, both metrics alike.
	if clock, head := metric(t, l.Mon, "beacon_clock_time_slot"), metric(t, l.Mon, "beacon_head_slot"); clock != "0" && head == "0" {
		t.Errorf("clock %s, head %s", clock, head)
	}
	labtest.Until(t, "blocks", func() bool { return metric(t, l.Mon, "beacon_head_slot") != "0" })

	// The execution client dies: nothing but the head tells.
	labtest.Post(t, l.URL+"/faults", map[string]bool{"el_dead": true})
	time.Sleep(1500 * time.Millisecond)
	clock, head := metric(t, l.Mon, "beacon_clock_time_slot"), metric(t, l.Mon, "beacon_head_slot")
	at, _, _ := syncing(t, l)
	time.Sleep(6 * time.Second) // longer than an epoch
	if c, h := metric(t, l.Mon, "beacon_clock_time_slot"), metric(t, l.Mon, "beacon_head_slot"); c != clock || h != head {
		t.Errorf("the metrics went on: clock %s to %s, head %s to %s", clock, c, head, h)
	}
	now, distance, is := syncing(t, l)
	if now != at || is || distance == "0" || distance == "1" {
		t.Errorf("head %s to %s, distance %s, syncing %v", at, now, distance, is)
	}
	if code, body := labtest.Get(t, l.Mon, "/healthz"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := labtest.Get(t, l.HTTP, "/eth/v1/node/health"); code != 200 {
		t.Errorf("health %d", code)
	}
	if _, body := labtest.Get(t, l.HTTP, "/eth/v1/node/syncing"); !strings.Contains(body, `"el_offline":false`) {
		t.Error(body)
	}
	// Its keys attest to the old head.
	data, w := t.TempDir(), labtest.SmallWallet(t, 1)
	p, _ := l.Validator("v7.1.6", data, w)
	l.More(2)
	p.End(syscall.SIGTERM, 10*time.Second)
	labtest.Post(t, l.URL+"/faults", map[string]bool{"el_dead": false})
	labtest.Until(t, "the head goes on", func() bool { h, _, _ := syncing(t, l); return h != at })
}

func TestAnOptimisticNodeIsNotHealthy(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6")
	labtest.Until(t, "healthy", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 200 })
	labtest.Post(t, l.URL+"/faults", map[string]bool{"optimistic": true})
	labtest.Until(t, "503", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 503 })
	if _, body := labtest.Get(t, l.Mon, "/healthz"); !strings.Contains(body, "*rpc.Service: ERROR, service is optimistic") {
		t.Error(body)
	}
	if _, body := labtest.Get(t, l.HTTP, "/eth/v1/node/syncing"); !strings.Contains(body, `"is_optimistic":true`) {
		t.Error(body)
	}
}

func TestWithoutEth1OldBeaconsAreNotHealthy(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"v1.2.2", "v1.3.4"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			l := labtest.New(t, v, "--http-web3provider=http://127.0.0.1:1")
			labtest.Until(t, "503", func() bool {
				code, body := labtest.Get(t, l.Mon, "/healthz")
				return code == 503 && strings.Contains(body, "*powchain.Service: ERROR, could not dial eth1 nodes") &&
					strings.Contains(body, "*rpc.Service: OK")
			})
			fallback := labtest.New(t, v, "--http-web3provider=http://127.0.0.1:1", "--fallback-web3provider="+l.URL)
			labtest.Until(t, "healthy", func() bool { code, _ := labtest.Get(t, fallback.Mon, "/healthz"); return code == 200 })
		})
	}
	l := labtest.New(t, "v7.1.6", "--execution-endpoint=http://127.0.0.1:1")
	labtest.Until(t, "healthy", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 200 })
}

func TestBeaconDatabasesOfOtherReleases(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v1.3.4")
	again := func(version string) {
		t.Helper()
		l.Beacon.End(syscall.SIGTERM, 5*time.Second)
		l.Version = version
		l.StartBeacon()
	}
	fails := func(version string, code int, text string) {
		t.Helper()
		l.Beacon.End(syscall.SIGTERM, 5*time.Second)
		got, log := labtest.Short(t, version, "beacon-chain", l.URL, "--datadir="+l.BeaconData)
		if got != code || !strings.Contains(log, text) {
			t.Errorf("%s: exit %d\n%s", version, got, log)
		}
	}
	healthy := func() {
		t.Helper()
		labtest.Until(t, "healthy", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 200 })
	}
	healthy()
	fails("v7.1.6", 1, "unable to decode finalized block root container")
	again("v5.0.2") // older repairs do not look
	healthy()
	l.Another("v7.1.6")
	healthy()
	fails("v1.3.4", 2, "panic: runtime error")
	fails("v4.2.1", 1, "trying to use old deposit trie")
	again("v6.1.4")
	healthy()
	again("v7.1.6")
	healthy()
	// One that is old enough opens, once and for all.
	l.Another("v1.3.4")
	healthy()
	first := l.Chain.Now
	l.Chain.Now = func() time.Time { return first().Add(50 * time.Second) }
	again("v7.1.6")
	labtest.Until(t, "it answers", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code != 0 })
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
	l := labtest.New(t, "v7.1.6")
	l.Another("v7.1.6", append(l.Hoodi(), "--execution-endpoint="+engine.URL, "--jwt-secret="+file)...)
	labtest.Until(t, "it says so", func() bool { return strings.Contains(l.Beacon.Log.String(), "connection is not authenticated") })
	if code, _ := labtest.Get(t, l.Mon, "/healthz"); code == 200 {
		t.Error("healthy without an execution client")
	}
	accepts.Store(true)
	labtest.Until(t, "healthy", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 200 })
}
