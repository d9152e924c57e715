package double

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	keystorev4 "github.com/wealdtech/go-eth2-wallet-encryptor-keystorev4"

	"eth2xk8s/lab/prysm/internal/version"
)

// accountsFile is the one file of an imported or derived wallet, under the directory of its kind.
const accountsFile = "accounts/all-accounts.keystore.json"

var (
	errNoWallet      = errors.New("no wallet found")
	errWrongPassword = errors.New("wrong password for wallet entered")
)

// Wallet is a wallet on disk, opened.
type Wallet struct {
	Dir      string // with the kind
	Root     string
	Kind     string // direct or derived
	Password string
	v        version.Release
}

// Key is one account.
type Key struct {
	Secret []byte
	Public []byte
}

// Pub is the public key in 0x hex.
func (k Key) Pub() string { return "0x" + hex.EncodeToString(k.Public) }

// walletKinds are the names of directories that make a directory a wallet.
func walletKinds(v version.Release) []string {
	kinds := []string{"direct", "derived", "remote"}
	if v.From(2, 1, 0) {
		kinds = append(kinds, "imported", "local", "web3signer")
	}
	return kinds
}

// findWallet looks for a wallet: errNoWallet if there is not exactly one (also when the directory is missing or holds
// other things).
func findWallet(dir string, v version.Release) (*Wallet, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNoWallet
	}
	if err != nil {
		return nil, fmt.Errorf("could not check if wallet exists: %w", err)
	}
	var found []string
	for _, e := range entries {
		for _, k := range walletKinds(v) {
			if e.IsDir() && e.Name() == k {
				found = append(found, k)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, errNoWallet
	case 1:
		kind := found[0]
		if kind == "imported" || kind == "local" {
			kind = "direct" // other names of it, but it is direct that is opened, and not found
		}
		return &Wallet{Root: dir, Dir: filepath.Join(dir, kind), Kind: kind, v: v}, nil
	}
	return nil, errNoWallet // two wallets are none
}

type walletJSON struct {
	Crypto   map[string]any `json:"crypto"`
	ID       string         `json:"uuid"`
	Version  uint           `json:"version"`
	Name     string         `json:"name"`
	Disabled []string       `json:"disabled_public_keys,omitempty"`
}

type accountStore struct {
	PrivateKeys [][]byte `json:"private_keys"`
	PublicKeys  [][]byte `json:"public_keys"`
}

// Keys decrypts the wallet. A wallet without its file is an empty one.
func (w *Wallet) Keys() ([]Key, error) {
	keys, _, err := w.load()
	return keys, err
}

func (w *Wallet) path() string { return filepath.Join(w.Dir, accountsFile) }

func (w *Wallet) load() ([]Key, *walletJSON, error) {
	if err := os.MkdirAll(filepath.Dir(w.path()), 0o700); err != nil {
		return nil, nil, fmt.Errorf("could not create path: %w", err)
	}
	raw, err := os.ReadFile(w.path())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("could not read keystore file: %w", err)
	}
	var file walletJSON
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, nil, fmt.Errorf("failed to decode keystore file: %w", err)
	}
	plain, err := keystorev4.New().Decrypt(file.Crypto, w.Password)
	if err != nil {
		if strings.Contains(err.Error(), "invalid checksum") {
			return nil, nil, fmt.Errorf("%w: %s", errWrongPassword, err)
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
	return keys, &file, nil
}

// Enabled leaves out the keys that the file says are disabled: honoured up to v1.3.3 only.
func (w *Wallet) Enabled() ([]Key, error) {
	keys, file, err := w.load()
	if err != nil || file == nil || w.v.From(1, 3, 4) {
		return keys, err
	}
	var out []Key
	for _, k := range keys {
		off := false
		for _, d := range file.Disabled {
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
	file := walletJSON{Crypto: crypto, ID: uuid.NewString(), Version: 4, Name: "keystore"}
	if w.v.Before(1, 3, 4) {
		if _, old, err := w.load(); err == nil && old != nil {
			file.Disabled = old.Disabled
		}
	}
	raw, err := json.MarshalIndent(file, "", "\t")
	if err != nil {
		return err
	}
	return writeFile(w.path(), raw)
}

// writeFile has Prysm's rule: a file that is there must have mode 0600.
func writeFile(path string, raw []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if st, err := os.Stat(path); err == nil && st.Mode().Perm() != 0o600 {
		return errors.New("file already exists without proper 0600 permissions")
	}
	return os.WriteFile(path, raw, 0o600)
}

// readPassword reads a wallet password file; only a trailing end of line is cut off.
func readPassword(path string) (string, error) {
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

// keystoreFile is an EIP-2335 keystore as `accounts import` reads it.
type keystoreFile struct {
	Crypto map[string]any `json:"crypto"`
	ID     string         `json:"uuid"`
	Pubkey string         `json:"pubkey"`
	Path   string         `json:"path"`
	name   string
	file   string
}

func decryptKeystore(k *keystoreFile, password string) ([]byte, error) {
	return keystorev4.New().Decrypt(k.Crypto, password)
}
