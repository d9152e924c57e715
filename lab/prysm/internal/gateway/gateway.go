// Package gateway is what a beacon node answers over HTTP: the gRPC gateway of the old releases (/eth/v1alpha1), the
// standard beacon API (/eth/v1), and the lab's own protocol between the two doubles. Paths and fields are those that
// playbooks and operators read of real Prysm; which release has which is in lab/prysm/README.md.
package gateway

import (
	"net/http"
	"strconv"

	"eth2xk8s/lab/prysm/internal/blockchain"
	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/wire"
)

// Gateway answers for one beacon node.
type Gateway struct {
	cli   *cli.Context
	chain *blockchain.Follower
}

// New answers from what a node knows of its chain.
func New(c *cli.Context, chain *blockchain.Follower) *Gateway { return &Gateway{c, chain} }

// states asks the chain what it knows of keys; a beacon that knows no chain knows no key.
func (g *Gateway) states(r *http.Request, keys []string) ([]wire.State, error) {
	var out []wire.State
	err := g.chain.Ask(r.Context(), "POST", "/states", wire.StatesRequest{Keys: keys}, &out)
	return out, err
}

// epochs are those that a status stands for.
func (g *Gateway) epochs(status string) map[string]string {
	const never = "18446744073709551615"
	now := number(g.chain.Epoch())
	e := map[string]string{
		"activation_eligibility_epoch": "0", "activation_epoch": "0", "exit_epoch": never, "withdrawable_epoch": never,
	}
	switch status {
	case "deposited", "partially_deposited", "unknown", "unknown_status":
		e["activation_eligibility_epoch"], e["activation_epoch"] = never, never
	case "pending":
		e["activation_epoch"] = never
	case "exiting", "slashing":
		e["exit_epoch"] = number(g.chain.Epoch() + 4)
	case "exited":
		e["exit_epoch"] = now
	}
	return e
}

// previous is the epoch that was justified before this one.
func previous(justified uint64) uint64 {
	if justified > 0 {
		return justified - 1
	}
	return 0
}

// number writes a number as both interfaces do: as text.
func number(n uint64) string { return strconv.FormatUint(n, 10) }

func fail(w http.ResponseWriter, code int, msg string) {
	jsonhttp.Answer(w, code, map[string]any{"message": msg, "code": code})
}
