package params

import (
	"testing"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/flags"
)

func TestAFlagWithoutEffectMeansMainnet(t *testing.T) {
	for version, network := range map[string]string{"v2.1.4": "mainnet", "v1.3.4": "pyrmont"} {
		v := fixture.Release(t, version)
		c := &cli.Context{Binary: "validator", Release: v, Flags: flags.Global("validator", v)}
		if _, err := c.Flags.Parse([]string{"--pyrmont"}); err != nil || Network(c) != network {
			t.Fatalf("%s: %v %s", version, err, Network(c))
		}
	}
}
