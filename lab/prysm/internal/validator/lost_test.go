package validator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/flags"
	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/keymanager"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// failingStore is a database that can be read but no longer be written, like a file whose NFS lock is lost.
func failingStore(t *testing.T, dir string) *database.Store {
	t.Helper()
	s, err := database.Open(dir, fixture.Release(t, "v7.1.6"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	db, err := bolt.Open(filepath.Join(dir, database.File), 0o600, &bolt.Options{
		OpenFile: func(name string, _ int, _ os.FileMode) (*os.File, error) { return os.OpenFile(name, os.O_RDONLY, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return database.New(db, fixture.Release(t, "v7.1.6"))
}

func TestALostDatabaseSignsNothing(t *testing.T) {
	if os.Getenv("PRYSM_TEST_LOST") != "" {
		sent := make(chan string, 1)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "submit") {
				sent <- r.URL.Path
			}
			json.NewEncoder(w).Encode(wire.AttestationData{Slot: 8, Source: 1, Target: 2, Root: fixture.GenesisRoot})
		}))
		v := fixture.Release(t, "v7.1.6")
		c := &cli.Context{Binary: "validator", Release: v, Log: logging.New(v), Flags: flags.Global("validator", v)}
		raw := fixture.Keys(t)[0]
		key := wallet.Key{Secret: fixture.Unhex(t, raw.Secret), Public: fixture.Unhex(t, raw.Pubkey)}
		store := failingStore(t, os.Getenv("PRYSM_TEST_LOST"))
		s := &signing{&session{
			cli: c, prefix: logging.ClientPrefix(v), keys: keymanager.New(c, nil, store), store: store, meter: newMeter(c),
			beacons: &beacons{list: []*jsonhttp.Client{jsonhttp.New(srv.URL)}},
			config:  wire.Config{GenesisValidatorsRoot: fixture.GenesisRoot},
		}}
		s.keys.Use([]wallet.Key{key})
		s.attest(t.Context(), key.Pub(), 8)
		os.Exit(7 + len(sent)) // not reached: the failure ends the process
	}
	c := exec.Command(os.Args[0], "-test.run=^TestALostDatabaseSignsNothing$")
	c.Env = append(os.Environ(), "PRYSM_TEST_LOST="+t.TempDir())
	out, err := c.CombinedOutput()
	if err == nil || c.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "Failed to batch save attestation records") ||
		!strings.Contains(string(out), "Failed attestation slashing protection check") {
		t.Fatalf("%v\n%s", err, out)
	}
}
