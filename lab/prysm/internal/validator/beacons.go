package validator

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/jsonhttp"
)

// beacons are the nodes that a client may ask.
type beacons struct {
	mu      sync.Mutex
	list    []*jsonhttp.Client
	current int
	// asksHealth: from v7.1.3 on a client looks at its beacon's health itself, goes on to the next one that is synced,
	// and stays there. Before, and over REST before, only a broken connection moves it, and over gRPC to the first of the
	// list that takes one.
	asksHealth, fromTheTop bool
}

func newBeacons(c *cli.Context) *beacons {
	list := c.Flags.String("beacon-rpc-provider", "127.0.0.1:4000")
	rest := c.Flags.Bool("enable-beacon-rest-api")
	if c.Release.From(7, 1, 8) && c.Flags.IsSet("beacon-rest-api-provider") {
		rest = true // the address alone is enough
	}
	if rest {
		list = c.Flags.String("beacon-rest-api-provider", "http://127.0.0.1:3500")
	}
	b := &beacons{asksHealth: c.Release.From(7, 1, 3), fromTheTop: !rest && c.Release.Before(7, 1, 3)}
	for _, address := range strings.Split(list, ",") {
		client := jsonhttp.New(strings.TrimSpace(address))
		if !rest {
			client.Lasting()                // no release has a keepalive
			client.Version = c.Release.Text // over REST no call of another era is missed
		}
		b.list = append(b.list, client)
	}
	return b
}

// ask talks to the current beacon, and chooses another one for the next call where the release would.
func (b *beacons) ask(ctx context.Context, method, path string, in, out any) error {
	b.mu.Lock()
	current := b.current
	b.mu.Unlock()
	err := b.list[current].Do(ctx, method, path, in, out)
	var st jsonhttp.StatusError
	switch {
	case err == nil || ctx.Err() != nil:
	case b.list[current].Waits(err): // on a connection that is open no release goes on, whatever else it could ask
	case !errors.As(err, &st) && b.fromTheTop:
		b.redial(ctx, current)
	case !errors.As(err, &st) || st.Code == http.StatusServiceUnavailable && b.asksHealth:
		b.leave(current)
	}
	return err
}

// leave goes on to the beacon behind this one, if this is still the current one.
func (b *beacons) leave(from int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current == from {
		b.current = (from + 1) % len(b.list)
	}
}

// redial takes the first of the list that answers at all; where none does, the next call begins at the top.
func (b *beacons) redial(ctx context.Context, from int) {
	found := 0
	for n, client := range b.list {
		var st jsonhttp.StatusError
		if err := client.Do(ctx, "GET", "/lab/status", nil, nil); err == nil || errors.As(err, &st) {
			found = n
			break
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current == from {
		b.current = found
	}
}

// unsynced says that the current beacon is not synced.
func (b *beacons) unsynced() {
	if b.asksHealth {
		b.mu.Lock()
		from := b.current
		b.mu.Unlock()
		b.leave(from)
	}
}

// isUnknownCall tells an answer of a beacon of another era.
func isUnknownCall(err error) bool {
	var st jsonhttp.StatusError
	return errors.As(err, &st) && st.Code == http.StatusNotImplemented
}
