package wallet

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	keystorev4 "github.com/wealdtech/go-eth2-wallet-encryptor-keystorev4"

	"eth2xk8s/lab/prysm/internal/version"
)

// Keystore is an EIP-2335 keystore of one key, as `accounts import` reads it.
type Keystore struct {
	Crypto map[string]any `json:"crypto"`
	ID     string         `json:"uuid"`
	Pubkey string         `json:"pubkey"`
	Path   string         `json:"path"`
}

// Decrypt gives the secret key.
func (k *Keystore) Decrypt(password string) ([]byte, error) {
	return keystorev4.New().Decrypt(k.Crypto, password)
}

// WrongPassword tells the error of a wrong password from that of a broken keystore.
func WrongPassword(err error) bool { return strings.Contains(err.Error(), "invalid checksum") }

// ReadKeystores finds the keystores that --keys-dir names: a file, or a directory, in which what is no keystore is passed
// over.
func ReadKeystores(dir string, release version.Release) ([]*Keystore, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("could not determine if path is a directory: %w", err)
	}
	files := []string{dir}
	if st.IsDir() {
		depth := 0
		if release.From(4, 2, 0) {
			depth = 2
		}
		if files, err = filesBelow(dir, depth); err != nil {
			return nil, err
		}
	}
	sort.SliceStable(files, func(i, j int) bool { return derivationIndex(files[i]) < derivationIndex(files[j]) })
	var out []*Keystore
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		k := &Keystore{}
		if json.Unmarshal(raw, k) != nil || k.Pubkey == "" {
			if !st.IsDir() {
				return nil, errors.New("could not decode keystore json: not a keystore")
			}
			continue
		}
		out = append(out, k)
	}
	return out, nil
}

// filesBelow are the files of a directory and of those below it, down to a depth. None of them may be empty.
func filesBelow(dir string, depth int) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("directory %s has no files, cannot import from it", dir)
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.IsDir() {
			files = append(files, path)
		} else if depth > 0 {
			below, err := filesBelow(path, depth-1)
			if err != nil {
				return nil, err
			}
			files = append(files, below...)
		}
	}
	return files, nil
}

var derivation = regexp.MustCompile(`m_12381_3600_([0-9]+)_([0-9]+)_([0-9]+)`)

// derivationIndex is the number of the key that a file's name speaks of, or -1. Keystores are imported in that order.
func derivationIndex(path string) int {
	if m := derivation.FindStringSubmatch(filepath.Base(path)); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return -1
}

// Imported is what became of one keystore, as the key manager API says it.
type Imported struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Key     Key    `json:"-"`
}

// Import takes in what it can, beside the keys that the wallet has; the public key that a file names is believed, as Prysm
// does.
func (w *Wallet) Import(have []Key, files []*Keystore, passwords []string) ([]*Imported, error) {
	known := map[string]bool{}
	for _, k := range have {
		known[k.Pub()] = true
	}
	all := append([]Key{}, have...)
	out := make([]*Imported, len(files))
	for i, f := range files {
		out[i] = importOne(f, passwords[i], known)
		if out[i].Status == "imported" {
			known[out[i].Key.Pub()] = true
			all = append(all, out[i].Key)
		}
	}
	if len(all) == len(have) {
		return out, nil
	}
	return out, w.Write(all)
}

func importOne(f *Keystore, password string, known map[string]bool) *Imported {
	s := &Imported{Status: "error"}
	pub, err := hex.DecodeString(f.Pubkey)
	if err != nil {
		s.Message = "could not decode pubkey from keystore: " + err.Error()
		return s
	}
	s.Key = Key{Public: pub}
	if known[s.Key.Pub()] {
		s.Status = "duplicate"
		return s
	}
	secret, err := f.Decrypt(password)
	if err != nil {
		s.Message = fmt.Sprintf("incorrect password for key 0x%s", f.Pubkey)
		if !WrongPassword(err) {
			s.Message = "could not decrypt keystore: " + err.Error()
		}
		return s
	}
	s.Key.Secret = secret
	s.Status = "imported"
	return s
}
