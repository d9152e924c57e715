package version_test

import (
	"testing"

	"eth2xk8s/lab/prysm/internal/fixture"
)

func TestPairsOfVersions(t *testing.T) {
	for _, c := range []struct {
		validator, beacon string
		attests, proposes bool
	}{
		{"v1.3.4", "v1.2.2", true, true}, {"v1.3.4", "v2.1.4", true, true}, {"v1.3.4", "v3.2.2", true, false},
		{"v1.3.4", "v4.2.1", true, false}, {"v1.3.4", "v5.3.3", false, false}, {"v1.2.2", "v7.1.6", false, false},
		{"v2.1.4", "v1.3.4", false, true}, {"v2.1.4", "v7.1.6", true, true}, {"v4.2.1", "v4.1.1", false, true},
		{"v4.2.1", "v7.1.6", true, true}, {"v6.1.4", "v7.1.6", true, true}, {"v7.1.6", "v6.1.4", true, true},
		{"v7.1.6", "v5.0.1", false, true}, {"v7.1.6", "v1.3.4", false, true},
	} {
		attest, blocks := fixture.Release(t, c.validator).UnknownCall(fixture.Release(t, c.beacon))
		if (attest == "") != c.attests || (blocks == "") != c.proposes {
			t.Errorf("%s on %s: %q, %q", c.validator, c.beacon, attest, blocks)
		}
	}
}
