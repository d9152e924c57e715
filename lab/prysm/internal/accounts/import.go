package accounts

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/wallet"
)

// Import takes keystores, or a private key, into a wallet, which it makes if it is not there.
func Import(c *cli.Context) int {
	v, log := c.Release, c.Log
	w, have, err := openKeys(c, true)
	if err != nil {
		return importFailed(c, err)
	}
	if v.From(2, 0, 0) {
		log.Warn(logging.ClientPrefix(v), insecureText)
	}
	if path := c.Flags.String("import-private-key-file", ""); path != "" {
		return importPrivateKey(c, w, have, path)
	}
	dir := c.Flags.String("keys-dir", "")
	if dir == "" {
		return importFailed(c, errors.New("could not parse keys directory: no keys directory given and no terminal to ask on"))
	}
	if v.From(4, 0, 6) {
		log.Info("accounts", "importing validator keystores...")
		log.Info("accounts", "checking directory for keystores: "+dir)
	}
	files, err := wallet.ReadKeystores(dir, v)
	if err != nil {
		return importFailed(c, err)
	}
	path := c.Flags.String("account-password-file", "")
	if path == "" {
		return importFailed(c, errors.New("could not read keystore password: inappropriate ioctl for device"))
	}
	pass, err := os.ReadFile(path)
	if err != nil {
		return importFailed(c, fmt.Errorf("could not read account password file: %w", err))
	}
	fmt.Fprintln(c.Out, "Importing accounts, this may take a while...")
	if v.Before(2, 0, 5) {
		return importAllOrNothing(c, w, have, files, string(pass))
	}
	return importEach(c, w, have, files, string(pass))
}

func importFailed(c *cli.Context, err error) int {
	return c.Fail("accounts", "Could not import accounts", err)
}

// importEach is the way from v2.0.5 on: one keystore that fails does not hinder the others. What it says is not always so.
func importEach(c *cli.Context, w *wallet.Wallet, have []wallet.Key, files []*wallet.Keystore, pass string) int {
	if len(files) == 0 {
		return importFailed(c, errors.New("no passwords provided for keystores"))
	}
	passwords := make([]string, len(files))
	for i := range passwords {
		passwords[i] = pass
	}
	statuses, err := w.Import(have, files, passwords)
	if err != nil {
		return importFailed(c, err)
	}
	var good []string
	for i, s := range statuses {
		short := files[i].Pubkey
		if len(short) > 12 {
			short = short[:12]
		}
		switch s.Status {
		case "imported":
			good = append(good, s.Key.Pub())
		case "duplicate":
			c.Log.Warn("accounts", fmt.Sprintf("Duplicate key %s found in import request, skipped", short))
		default:
			c.Log.Warn("accounts", fmt.Sprintf("Could not import keystore for %s: %s", short, s.Message))
		}
	}
	if c.Release.Before(4, 0, 6) {
		sayImported(c, len(files))
		return 0
	}
	if len(good) == 0 {
		c.Log.Error("accounts", "no accounts were successfully imported")
		return 0
	}
	var short, long []string
	for _, k := range good {
		short = append(short, k[:14])
		long = append(long, k[2:])
	}
	c.Log.Info("local-keymanager", "Successfully imported validator key(s)", "pubkeys", strings.Join(short, ","))
	c.Log.Info("accounts", fmt.Sprintf("Imported accounts [%s], view all of them by running `accounts list`", strings.Join(long, " ")))
	return 0
}

// sayImported is what the releases before v4.0.6 say, whatever became of the keystores.
func sayImported(c *cli.Context, n int) {
	fmt.Fprintf(c.Out, "Successfully imported \x1b[1;32m%d\x1b[0m accounts, view all of them by running `accounts list`\n", n)
}

// importAllOrNothing is the way up to v2.0.4.
func importAllOrNothing(c *cli.Context, w *wallet.Wallet, have []wallet.Key, files []*wallet.Keystore, pass string) int {
	known := map[string]bool{}
	for _, k := range have {
		known[k.Pub()] = true
	}
	all := append([]wallet.Key{}, have...)
	seen := map[string]bool{}
	for _, f := range files {
		pub, err := hex.DecodeString(f.Pubkey)
		if err != nil {
			return importFailed(c, fmt.Errorf("could not decode pubkey from keystore: %w", err))
		}
		secret, err := f.Decrypt(pass)
		if err != nil {
			if wallet.WrongPassword(err) {
				fmt.Fprintf(c.Out, "Password incorrect for key 0x%s, input correct password\n", f.Pubkey)
				return importFailed(c, errors.New("could not read keystore password: could not read password: inappropriate ioctl for device"))
			}
			return importFailed(c, fmt.Errorf("could not decrypt keystore: %w", err))
		}
		k := wallet.Key{Secret: secret, Public: pub}
		if seen[k.Pub()] {
			c.Log.Warn("imported-keymanager", "Duplicate key in import folder will be ignored: "+k.Pub())
			continue
		}
		seen[k.Pub()] = true
		if !known[k.Pub()] {
			all = append(all, k)
		}
	}
	if err := w.Write(all); err != nil {
		return importFailed(c, err)
	}
	sayImported(c, len(files))
	return 0
}

func importPrivateKey(c *cli.Context, w *wallet.Wallet, have []wallet.Key, path string) int {
	raw, err := os.ReadFile(path)
	if err != nil {
		return importFailed(c, err)
	}
	secret, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(raw)), "0x"))
	if err != nil {
		return importFailed(c, fmt.Errorf("could not decode file as hex string: %w", err))
	}
	k, err := wallet.NewKey(secret)
	if err != nil {
		return importFailed(c, fmt.Errorf("not a valid BLS private key: %w", err))
	}
	for _, old := range have {
		if old.Pub() == k.Pub() {
			fmt.Fprintln(c.Out, "Imported account with public key "+k.Pub())
			return 0
		}
	}
	if err := w.Write(append(have, k)); err != nil {
		return importFailed(c, err)
	}
	fmt.Fprintf(c.Out, "Imported account with public key %s, view all accounts by running `accounts list`\n", k.Pub())
	return 0
}
