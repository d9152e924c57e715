package params_test

import (
	"path/filepath"
	"strings"
	"testing"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/labtest"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/params"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestAForkVersionOfMainnetEndsACustomChain(t *testing.T) {
	t.Parallel()
	lines := strings.SplitAfter(labtest.AllForks, "\n")
	without := func(drop ...string) string {
		text := "CONFIG_NAME: rehearsal\nSECONDS_PER_SLOT: 1\n"
		for _, l := range lines {
			keep := true
			for _, d := range drop {
				keep = keep && !strings.HasPrefix(l, d)
			}
			if keep {
				text += l
			}
		}
		return text
	}
	for _, c := range []struct {
		version string
		drop    []string
		fork    string // that collides; none: it starts
	}{
		{"v1.3.4", []string{"ALTAIR", "FULU", "GLOAS"}, ""},
		{"v2.1.4", []string{"CAPELLA", "DENEB", "ELECTRA", "FULU", "GLOAS"}, ""},
		{"v2.1.4", []string{"ALTAIR"}, "altair"},
		{"v4.2.1", []string{"DENEB"}, "deneb"},
		{"v6.1.4", []string{"GLOAS"}, ""},
		{"v6.1.4", []string{"FULU"}, "fulu"},
		{"v7.1.3", []string{"GLOAS"}, ""},
		{"v7.1.6", []string{"GLOAS"}, "gloas"},
		{"v7.1.6", []string{"GENESIS"}, "genesis"},
		{"v7.1.6", nil, ""},
	} {
		conf := filepath.Join(t.TempDir(), "conf.yaml")
		fixture.Write(t, conf, []byte(without(c.drop...)), 0o600)
		v := fixture.Release(t, c.version)
		for _, binary := range []string{"beacon-chain", "validator"} {
			app := &cli.Context{Binary: binary, Release: v, Log: logging.New(v)}
			_, err := params.Load(app, conf)
			if (err != nil) != (c.fork != "") {
				t.Errorf("%s %s without %v: %v", c.version, binary, c.drop, err)
			}
			if err != nil && !strings.Contains(err.Error(), "conflicts with existing config named=mainnet: configset cannot add "+
				"config with conflicting fork version schedule") {
				t.Error(err)
			}
			if err != nil && v.From(4, 0, 0) && !strings.Contains(err.Error(), " for fork "+c.fork+" in config rehearsal ") {
				t.Error(err)
			}
		}
	}
	conf := filepath.Join(t.TempDir(), "conf.yaml")
	fixture.Write(t, conf, []byte(without("FULU")), 0o600)
	for _, binary := range []string{"beacon-chain", "validator"} {
		code, log := labtest.Short(t, "v7.1.6", binary, "http://127.0.0.1:1", "--datadir="+t.TempDir(), "--chain-config-file="+conf)
		if code != 1 || !strings.Contains(log, "version 0x06000000 for fork fulu in config rehearsal conflicts") {
			t.Errorf("%s: exit %d\n%s", binary, code, log)
		}
	}
}

func TestQuotedHexIsNoConfiguration(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"GENESIS_FORK_VERSION: '0x20000089'\n", "GENESIS_FORK_VERSION: \"0x20000089\"\n"} {
		conf := filepath.Join(t.TempDir(), "conf.yaml")
		fixture.Write(t, conf, []byte("CONFIG_NAME: x\nDEPOSIT_CONTRACT_ADDRESS: \"0x42\"\n"+text), 0o600)
		for _, v := range []string{"v1.2.2", "v1.3.4", "v6.1.4", "v7.1.6"} {
			code, log := labtest.Short(t, v, "beacon-chain", "http://127.0.0.1:1", "--datadir="+t.TempDir(), "--chain-config-file="+conf)
			if code != 1 || !strings.Contains(log, "Failed to parse chain config yaml file.") {
				t.Errorf("%s: exit %d\n%s", v, code, log)
			}
		}
	}
}
