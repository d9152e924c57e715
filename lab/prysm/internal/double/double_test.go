package double

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/kv"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// The test binary is also the program: started with PRYSM_TEST_PLAY it plays that binary.
func TestMain(m *testing.M) {
	if name := os.Getenv("PRYSM_TEST_PLAY"); name != "" {
		os.Exit(Main(name, os.Args[1:]))
	}
	// Most tests wait for slots to pass, not for the processor.
	flag.Parse()
	flag.Set("test.parallel", "12")
	os.Exit(m.Run())
}

type result struct {
	code     int
	out, err string
}

func (r result) String() string { return fmt.Sprintf("exit %d\n%s\n%s", r.code, r.out, r.err) }
func (r result) all() string    { return r.out + r.err }

func prog(version, binary, chain, home string, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = []string{"PRYSM_TEST_PLAY=" + binary, "PRYSM_VERSION=" + version, "PRYSM_CHAIN=" + chain, "HOME=" + home}
	return c
}

// play runs a command to its end.
func play(t *testing.T, version, binary string, args ...string) result {
	t.Helper()
	c := prog(version, binary, "http://127.0.0.1:1", t.TempDir(), args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case <-done:
	case <-ctx.Done():
		c.Process.Kill()
		t.Fatalf("%s %v did not end: %s", version, args, errs.String())
	}
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

func playValidator(t *testing.T, version string, args ...string) result {
	t.Helper()
	return play(t, version, "validator", args...)
}

// ---- flags

func TestMistakesOnTheCommandLine(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		r := playValidator(t, v, "--no-such-flag")
		if r.code != 0 || !strings.Contains(r.out, "flag provided but not defined: -no-such-flag") || !strings.Contains(r.out, "Incorrect Usage") {
			t.Errorf("unknown flag: %s", r)
		}
		r = playValidator(t, v, "accounts", "list", "--no-such-flag")
		if r.code != 0 || !strings.Contains(r.out, "Incorrect Usage: flag provided but not defined") {
			t.Errorf("unknown flag of a sub-command: %s", r)
		}
		dir := t.TempDir()
		r = playValidator(t, v, "db", "migrate", "down", "--datadir="+dir, "--accept-terms-of-use")
		if r.code != 0 || !strings.Contains(r.all(), "not defined: -accept-terms-of-use") {
			t.Errorf("terms after db migrate: %s", r)
		}
		r = playValidator(t, v, "accounts", "list", "--wallet-dir="+dir)
		if r.code != 0 || !strings.Contains(r.err, "could not scan text input") {
			t.Errorf("terms not accepted: %s", r)
		}
		// A sub-command that has a flag itself does not see what was given before it.
		r = playValidator(t, v, "--accept-terms-of-use", "accounts", "list", "--wallet-dir="+dir)
		if r.code != 0 || !strings.Contains(r.err, "could not scan text input") {
			t.Errorf("terms before the sub-command: %s", r)
		}
		if fixture.Release(t, v).From(1, 4, 1) {
			r = playValidator(t, v, "--accept-terms-of-use", "--datadir="+dir, "stray")
			if r.code != 0 || !strings.Contains(r.err, "unrecognized argument: stray") {
				t.Errorf("stray argument: %s", r)
			}
		}
		if fixture.Release(t, v).From(5, 3, 2) {
			r = playValidator(t, v, "--accept-terms-of-use", "--datadir="+dir, "--hoodi", "--sepolia")
			if r.code != 0 || !strings.Contains(r.err, "cannot use more than one network flag") {
				t.Errorf("two networks: %s", r)
			}
		}
	})
}

func TestConfigFileThatIsMissing(t *testing.T) {
	r := playValidator(t, "v7.1.6", "--config-file="+filepath.Join(t.TempDir(), "c.yaml"))
	if r.code != 0 || !strings.Contains(r.err, "Unable to create input source") {
		t.Fatal(r)
	}
}

// ---- wallets

var listed = regexp.MustCompile(`0x[0-9a-f]{96}`)

func keySet(text string) string {
	keys := listed.FindAllString(text, -1)
	sort.Strings(keys)
	return strings.Join(keys, "\n")
}

func allKeys(t *testing.T) string {
	var out []string
	for _, k := range fixture.Keys(t) {
		out = append(out, "0x"+k.Pubkey)
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

func TestAccountsListAsInTheTranscript(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		dir := fixture.Wallet(t, v)
		r := playValidator(t, v, "accounts", "list", "--wallet-dir="+dir, "--wallet-password-file="+fixture.Password(t), "--accept-terms-of-use")
		if r.code != 0 || keySet(r.out) != allKeys(t) {
			t.Fatal(r)
		}
		transcript := string(fixture.Read(t, fixture.Path(t, "prysm", v, "transcript.txt")))
		plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(r.out, "")
		for _, line := range strings.Split(plain, "\n") {
			if !strings.HasPrefix(line, "Account ") && !strings.Contains(transcript, line) {
				t.Errorf("real %s did not say %q", v, line)
			}
		}
		wrong := filepath.Join(t.TempDir(), "p")
		fixture.Write(t, wrong, []byte("not the password"), 0o600)
		r = playValidator(t, v, "accounts", "list", "--wallet-dir="+dir, "--wallet-password-file="+wrong, "--accept-terms-of-use")
		if r.code != 1 || !strings.Contains(r.err, "Could not list accounts") || !strings.Contains(r.err, "wrong wallet password entered") {
			t.Error(r)
		}
	})
}

type importCase struct {
	name  string
	setup func(t *testing.T, keys string) // fills the directory of keystores
	pass  string
	codes [7]int
	says  [7]string // "" is not looked at
	keys  [7]int    // in the wallet afterwards
}

func name(n int) string { return fmt.Sprintf("keystore-m_12381_3600_%d_0_0-1.json", n) }

func TestAccountsImportMatrix(t *testing.T) {
	two := func(t *testing.T, dir string) {
		fixture.Write(t, filepath.Join(dir, name(0)), fixture.Keystore(t, 0, "", ""), 0o400)
		fixture.Write(t, filepath.Join(dir, name(1)), fixture.Keystore(t, 1, "", ""), 0o400)
	}
	cases := []importCase{
		{"good", two, "Fixture-pass-1!\n", [7]int{}, [7]string{
			"Successfully imported", "Successfully imported", "Successfully imported", "Imported accounts", "Imported accounts",
			"Imported accounts", "Imported accounts"}, [7]int{2, 2, 2, 2, 2, 2, 2}},
		{"wrong password", two, "wrong", [7]int{1, 1}, [7]string{
			"Could not import accounts: could not read keystore password", "Password incorrect for key 0x", "Successfully imported",
			"no accounts were successfully imported", "no accounts", "no accounts", "no accounts"}, [7]int{}},
		{"one of two passwords wrong", func(t *testing.T, dir string) {
			fixture.Write(t, filepath.Join(dir, name(0)), fixture.Keystore(t, 0, "", ""), 0o400)
			fixture.Write(t, filepath.Join(dir, name(1)), fixture.Keystore(t, 1, "another-pass", ""), 0o400)
		}, "Fixture-pass-1!", [7]int{1, 1}, [7]string{
			"", "", "\x1b[1;32m2\x1b[0m accounts", "Imported accounts", "incorrect password", "", ""}, [7]int{0, 0, 1, 1, 1, 1, 1}},
		{"0x before the public key", func(t *testing.T, dir string) {
			fixture.Write(t, filepath.Join(dir, name(0)), fixture.Keystore(t, 0, "", "0x"), 0o400)
		}, "Fixture-pass-1!", [7]int{1, 1}, [7]string{
			"could not decode pubkey", "", "\x1b[1;32m1\x1b[0m accounts", "no accounts", "", "", ""}, [7]int{}},
		{"empty directory", func(*testing.T, string) {}, "Fixture-pass-1!", [7]int{1, 1, 1, 1, 1, 1, 1}, [7]string{
			"has no files, cannot import from it"}, [7]int{}},
		{"only deposit data", func(t *testing.T, dir string) {
			fixture.Write(t, filepath.Join(dir, "deposit_data-1.json"), []byte(`[{"pubkey":"ab"}]`), 0o400)
		}, "Fixture-pass-1!", [7]int{0, 0, 1, 1, 1, 1, 1}, [7]string{"\x1b[1;32m0\x1b[0m accounts"}, [7]int{}},
		{"mislabelled", func(t *testing.T, dir string) {
			raw := fixture.Keystore(t, 0, "", "")
			keys := fixture.Keys(t)
			fixture.Write(t, filepath.Join(dir, name(0)), bytes.Replace(raw, []byte(keys[0].Pubkey), []byte(keys[5].Pubkey), 1), 0o400)
		}, "Fixture-pass-1!", [7]int{}, [7]string{}, [7]int{1, 1, 1, 1, 1, 1, 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fixture.Each(t, func(t *testing.T, v string) {
				i := fixture.Index(v)
				dir := t.TempDir()
				keys := filepath.Join(dir, "keys")
				os.MkdirAll(keys, 0o700)
				c.setup(t, keys)
				pass := filepath.Join(dir, "pass")
				fixture.Write(t, pass, []byte(c.pass), 0o600)
				r := playValidator(t, v, "accounts", "import", "--wallet-dir="+dir+"/wallet", "--wallet-password-file="+fixture.Password(t),
					"--keys-dir="+keys, "--account-password-file="+pass, "--accept-terms-of-use")
				if r.code != c.codes[i] || !strings.Contains(r.all(), c.says[i]) {
					t.Errorf("want exit %d, %q: %s", c.codes[i], c.says[i], r)
				}
				w, err := wallet.Find(dir+"/wallet", fixture.Release(t, v))
				if err != nil {
					t.Fatal(err)
				}
				w.Password = string(fixture.Read(t, fixture.Password(t)))
				got, err := w.Keys()
				if err != nil || len(got) != c.keys[i] {
					t.Errorf("%d keys in the wallet, %v; want %d", len(got), err, c.keys[i])
				}
			})
		})
	}
}

func TestAccountsImportOfAKnownKey(t *testing.T) {
	says := []string{"Successfully imported", "Successfully imported", "Successfully imported", "no accounts", "no accounts", "no accounts", "no accounts"}
	fixture.Each(t, func(t *testing.T, v string) {
		dir := fixture.Wallet(t, v)
		args := []string{"accounts", "import", "--wallet-dir=" + dir, "--wallet-password-file=" + fixture.Password(t),
			"--keys-dir=" + fixture.Path(t, "prysm", "keystores"), "--account-password-file=" + fixture.Path(t, "prysm", "account-password.txt"),
			"--accept-terms-of-use"}
		r := playValidator(t, v, args...)
		if r.code != 0 || !strings.Contains(r.all(), says[fixture.Index(v)]) {
			t.Error(r)
		}
		// A wallet that others may read is not written.
		path := filepath.Join(dir, fixture.AccountsFile)
		fresh := filepath.Join(t.TempDir(), "k")
		fixture.Write(t, filepath.Join(fresh, name(0)), bytes.Replace(fixture.Keystore(t, 0, "", ""),
			[]byte(fixture.Keys(t)[0].Pubkey), bytes.Repeat([]byte("ab"), 48), 1), 0o600)
		os.Chmod(path, 0o640)
		args[4] = "--keys-dir=" + fresh
		if r = playValidator(t, v, args...); r.code != 1 || !strings.Contains(r.err, "without proper 0600 permissions") {
			t.Error(r)
		}
	})
}

func TestDeleteBackupAndCreate(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		dir := fixture.Wallet(t, v)
		common := []string{"--wallet-dir=" + dir, "--wallet-password-file=" + fixture.Password(t), "--accept-terms-of-use"}
		key := "0x" + fixture.Keys(t)[3].Pubkey
		out := filepath.Join(t.TempDir(), "backup")
		r := playValidator(t, v, append([]string{"accounts", "backup", "--backup-dir=" + out, "--backup-password-file=" + fixture.Password(t),
			"--backup-public-keys=" + key}, common...)...)
		if st, err := os.Stat(out + "/backup.zip"); r.code != 0 || err != nil || st.Mode().Perm() != 0o644 {
			t.Error(r, err)
		}
		r = playValidator(t, v, append([]string{"accounts", "delete", "--delete-public-keys=" + key}, common...)...)
		if r.code != 0 {
			t.Error(r)
		}
		r = playValidator(t, v, append([]string{"accounts", "list"}, common...)...)
		if strings.Contains(r.out, key) || len(listed.FindAllString(r.out, -1)) != 5 {
			t.Error(r)
		}
		code := 0
		if fixture.Release(t, v).Before(2, 0, 3) {
			code = 1
		}
		r = playValidator(t, v, append([]string{"accounts", "delete", "--delete-public-keys=" + key}, common...)...)
		if r.code != code {
			t.Errorf("a key that is not there: %s", r)
		}
		kind := "imported"
		code = 0
		if fixture.Release(t, v).Before(2, 1, 0) {
			code = 1
		}
		r = playValidator(t, v, "wallet", "create", "--wallet-dir="+t.TempDir()+"/w", "--keymanager-kind="+kind,
			"--wallet-password-file="+fixture.Password(t), "--accept-terms-of-use")
		if r.code != code || code == 1 && !strings.Contains(r.err, "imported is not an allowed keymanager") {
			t.Error(r)
		}
	})
}

func TestAWalletUnderAnotherNameOfItsKindIsNotFound(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		dir := fixture.Wallet(t, v)
		if err := os.Rename(filepath.Join(dir, "direct"), filepath.Join(dir, "imported")); err != nil {
			t.Fatal(err)
		}
		list := []string{"accounts", "list", "--wallet-dir=" + dir, "--wallet-password-file=" + fixture.Password(t), "--accept-terms-of-use"}
		if fixture.Release(t, v).From(2, 1, 0) {
			// An empty direct comes to stand beside it.
			if r := playValidator(t, v, list...); r.code != 0 || keySet(r.out) != "" {
				t.Error(r)
			}
		}
		if r := playValidator(t, v, list...); r.code != 1 || !strings.Contains(r.err, "no wallet found") {
			t.Error(r)
		}
	})
}

// ---- databases and history

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

func historyCommand(v string) string {
	if v == "v1.2.2" || v == "v1.3.4" {
		return "slashing-protection"
	}
	return "slashing-protection-history"
}

// exportArgs has the terms where the version looks for them: up to v2.0.2 the sub-command has no flag for them.
func exportArgs(t *testing.T, v, dir, to string) []string {
	t.Helper()
	args := []string{historyCommand(v), "export", "--datadir=" + dir, "--slashing-protection-export-dir=" + to}
	if fixture.Release(t, v).Before(2, 0, 3) {
		return append([]string{"--accept-terms-of-use"}, args...)
	}
	return append(args, "--accept-terms-of-use")
}

func export(t *testing.T, v, dir string) (result, string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "out")
	r := playValidator(t, v, exportArgs(t, v, dir, to)...)
	return r, filepath.Join(to, "slashing_protection.json")
}

func TestDatabasesOfRealPrysmExportAsTheyDid(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		dir := t.TempDir()
		fixture.Unpack(t, fixture.Path(t, "prysm", v, "validator.db.xz"), dir)
		r, file := export(t, v, dir)
		if r.code != 0 {
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
			r, file := export(t, by, dir)
			if r.code != 0 {
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
		if r, file := export(t, v, dir); r.code != 0 || records(t, fixture.Read(t, file)) != want {
			t.Error(r)
		}
	})
}

func importHistory(t *testing.T, v, dir, file string) result {
	t.Helper()
	return playValidator(t, v, historyCommand(v), "import", "--datadir="+dir, "--slashing-protection-json-file="+file, "--accept-terms-of-use")
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
		r := importHistory(t, v, dir, input)
		_, err := os.Stat(filepath.Join(dir, database.File))
		if r.code != missingImport[i] || (err == nil) != creates[i] {
			t.Errorf("import without a database (%v): %s", err, r)
		}
		if v == "v1.3.4" && strings.Contains(r.all(), "imported") {
			t.Errorf("it said something: %s", r)
		}
		if v != "v1.2.2" {
			if r, file := export(t, v, t.TempDir()); r.code != missingExport[i] || fixture.Exists(file) {
				t.Errorf("export without a database: %s", r)
			}
		}

		dir = t.TempDir()
		fixture.Unpack(t, fixture.Path(t, "prysm", v, "validator.db.xz"), dir)
		wrong := filepath.Join(t.TempDir(), "w.json")
		raw := fixture.Read(t, input)
		fixture.Write(t, wrong, bytes.Replace(raw, []byte(fixture.GenesisRoot), []byte("0x"+strings.Repeat("77", 32)), 1), 0o600)
		r = importHistory(t, v, dir, wrong)
		if r.code != wrongRoot[i] || !strings.Contains(r.err, "genesis validators root doesn't match") {
			t.Errorf("wrong root: %s", r)
		}
		r = importHistory(t, v, dir, wrong+".missing")
		if want := wrongRoot[i]; r.code != want {
			t.Errorf("missing file: %s", r)
		}
		fixture.Write(t, wrong, bytes.Replace(raw, []byte(`"5"`), []byte(`"4"`), 1), 0o600)
		if r = importHistory(t, v, dir, wrong); r.code != wrongRoot[i] || !strings.Contains(r.err, "version '4' is not supported") {
			t.Errorf("version 4: %s", r)
		}

		// The same records again, with and without roots: in the file of this test all votes carry roots.
		var in wire.Interchange
		json.Unmarshal(raw, &in)
		before := len(votesOf(t, dir, v, in.Data[0].Pubkey))
		if r = importHistory(t, v, dir, input); r.code != 0 || !strings.Contains(r.err, "Slashing protection JSON successfully imported") {
			t.Errorf("again with roots: %s", r)
		}
		if n := len(votesOf(t, dir, v, in.Data[0].Pubkey)); n != 2*before || len(blacklistOf(t, dir, v)) != 0 {
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
		r = importHistory(t, v, dir, wrong)
		black := len(blacklistOf(t, dir, v))
		switch {
		case r.code != againWithout[i]:
			t.Errorf("again without roots: %s", r)
		case i < 3 && (black != 0 || strings.Contains(r.err, "successfully")):
			t.Errorf("again without roots, %d blacklisted: %s", black, r)
		case i >= 3 && (black != len(in.Data) || !strings.Contains(r.err, "successfully")):
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
		r := importHistory(t, v, dir, file)
		want := 2
		if fixture.Release(t, v).Before(4, 2, 0) {
			want = 0
		}
		if n := len(votesOf(t, dir, v, key)); r.code != 0 || n != want || len(blacklistOf(t, dir, v)) != 1 {
			t.Errorf("%d votes: %s", n, r)
		}
	})
}

func open(t *testing.T, dir, v string) *database.Store {
	t.Helper()
	s, err := database.Open(dir, fixture.Release(t, v))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func votesOf(t *testing.T, dir, v, key string) []database.Vote {
	t.Helper()
	s := open(t, dir, v)
	defer s.Close()
	out, err := s.Votes(fixture.Unhex(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func blacklistOf(t *testing.T, dir, v string) map[string]bool {
	s := open(t, dir, v)
	defer s.Close()
	out, err := s.Blacklisted()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExportThatFails(t *testing.T) {
	// A key that was imported and never proposed has attestations but no bucket of proposals.
	says := []string{"current number exceeds max", "current number exceeds max", "", "", "No slashing protection data was found",
		"No slashing protection data was found", "No slashing protection data was found"}
	codes := []int{0, 0, 0, 0, 1, 1, 1}
	fixture.Each(t, func(t *testing.T, v string) {
		i := fixture.Index(v)
		dir := t.TempDir()
		s := open(t, dir, v)
		if err := s.SaveGenesisRoot(fixture.Unhex(t, fixture.GenesisRoot)); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckAndSaveVote(bytes.Repeat([]byte{7}, 48), database.Vote{Source: 1, Target: 2, Root: bytes.Repeat([]byte{1}, 32)}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		r, file := export(t, v, dir)
		if r.code != codes[i] || !strings.Contains(r.err, says[i]) || fixture.Exists(file) != (says[i] == "") {
			t.Error(r)
		}
		// A file in the way that others may read.
		s = open(t, dir, v)
		s.AddPublicKeys([][]byte{bytes.Repeat([]byte{7}, 48)})
		s.Close()
		r, file = export(t, v, dir)
		if r.code != 0 || !fixture.Exists(file) {
			t.Fatal(r)
		}
		os.Chmod(file, 0o644)
		want := 1
		if i < 2 {
			want = 0
		}
		r = playValidator(t, v, exportArgs(t, v, dir, filepath.Dir(file))...)
		if r.code != want || !strings.Contains(r.err, "without proper 0600 permissions") {
			t.Error(r)
		}
		// While somebody has the database.
		s = open(t, dir, v)
		defer s.Close()
		if r, file := export(t, v, dir); r.code != want || !strings.Contains(r.err, kv.ErrLocked.Error()) || fixture.Exists(file) {
			t.Error(r)
		}
	})
}

func TestMigrateDownAsRealPrysmDid(t *testing.T) {
	dir, real := t.TempDir(), t.TempDir()
	fixture.Unpack(t, fixture.Path(t, "prysm", "v1.3.4", "validator.db.xz"), dir)
	fixture.Unpack(t, fixture.Path(t, "prysm", "v1.3.4", "validator-migrated-down.db.xz"), real)
	r := playValidator(t, "v1.3.4", "--accept-terms-of-use", "db", "migrate", "down", "--datadir="+dir)
	if r.code != 0 {
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
	if r := playValidator(t, "v1.3.4", "--accept-terms-of-use", "db", "migrate", "down", "--datadir="+dir); r.code != 1 || !strings.Contains(r.err, "bucket not found") {
		t.Errorf("a second time: %s", r)
	}
	// Both databases come up again in the old version, with the damage measured: votes with source 0 that never were.
	for _, d := range []string{dir, real} {
		s := open(t, d, "v1.2.2")
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
	if r := playValidator(t, "v1.2.2", "--accept-terms-of-use", "db", "migrate", "down", "--datadir="+dir); r.code != 0 {
		t.Error(r)
	}
}

// ---- starting

func TestStartsThatFail(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		late := 0 // errors of the start
		if fixture.Release(t, v).From(3, 2, 1) {
			late = 1
		}
		dir := t.TempDir()
		common := []string{"--accept-terms-of-use", "--datadir=" + dir, "--monitoring-port=0", "--beacon-rpc-provider=127.0.0.1:1"}
		w := fixture.Wallet(t, v)
		with := func(args ...string) []string { return append(append([]string{}, common...), args...) }
		if fixture.Release(t, v).Before(6, 0, 0) {
			r := playValidator(t, v, with("--wallet-dir="+dir+"/none")...)
			if r.code != late || !strings.Contains(r.err, "no wallet found") {
				t.Errorf("no wallet: %s", r)
			}
		}
		r := playValidator(t, v, with("--wallet-dir="+w, "--wallet-password-file="+dir+"/none")...)
		if r.code != late || !strings.Contains(r.err, "no such file") {
			t.Errorf("no password file: %s", r)
		}
		s := open(t, dir, v)
		defer s.Close()
		r = playValidator(t, v, with("--wallet-dir="+w, "--wallet-password-file="+fixture.Password(t))...)
		if r.code != late || !strings.Contains(r.err, kv.ErrLocked.Error()) {
			t.Errorf("locked: %s", r)
		}
		r = play(t, v, "beacon-chain", "--accept-terms-of-use", "--datadir="+dir, "--chain-config-file="+dir+"/none")
		if want := max(late, map[bool]int{true: 1}[fixture.Release(t, v).Before(3, 0, 0)]); r.code != want {
			t.Errorf("no chain config: %s", r)
		}
		if fixture.Release(t, v).From(2, 1, 0) {
			r = play(t, v, "beacon-chain", "--accept-terms-of-use", "--datadir="+dir, "--jwt-secret="+dir+"/none")
			if r.code != late || !strings.Contains(r.err, "JWT secret") {
				t.Errorf("no JWT: %s", r)
			}
		}
	})
}

// process is a daemon that a test started.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

func daemon(t *testing.T, c *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: c, done: make(chan struct{})}
	c.Stdout, c.Stderr = &p.log, &p.log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.Wait(); close(p.done) }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s\n%s", c.Args, p.log.String())
		}
	})
	return p
}

// end sends a signal and waits; it returns the exit code.
func (p *process) end(sig syscall.Signal, limit time.Duration) int {
	p.t.Helper()
	p.cmd.Process.Signal(sig)
	return p.wait(limit)
}

func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%v is still running\n%s", p.cmd.Args, p.log.String())
	}
	return p.cmd.ProcessState.ExitCode()
}
