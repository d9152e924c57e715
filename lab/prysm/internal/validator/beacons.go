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

// beacons are the nodes that a client may ask, the current one first.
type beacons struct {
	mu   sync.Mutex
	list []*jsonhttp.Client
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
	b := &beacons{}
	for _, address := range strings.Split(list, ",") {
		client := jsonhttp.New(strings.TrimSpace(address))
		if !rest {
			client.Version = c.Release.Text // over REST no call of another era is missed
		}
		b.list = append(b.list, client)
	}
	return b
}

// ask talks to the current beacon and goes on to the next one if that does not answer.
func (b *beacons) ask(ctx context.Context, method, path string, in, out any) error {
	b.mu.Lock()
	current := b.list[0]
	b.mu.Unlock()
	err := current.Do(ctx, method, path, in, out)
	var st jsonhttp.StatusError
	if err != nil && (!errors.As(err, &st) || st.Code == 503) && ctx.Err() == nil {
		b.mu.Lock()
		if b.list[0] == current {
			b.list = append(b.list[1:], current)
		}
		b.mu.Unlock()
	}
	return err
}

// isUnknownCall tells an answer of a beacon of another era.
func isUnknownCall(err error) bool {
	var st jsonhttp.StatusError
	return errors.As(err, &st) && st.Code == http.StatusNotImplemented
}
