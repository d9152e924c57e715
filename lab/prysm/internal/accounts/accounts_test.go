package accounts_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/labtest"
	"eth2xk8s/lab/prysm/internal/wallet"
)

func TestMain(m *testing.M) { labtest.Main(m) }

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

type importCase struct {
	name  string
	setup func(t *testing.T, keys string) // fills the directory of keystores
	pass  string
	codes [7]int
	says  [7]string // "" is not looked at
	keys  [7]int    // in the wallet afterwards
}

func name(n int) string { return fmt.Sprintf("keystore-m_12381_3600_%d_0_0-1.json", n) }

func TestAccountsListAsInTheTranscript(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		dir := fixture.Wallet(t, v)
		r := labtest.Validator(t, v, "accounts", "list", "--wallet-dir="+dir, "--wallet-password-file="+fixture.Password(t), "--accept-terms-of-use")
		if r.Code != 0 || keySet(r.Out) != allKeys(t) {
			t.Fatal(r)
		}
		transcript := string(fixture.Read(t, fixture.Path(t, "prysm", v, "transcript.txt")))
		plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(r.Out, "")
		for _, line := range strings.Split(plain, "\n") {
			if !strings.HasPrefix(line, "Account ") && !strings.Contains(transcript, line) {
				t.Errorf("real %s did not say %q", v, line)
			}
		}
		wrong := filepath.Join(t.TempDir(), "p")
		fixture.Write(t, wrong, []byte("not the password"), 0o600)
		r = labtest.Validator(t, v, "accounts", "list", "--wallet-dir="+dir, "--wallet-password-file="+wrong, "--accept-terms-of-use")
		if r.Code != 1 || !strings.Contains(r.Err, "Could not list accounts") || !strings.Contains(r.Err, "wrong wallet password entered") {
			t.Error(r)
		}
	})
}

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
				r := labtest.Validator(t, v, "accounts", "import", "--wallet-dir="+dir+"/wallet", "--wallet-password-file="+fixture.Password(t),
					"--keys-dir="+keys, "--account-password-file="+pass, "--accept-terms-of-use")
				if r.Code != c.codes[i] || !strings.Contains(r.All(), c.says[i]) {
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
		r := labtest.Validator(t, v, args...)
		if r.Code != 0 || !strings.Contains(r.All(), says[fixture.Index(v)]) {
			t.Error(r)
		}
		// A wallet that others may read is not written.
		path := filepath.Join(dir, fixture.AccountsFile)
		fresh := filepath.Join(t.TempDir(), "k")
		fixture.Write(t, filepath.Join(fresh, name(0)), bytes.Replace(fixture.Keystore(t, 0, "", ""),
			[]byte(fixture.Keys(t)[0].Pubkey), bytes.Repeat([]byte("ab"), 48), 1), 0o600)
		os.Chmod(path, 0o640)
		args[4] = "--keys-dir=" + fresh
		if r = labtest.Validator(t, v, args...); r.Code != 1 || !strings.Contains(r.Err, "without proper 0600 permissions") {
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
		r := labtest.Validator(t, v, append([]string{"accounts", "backup", "--backup-dir=" + out, "--backup-password-file=" + fixture.Password(t),
			"--backup-public-keys=" + key}, common...)...)
		if st, err := os.Stat(out + "/backup.zip"); r.Code != 0 || err != nil || st.Mode().Perm() != 0o644 {
			t.Error(r, err)
		}
		r = labtest.Validator(t, v, append([]string{"accounts", "delete", "--delete-public-keys=" + key}, common...)...)
		if r.Code != 0 {
			t.Error(r)
		}
		r = labtest.Validator(t, v, append([]string{"accounts", "list"}, common...)...)
		if strings.Contains(r.Out, key) || len(listed.FindAllString(r.Out, -1)) != 5 {
			t.Error(r)
		}
		code := 0
		if fixture.Release(t, v).Before(2, 0, 3) {
			code = 1
		}
		r = labtest.Validator(t, v, append([]string{"accounts", "delete", "--delete-public-keys=" + key}, common...)...)
		if r.Code != code {
			t.Errorf("a key that is not there: %s", r)
		}
		kind := "imported"
		code = 0
		if fixture.Release(t, v).Before(2, 1, 0) {
			code = 1
		}
		r = labtest.Validator(t, v, "wallet", "create", "--wallet-dir="+t.TempDir()+"/w", "--keymanager-kind="+kind,
			"--wallet-password-file="+fixture.Password(t), "--accept-terms-of-use")
		if r.Code != code || code == 1 && !strings.Contains(r.Err, "imported is not an allowed keymanager") {
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
			if r := labtest.Validator(t, v, list...); r.Code != 0 || keySet(r.Out) != "" {
				t.Error(r)
			}
		}
		if r := labtest.Validator(t, v, list...); r.Code != 1 || !strings.Contains(r.Err, "no wallet found") {
			t.Error(r)
		}
	})
}
