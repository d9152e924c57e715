package flags

import (
	"path/filepath"
	"testing"

	"eth2xk8s/lab/prysm/internal/fixture"
)

func TestFlagsByVersion(t *testing.T) {
	for _, c := range []struct {
		binary, flag, version string
		known                 bool
	}{
		{"validator", "prater", "v1.2.2", false},
		{"validator", "prater", "v1.3.4", true},
		{"validator", "prater", "v5.0.4", false},
		{"validator", "hoodi", "v5.3.1", false},
		{"validator", "hoodi", "v7.1.6", true},
		{"beacon-chain", "genesis-state", "v1.2.2", false},
		{"beacon-chain", "genesis-state", "v1.3.4", true},
		{"beacon-chain", "http-web3provider", "v3.2.2", true},
		{"beacon-chain", "http-web3provider", "v4.0.0", false},
		{"beacon-chain", "execution-endpoint", "v2.1.4", false},
		{"beacon-chain", "execution-endpoint", "v3.0.0", true},
		{"beacon-chain", "fallback-web3provider", "v1.3.4", true},
		{"beacon-chain", "terminal-block-hash-override", "v2.1.0", false}, // gone for a while
		{"beacon-chain", "terminal-block-hash-override", "v2.1.3", true},
		{"validator", "enable-doppelganger", "v1.3.4", false},
		{"validator", "enable-doppelganger", "v1.4.1", true},
		{"beacon-chain", "supernode", "v7.1.0", true},
		{"beacon-chain", "subscribe-all-data-subnets", "v7.1.0", true}, // as an alias
		{"validator", "goerli", "v2.1.3", false},
		{"validator", "goerli", "v2.1.4", true},
	} {
		if got := Global(c.binary, fixture.Release(t, c.version)).Has(c.flag); got != c.known {
			t.Errorf("%s --%s at %s: known %v", c.binary, c.flag, c.version, got)
		}
	}
	// What works unchanged from the oldest to the newest.
	for _, v := range fixture.Versions {
		for _, f := range []string{"grpc-gateway-host", "grpc-gateway-port", "rpc-host", "monitoring-host", "p2p-max-peers", "verbosity"} {
			if !Global("beacon-chain", fixture.Release(t, v)).Has(f) {
				t.Errorf("beacon-chain --%s is unknown at %s", f, v)
			}
		}
		for _, f := range []string{"datadir", "wallet-dir", "wallet-password-file", "beacon-rpc-provider", "graffiti", "monitoring-host"} {
			if !Global("validator", fixture.Release(t, v)).Has(f) {
				t.Errorf("validator --%s is unknown at %s", f, v)
			}
		}
	}
}

func TestConfigFile(t *testing.T) {
	fs := Global("validator", fixture.Release(t, "v7.1.6"))
	path := filepath.Join(t.TempDir(), "c.yaml")
	fixture.Write(t, path, []byte("graffiti: hello\nmonitoring-port: 99\nenable-doppelganger: true\nunknown: 1\n"), 0o600)
	if _, err := fs.Parse([]string{"--graffiti=mine"}); err != nil {
		t.Fatal(err)
	}
	if err := fs.LoadConfigFile(path); err != nil {
		t.Fatal(err)
	}
	if fs.String("graffiti", "") != "mine" || fs.Int("monitoring-port", 0) != 99 || !fs.Bool("enable-doppelganger") {
		t.Fatalf("%v", fs.values)
	}
}

func TestFlagsOfV718(t *testing.T) {
	old, now := fixture.Release(t, "v7.1.6"), fixture.Release(t, "v7.1.8")
	for _, f := range []string{"beacon-rest", "enable-rest", "beacon-grpc"} {
		if Global("validator", old).Has(f) || !Global("validator", now).Has(f) {
			t.Error(f)
		}
	}
	if Global("validator", old).Lookup("interop-num-validators").Noop || !Global("validator", now).Lookup("interop-num-validators").Noop {
		t.Error("interop")
	}
}
