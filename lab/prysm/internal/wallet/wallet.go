// Package wallet is Prysm's wallet on disk: one EIP-2335 keystore that holds all keys of a client, in the directory of its
// kind. Files are those that the real releases write and read (tests/fixtures/prysm); the encryption is the library that
// Prysm itself uses.
package wallet

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/google/uuid"
	keystorev4 "github.com/wealdtech/go-eth2-wallet-encryptor-keystorev4"

	"eth2xk8s/lab/prysm/internal/file"
	"eth2xk8s/lab/prysm/internal/version"
)

// accountsFile is the one file of an imported or derived wallet, under the directory of its kind.
const accountsFile = "accounts/all-accounts.keystore.json"

// What a wallet is not opened for.
var (
	ErrNone = errors.New("no wallet found. You can create a new wallet with `validator wallet create`. If you already did, " +
		"perhaps you created a wallet in a custom directory, which you can specify using `--wallet-dir=/path/to/my/wallet`")
	ErrWrongPassword = errors.New("wrong password for wallet entered")
)

// Wallet is a wallet on disk, opened.
type Wallet struct {
	Dir      string // with the kind
	Root     string
	Kind     string // direct or derived
	Password string
	release  version.Release
}

// kinds are the names of directories that make a directory a wallet.
func kinds(v version.Release) []string {
	list := []string{"direct", "derived", "remote"}
	if v.From(2, 1, 0) {
		list = append(list, "imported", "local", "web3signer")
	}
	return list
}

// Find looks for a wallet: ErrNone if there is not exactly one (also when the directory is missing or holds
// other things).
func Find(dir string, v version.Release) (*Wallet, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("could not check if wallet exists: %w", err)
	}
	var found []string
	for _, e := range entries {
		for _, k := range kinds(v) {
			if e.IsDir() && e.Name() == k {
				found = append(found, k)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, ErrNone
	case 1:
		kind := found[0]
		if kind == "imported" || kind == "local" {
			kind = "direct" // other names of it, but it is direct that is opened, and not found
		}
		return &Wallet{Root: dir, Dir: filepath.Join(dir, kind), Kind: kind, release: v}, nil
	}
	return nil, ErrNone // two wallets are none
}

// Create makes the directory of a new wallet, if the release takes that password.
func Create(dir, password string, release version.Release) (*Wallet, error) {
	if err := checkPassword(password, release); err != nil {
		return nil, err
	}
	w := &Wallet{Root: dir, Dir: filepath.Join(dir, "direct"), Kind: "direct", Password: password, release: release}
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("could not create wallet directory: %w", err)
	}
	return w, nil
}

// checkPassword is what a password for a new wallet has to be.
func checkPassword(pass string, release version.Release) error {
	if len(pass) < 8 {
		return errors.New("password must have at least 8 characters")
	}
	if release.From(2, 0, 3) {
		return nil
	}
	var letter, number, special bool
	for _, c := range pass {
		letter = letter || unicode.IsLetter(c)
		number = number || unicode.IsNumber(c)
		special = special || unicode.IsPunct(c) || unicode.IsSymbol(c)
	}
	if !letter || !number || !special {
		return errors.New("password must have at least 8 characters, at least 1 alphabetical character, 1 unicode symbol, and 1 number")
	}
	return nil
}

// document is the wallet's file.
type document struct {
	Crypto   map[string]any `json:"crypto"`
	ID       string         `json:"uuid"`
	Version  uint           `json:"version"`
	Name     string         `json:"name"`
	Disabled []string       `json:"disabled_public_keys,omitempty"`
}

// accountStore is what is encrypted in it.
type accountStore struct {
	PrivateKeys [][]byte `json:"private_keys"`
	PublicKeys  [][]byte `json:"public_keys"`
}

// Keys decrypts the wallet. A wallet without its file is an empty one.
func (w *Wallet) Keys() ([]Key, error) {
	keys, _, err := w.load()
	return keys, err
}

// Path is the file that the keys are in.
func (w *Wallet) Path() string { return filepath.Join(w.Dir, accountsFile) }

func (w *Wallet) load() ([]Key, *document, error) {
	if err := os.MkdirAll(filepath.Dir(w.Path()), 0o700); err != nil {
		return nil, nil, fmt.Errorf("could not create path: %w", err)
	}
	raw, err := os.ReadFile(w.Path())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("could not read keystore file: %w", err)
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, nil, fmt.Errorf("failed to decode keystore file: %w", err)
	}
	plain, err := keystorev4.New().Decrypt(doc.Crypto, w.Password)
	if err != nil {
		if WrongPassword(err) {
			return nil, nil, fmt.Errorf("%w: %s", ErrWrongPassword, err)
		}
		return nil, nil, fmt.Errorf("could not decrypt keystore: %w", err)
	}
	var store accountStore
	if err := json.Unmarshal(plain, &store); err != nil {
		return nil, nil, err
	}
	if len(store.PrivateKeys) != len(store.PublicKeys) {
		return nil, nil, errors.New("unequal number of public keys and private keys")
	}
	keys := make([]Key, len(store.PublicKeys))
	for i := range keys {
		keys[i] = Key{store.PrivateKeys[i], store.PublicKeys[i]}
	}
	return keys, &doc, nil
}

// Enabled leaves out the keys that the file says are disabled: honoured up to v1.3.3 only.
func (w *Wallet) Enabled() ([]Key, error) {
	keys, doc, err := w.load()
	if err != nil || doc == nil || w.release.From(1, 3, 4) {
		return keys, err
	}
	var out []Key
	for _, k := range keys {
		off := false
		for _, d := range doc.Disabled {
			off = off || strings.TrimPrefix(d, "0x") == hex.EncodeToString(k.Public)
		}
		if !off {
			out = append(out, k)
		}
	}
	return out, nil
}

// Write encrypts keys into the wallet's file: in place, never by a rename, so that who watches the file sees it.
func (w *Wallet) Write(keys []Key) error {
	var store accountStore
	for _, k := range keys {
		store.PrivateKeys = append(store.PrivateKeys, k.Secret)
		store.PublicKeys = append(store.PublicKeys, k.Public)
	}
	plain, err := json.MarshalIndent(store, "", "\t")
	if err != nil {
		return err
	}
	crypto, err := keystorev4.New().Encrypt(plain, w.Password)
	if err != nil {
		return fmt.Errorf("could not encrypt accounts store: %w", err)
	}
	doc := document{Crypto: crypto, ID: uuid.NewString(), Version: 4, Name: "keystore"}
	if w.release.Before(1, 3, 4) {
		if _, old, err := w.load(); err == nil && old != nil {
			doc.Disabled = old.Disabled
		}
	}
	raw, err := json.MarshalIndent(doc, "", "\t")
	if err != nil {
		return err
	}
	return file.Write(w.Path(), raw)
}

// ReadPassword reads a wallet password file; only a trailing end of line is cut off.
func ReadPassword(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("could not read file: %w", err)
	}
	pass := strings.TrimRight(string(raw), "\r\n")
	if pass == "" {
		return "", errors.New("password cannot be empty")
	}
	return pass, nil
}

// FindPassword is the password of an existing wallet: from a file beside it, if there is one, or from the file that a
// flag names.
func FindPassword(dir, path string, release version.Release) (string, error) {
	if release.From(1, 0, 0) {
		if raw, err := os.ReadFile(filepath.Join(dir, "walletpassword.txt")); err == nil {
			return strings.TrimRight(string(raw), "\r\n"), nil
		}
	}
	if path == "" {
		return "", errors.New("could not read wallet password: could not read password: inappropriate ioctl for device")
	}
	pass, err := ReadPassword(path)
	if err != nil {
		return "", fmt.Errorf("could not open wallet: could not read wallet password file: %w", err)
	}
	return pass, nil
}
