package validator

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/params"
)

// chainFile is what the configuration of a custom chain says.
type chainFile struct {
	slotLen string // "" if none was given
	altair  uint64 // the epoch of that fork: before it nobody is asked for doppelgangers
}

// checkFiles reads every file that a flag names, and fails as Prysm does.
func checkFiles(c *cli.Context) (chain chainFile, err error) {
	if path := c.Flags.String("chain-config-file", ""); path != "" {
		conf, err := params.Load(c, path)
		if err != nil {
			return chain, err
		}
		chain.slotLen = conf["SECONDS_PER_SLOT"]
		chain.altair, _ = strconv.ParseUint(conf["ALTAIR_FORK_EPOCH"], 10, 64)
	}
	for _, name := range []string{"proposer-settings-file", "fee-recipient-config-file", "graffiti-file", "tls-cert"} {
		if path := c.Flags.String(name, ""); path != "" {
			if _, err := os.ReadFile(path); err != nil {
				return chain, fmt.Errorf("could not load --%s: %w", name, err)
			}
		}
	}
	if a := c.Flags.String("suggested-fee-recipient", ""); a != "" && !params.IsAddress(a) {
		return chain, errors.New("default fileRecipient is not a valid Ethereum address")
	}
	if c.Flags.IsSet("validators-external-signer-url") {
		return chain, errors.New("an external signer is not played here")
	}
	if c.Release.From(7, 0, 0) && !c.Flags.IsSet("suggested-fee-recipient") && !c.Flags.IsSet("proposer-settings-file") &&
		!c.Flags.IsSet("proposer-settings-url") {
		c.Log.Warn("node", "No proposer settings were provided: the fee recipient of the beacon node is used")
	}
	return chain, nil
}
