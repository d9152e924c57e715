package history_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/chain"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/kv"
	"eth2xk8s/lab/prysm/internal/labtest"
	"eth2xk8s/lab/prysm/internal/wire"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// records turns an export into a set, without keys that have none.
func records(t *testing.T, raw []byte) string {
	t.Helper()
	var in wire.Interchange
	if err := json.Unmarshal(raw, &in); err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{in.Metadata.Root: true}
	for _, d := range in.Data {
		for _, b := range d.Blocks {
			set[fmt.Sprintf("%s block %s %s", d.Pubkey, b.Slot, b.Root)] = true
		}
		for _, a := range d.Attestations {
			set[fmt.Sprintf("%s vote %s %s %s", d.Pubkey, a.Source, a.Target, a.Root)] = true
		}
	}
	var out []string
	for s := range set {
		out = append(out, s)
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

func TestDatabasesOfRealPrysmExportAsTheyDid(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		dir := t.TempDir()
		fixture.Unpack(t, fixture.Path(t, "prysm", v, "validator.db.xz"), dir)
		r, file := labtest.Export(t, v, dir)
		if r.Code != 0 {
			t.Fatal(r)
		}
		want := fixture.Read(t, fixture.Path(t, "prysm", v, "export.json"))
		if got := fixture.Read(t, file); records(t, got) != records(t, want) {
			t.Errorf("export differs:\n%s", got)
		}
		st, _ := os.Stat(file)
		if st.Mode().Perm() != 0o600 {
			t.Errorf("mode %o", st.Mode().Perm())
		}
	})
	live, err := filepath.Glob(filepath.Join(fixture.Path(t, "prysm-live"), "*.export-by-*.json"))
	if err != nil || len(live) == 0 {
		t.Fatal(err)
	}
	for _, want := range live {
		base, by, _ := strings.Cut(filepath.Base(want), ".export-by-")
		by = strings.TrimSuffix(by, ".json")
		t.Run(base+" by "+by, func(t *testing.T) {
			dir := t.TempDir()
			fixture.Unpack(t, fixture.Path(t, "prysm-live", base+".db.xz"), dir)
			r, file := labtest.Export(t, by, dir)
			if r.Code != 0 {
				t.Fatal(r)
			}
			if got := fixture.Read(t, file); records(t, got) != records(t, fixture.Read(t, want)) {
				t.Errorf("export differs:\n%s", got)
			}
		})
	}
}

func TestEveryVersionReadsTheNewestDatabase(t *testing.T) {
	want := records(t, fixture.Read(t, fixture.Path(t, "prysm", "v7.1.6", "export.json")))
	fixture.Each(t, func(t *testing.T, v string) {
		dir := t.TempDir()
		fixture.Unpack(t, fixture.Path(t, "prysm", "v7.1.6", "validator.db.xz"), dir)
		if r, file := labtest.Export(t, v, dir); r.Code != 0 || records(t, fixture.Read(t, file)) != want {
			t.Error(r)
		}
	})
}

func TestHistoryMatrix(t *testing.T) {
	input := fixture.Path(t, "prysm", "input-interchange.json")
	yes, no := true, false
	creates := [7]bool{yes, no, yes, yes, yes, no, no}
	codes := func(c ...int) [7]int { return [7]int(c) }
	missingImport, missingExport := codes(0, 0, 0, 0, 0, 1, 1), codes(0, 0, 1, 1, 1, 1, 1)
	wrongRoot, againWithout := codes(0, 0, 1, 1, 1, 1, 1), codes(0, 0, 1, 0, 0, 0, 0)
	fixture.Each(t, func(t *testing.T, v string) {
		i := fixture.Index(v)
		dir := t.TempDir()
		r := labtest.ImportHistory(t, v, dir, input)
		_, err := os.Stat(filepath.Join(dir, database.File))
		if r.Code != missingImport[i] || (err == nil) != creates[i] {
			t.Errorf("import without a database (%v): %s", err, r)
		}
		if v == "v1.3.4" && strings.Contains(r.All(), "imported") {
			t.Errorf("it said something: %s", r)
		}
		if v != "v1.2.2" {
			if r, file := labtest.Export(t, v, t.TempDir()); r.Code != missingExport[i] || fixture.Exists(file) {
				t.Errorf("export without a database: %s", r)
			}
		}

		dir = t.TempDir()
		fixture.Unpack(t, fixture.Path(t, "prysm", v, "validator.db.xz"), dir)
		wrong := filepath.Join(t.TempDir(), "w.json")
		raw := fixture.Read(t, input)
		fixture.Write(t, wrong, bytes.Replace(raw, []byte(fixture.GenesisRoot), []byte("0x"+strings.Repeat("77", 32)), 1), 0o600)
		r = labtest.ImportHistory(t, v, dir, wrong)
		if r.Code != wrongRoot[i] || !strings.Contains(r.Err, "genesis validators root doesn't match") {
			t.Errorf("wrong root: %s", r)
		}
		r = labtest.ImportHistory(t, v, dir, wrong+".missing")
		if want := wrongRoot[i]; r.Code != want {
			t.Errorf("missing file: %s", r)
		}
		fixture.Write(t, wrong, bytes.Replace(raw, []byte(`"5"`), []byte(`"4"`), 1), 0o600)
		if r = labtest.ImportHistory(t, v, dir, wrong); r.Code != wrongRoot[i] || !strings.Contains(r.Err, "version '4' is not supported") {
			t.Errorf("version 4: %s", r)
		}

		// The same records again, with and without roots: in the file of this test all votes carry roots.
		var in wire.Interchange
		json.Unmarshal(raw, &in)
		before := len(labtest.Votes(t, dir, v, in.Data[0].Pubkey))
		if r = labtest.ImportHistory(t, v, dir, input); r.Code != 0 || !strings.Contains(r.Err, "Slashing protection JSON successfully imported") {
			t.Errorf("again with roots: %s", r)
		}
		if n := len(labtest.Votes(t, dir, v, in.Data[0].Pubkey)); n != 2*before || len(labtest.Blacklist(t, dir, v)) != 0 {
			t.Errorf("again with roots: %d votes became %d", before, n)
		}
		for _, d := range in.Data {
			for _, a := range d.Attestations {
				a.Root = ""
			}
			for _, b := range d.Blocks {
				b.Root = ""
			}
		}
		bare, _ := json.Marshal(in)
		fixture.Write(t, wrong, bare, 0o600)
		r = labtest.ImportHistory(t, v, dir, wrong)
		black := len(labtest.Blacklist(t, dir, v))
		switch {
		case r.Code != againWithout[i]:
			t.Errorf("again without roots: %s", r)
		case i < 3 && (black != 0 || strings.Contains(r.Err, "successfully")):
			t.Errorf("again without roots, %d blacklisted: %s", black, r)
		case i >= 3 && (black != len(in.Data) || !strings.Contains(r.Err, "successfully")):
			t.Errorf("again without roots, %d blacklisted: %s", black, r)
		}
	})
}

// What contradicts itself is kept from v4.2.0 on only; its key is blacklisted everywhere.
func TestVotesThatContradictEachOther(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		dir := t.TempDir()
		fixture.Unpack(t, fixture.Path(t, "prysm", v, "validator.db.xz"), dir)
		key := "0x" + strings.Repeat("ab", 48)
		file := filepath.Join(t.TempDir(), "in.json")
		fixture.Write(t, file, []byte(`{"metadata": {"interchange_format_version": "5", "genesis_validators_root": "`+fixture.GenesisRoot+`"}, "data": [
			{"pubkey": "`+key+`", "signed_blocks": [{"slot": "7"}], "signed_attestations": [
			{"source_epoch": "1", "target_epoch": "5"}, {"source_epoch": "2", "target_epoch": "4"}]}]}`), 0o600)
		r := labtest.ImportHistory(t, v, dir, file)
		want := 2
		if fixture.Release(t, v).Before(4, 2, 0) {
			want = 0
		}
		if n := len(labtest.Votes(t, dir, v, key)); r.Code != 0 || n != want || len(labtest.Blacklist(t, dir, v)) != 1 {
			t.Errorf("%d votes: %s", n, r)
		}
	})
}

func TestExportThatFails(t *testing.T) {
	// A key that was imported and never proposed has attestations but no bucket of proposals.
	says := []string{"current number exceeds max", "current number exceeds max", "", "", "No slashing protection data was found",
		"No slashing protection data was found", "No slashing protection data was found"}
	codes := []int{0, 0, 0, 0, 1, 1, 1}
	fixture.Each(t, func(t *testing.T, v string) {
		i := fixture.Index(v)
		dir := t.TempDir()
		s := labtest.Open(t, dir, v)
		if err := s.SaveGenesisRoot(fixture.Unhex(t, fixture.GenesisRoot)); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckAndSaveVote(bytes.Repeat([]byte{7}, 48), database.Vote{Source: 1, Target: 2, Root: bytes.Repeat([]byte{1}, 32)}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		r, file := labtest.Export(t, v, dir)
		if r.Code != codes[i] || !strings.Contains(r.Err, says[i]) || fixture.Exists(file) != (says[i] == "") {
			t.Error(r)
		}
		// A file in the way that others may read.
		s = labtest.Open(t, dir, v)
		s.AddPublicKeys([][]byte{bytes.Repeat([]byte{7}, 48)})
		s.Close()
		r, file = labtest.Export(t, v, dir)
		if r.Code != 0 || !fixture.Exists(file) {
			t.Fatal(r)
		}
		os.Chmod(file, 0o644)
		want := 1
		if i < 2 {
			want = 0
		}
		r = labtest.Validator(t, v, labtest.ExportArgs(t, v, dir, filepath.Dir(file))...)
		if r.Code != want || !strings.Contains(r.Err, "without proper 0600 permissions") {
			t.Error(r)
		}
		// While somebody has the database.
		s = labtest.Open(t, dir, v)
		defer s.Close()
		if r, file := labtest.Export(t, v, dir); r.Code != want || !strings.Contains(r.Err, kv.ErrLocked.Error()) || fixture.Exists(file) {
			t.Error(r)
		}
	})
}

func TestMigrateDownAsRealPrysmDid(t *testing.T) {
	dir, real := t.TempDir(), t.TempDir()
	fixture.Unpack(t, fixture.Path(t, "prysm", "v1.3.4", "validator.db.xz"), dir)
	fixture.Unpack(t, fixture.Path(t, "prysm", "v1.3.4", "validator-migrated-down.db.xz"), real)
	r := labtest.Validator(t, "v1.3.4", "--accept-terms-of-use", "db", "migrate", "down", "--datadir="+dir)
	if r.Code != 0 {
		t.Fatal(r)
	}
	// Go's random order of maps decides which key's record wins in the real program; the roots that are kept, and for
	// which targets, do not depend on it, nor does anything outside the old blobs.
	shape := func(dir string) map[string]string {
		out := map[string]string{}
		db, err := bolt.Open(filepath.Join(dir, database.File), 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var walk func(string, *bolt.Bucket) error
		walk = func(path string, b *bolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				p := fmt.Sprintf("%s/%x", path, k)
				if v == nil {
					out[p] = "bucket"
					return walk(p, b.Bucket(k))
				}
				if path == "attestation-history-bucket-interchange" {
					v = append([]byte{}, v[:8]...) // the latest epoch
					out[p+"/size"] = fmt.Sprint(len(b.Get(k)))
				}
				out[p] = fmt.Sprintf("%x", v)
				return nil
			})
		}
		db.View(func(tx *bolt.Tx) error {
			return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return walk(string(name), b) })
		})
		return out
	}
	got, want := shape(dir), shape(real)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %s, real Prysm has %s", k, got[k], v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: real Prysm has no such record", k)
		}
	}
	if r := labtest.Validator(t, "v1.3.4", "--accept-terms-of-use", "db", "migrate", "down", "--datadir="+dir); r.Code != 1 || !strings.Contains(r.Err, "bucket not found") {
		t.Errorf("a second time: %s", r)
	}
	// Both databases come up again in the old version, with the damage measured: votes with source 0 that never were.
	for _, d := range []string{dir, real} {
		s := labtest.Open(t, d, "v1.2.2")
		if err := s.MigrateUp(); err != nil {
			t.Fatal(err)
		}
		votes, err := s.Votes(fixture.Unhex(t, fixture.Keys(t)[0].Pubkey))
		if err != nil {
			t.Fatal(err)
		}
		bogus := 0
		for _, a := range votes {
			if a.Source == 0 {
				bogus++
			}
		}
		if bogus != 1 {
			t.Errorf("%d votes with source 0", bogus)
		}
		s.Close()
	}
	// v1.2.2's own down leaves the newer bucket and says nothing.
	fixture.Unpack(t, fixture.Path(t, "prysm", "v7.1.6", "validator.db.xz"), dir)
	if r := labtest.Validator(t, "v1.2.2", "--accept-terms-of-use", "db", "migrate", "down", "--datadir="+dir); r.Code != 0 {
		t.Error(r)
	}
}

// Real Prysm's own way back over the change of layout mixes up the records of several keys. The judge sees it.
func TestMigrateDownIsCaught(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v1.3.4")
	data, w := t.TempDir(), labtest.SmallWallet(t, 3)
	p, _ := l.Validator("v1.3.4", data, w)
	labtest.Until(t, "three attestations a key", func() bool {
		n := 0
		for _, k := range l.Judge().Keys {
			if k.Attestations >= 3 {
				n++
			}
		}
		return n == 3
	})
	p.End(syscall.SIGTERM, 10*time.Second)
	l.NoOffence()
	if r := labtest.Validator(t, "v1.3.4", "--accept-terms-of-use", "db", "migrate", "down", "--datadir="+data); r.Code != 0 {
		t.Fatal(r)
	}
	p, _ = l.Validator("v1.2.2", data, w)
	labtest.Until(t, "less history", func() bool { return strings.Contains(l.Offences(), chain.LessHistory) })
	p.End(syscall.SIGTERM, 10*time.Second)
}

// Writing the history anew by way of the interchange file loses nothing.
func TestHistoryMovedByInterchangeIsComplete(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v1.3.4")
	data, w := t.TempDir(), labtest.SmallWallet(t, 2)
	for _, version := range []string{"v1.3.4", "v1.2.2", "v1.3.4", "v5.3.3"} {
		if version == "v5.3.3" {
			l.Another(version)
		}
		p, _ := l.Validator(version, data, w)
		l.More(5)
		p.End(syscall.SIGTERM, 10*time.Second)
		r, file := labtest.Export(t, version, data)
		if r.Code != 0 {
			t.Fatal(r)
		}
		data = t.TempDir()
		if version == "v1.2.2" || version == "v1.3.4" {
			labtest.Open(t, data, "v1.2.2").Close() // v1.3.4 imports nothing where there is no database
		}
		if r := labtest.ImportHistory(t, "v1.2.2", data, file); r.Code != 0 {
			t.Fatal(r)
		}
	}
	l.NoOffence()
}
