// Package params is the network that a program follows: the network flags, the file of a custom chain and how slots are
// counted. Fork versions are mainnet's, with the release that came to know each; rules and texts are those of Prysm's
// config/params, as seen with the real programs on private chains.
package params

import (
	"errors"
	"fmt"
	"strings"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/flags"
)

// Networks are those that one release or another has a flag for.
var Networks = []string{"mainnet", "toledo", "pyrmont", "prater", "ropsten", "sepolia", "holesky", "hoodi"}

// Network is the network that the flags really mean: a flag without effect means mainnet.
func Network(c *cli.Context) string {
	if c.Flags.IsSet("chain-config-file") {
		return "custom"
	}
	for _, n := range []string{"toledo", "pyrmont", "prater", "ropsten", "sepolia", "holesky", "hoodi"} {
		if !c.Flags.Bool(n) {
			continue
		}
		if f := flags.Global(c.Binary, c.Release).Lookup(n); f != nil && f.Noop {
			continue
		}
		return n
	}
	return "mainnet"
}

// Announce says which network the flags mean, and refuses more than one.
func Announce(c *cli.Context) error {
	n := 0
	for _, name := range Networks {
		if c.Flags.IsSet(name) && c.Flags.Bool(name) {
			n++
		}
	}
	if n > 1 && c.Release.From(5, 1, 0) {
		return errors.New("cannot use more than one network flag at the same time. Possible network flags are: " +
			"mainnet, sepolia, holesky, hoodi")
	}
	text := "Running on Ethereum Mainnet"
	if c.Release.Before(2, 0, 0) {
		text = "Running on ETH2 Mainnet"
	}
	switch net := Network(c); net {
	case "mainnet":
	case "custom":
		text = "Running on custom Ethereum network specified in a chain configuration yaml file"
	default:
		text = fmt.Sprintf("Running on the %s%s Testnet", strings.ToUpper(net[:1]), net[1:])
	}
	if c.Release.From(5, 0, 0) {
		c.Log.Info("flags", text)
	} else {
		c.Log.Warn("flags", text)
	}
	return nil
}
