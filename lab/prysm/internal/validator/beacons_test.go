package validator

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/flags"
)

// node is a beacon of which a test says how it answers.
type node struct {
	*httptest.Server
	code    int
	asked   atomic.Int32
	silence chan struct{} // until then it does not answer
}

func newNode(t *testing.T) *node {
	n := &node{code: http.StatusOK}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/status") {
			n.asked.Add(1)
		}
		if n.silence != nil {
			<-n.silence
		}
		w.WriteHeader(n.code)
	}))
	t.Cleanup(n.Close)
	return n
}

func clientOf(t *testing.T, release string, nodes ...*node) *beacons {
	v := fixture.Release(t, release)
	c := &cli.Context{Binary: "validator", Release: v, Flags: flags.Global("validator", v)}
	var list []string
	for _, n := range nodes {
		list = append(list, strings.TrimPrefix(n.URL, "http://"))
	}
	if _, err := c.Flags.Parse([]string{"--beacon-rpc-provider=" + strings.Join(list, ",")}); err != nil {
		t.Fatal(err)
	}
	return newBeacons(c)
}

func asks(t *testing.T, b *beacons, times int) {
	for range times {
		b.ask(t.Context(), "GET", "/lab/duties", nil, nil)
	}
}

func TestABeaconThatIsGoneIsLeft(t *testing.T) {
	for _, release := range []string{"v1.2.2", "v7.1.2", "v7.1.3"} {
		first, second := newNode(t), newNode(t)
		b := clientOf(t, release, first, second)
		asks(t, b, 1)
		first.Close()
		asks(t, b, 2)
		if first.asked.Load() != 1 || second.asked.Load() != 1 {
			t.Fatal(release, first.asked.Load(), second.asked.Load())
		}
	}
}

func TestABeaconThatIsNotSyncedIsLeftFromV713On(t *testing.T) {
	for release, left := range map[string]bool{"v1.3.4": false, "v7.1.2": false, "v7.1.3": true} {
		first, second := newNode(t), newNode(t)
		b := clientOf(t, release, first, second)
		first.code = http.StatusServiceUnavailable
		asks(t, b, 2)
		if (second.asked.Load() == 1) != left {
			t.Fatal(release, first.asked.Load(), second.asked.Load())
		}
	}
}

func TestAClientStaysWithTheBeaconItHas(t *testing.T) {
	for _, release := range []string{"v7.1.2", "v7.1.3"} {
		first, second := newNode(t), newNode(t)
		b := clientOf(t, release, first, second)
		b.current = 1
		asks(t, b, 3)
		if first.asked.Load() != 0 || second.asked.Load() != 3 {
			t.Fatal(release, first.asked.Load(), second.asked.Load())
		}
	}
}

func TestABeaconThatFallsSilentIsWaitedFor(t *testing.T) {
	for _, release := range []string{"v6.1.4", "v7.1.6"} {
		silence := make(chan struct{})
		first, second := newNode(t), newNode(t)
		first.silence = silence
		b := clientOf(t, release, first, second)
		asks(t, b, 2)
		if first.asked.Load() != 1 || second.asked.Load() != 0 {
			t.Fatal(release, first.asked.Load(), second.asked.Load())
		}
		close(silence)
	}
}
