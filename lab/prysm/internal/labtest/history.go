package labtest

import (
	"path/filepath"
	"testing"

	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/fixture"
)

// ExportArgs has the terms where the version looks for them: up to v2.0.2 the sub-command has no flag for them.
func ExportArgs(t *testing.T, v, dir, to string) []string {
	t.Helper()
	args := []string{historyCommand(v), "export", "--datadir=" + dir, "--slashing-protection-export-dir=" + to}
	if fixture.Release(t, v).Before(2, 0, 3) {
		return append([]string{"--accept-terms-of-use"}, args...)
	}
	return append(args, "--accept-terms-of-use")
}

// Export exports the history of a database, and says where the file is (if there is one).
func Export(t *testing.T, v, dir string) (Result, string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "out")
	r := Validator(t, v, ExportArgs(t, v, dir, to)...)
	return r, filepath.Join(to, "slashing_protection.json")
}

// ImportHistory imports a file into a database.
func ImportHistory(t *testing.T, v, dir, file string) Result {
	t.Helper()
	return Validator(t, v, historyCommand(v), "import", "--datadir="+dir, "--slashing-protection-json-file="+file, "--accept-terms-of-use")
}

func historyCommand(v string) string {
	if v == "v1.2.2" || v == "v1.3.4" {
		return "slashing-protection"
	}
	return "slashing-protection-history"
}

// Open opens a database as a version does.
func Open(t *testing.T, dir, v string) *database.Store {
	t.Helper()
	s, err := database.Open(dir, fixture.Release(t, v))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Votes are the attestations that a database has of a key.
func Votes(t *testing.T, dir, v, key string) []database.Vote {
	t.Helper()
	s := Open(t, dir, v)
	defer s.Close()
	out, err := s.Votes(fixture.Unhex(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Blacklist are the keys that a database gives no duties to.
func Blacklist(t *testing.T, dir, v string) map[string]bool {
	s := Open(t, dir, v)
	defer s.Close()
	out, err := s.Blacklisted()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
