package double

import (
	"archive/zip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"
	keystorev4 "github.com/wealdtech/go-eth2-wallet-encryptor-keystorev4"

	"eth2xk8s/lab/prysm/internal/flags"
	"eth2xk8s/lab/prysm/internal/wallet"
)

const insecureText = "You are using an insecure gRPC connection. If you are running your beacon node and validator on the " +
	"same machines, you can ignore this message. If you want to know how to enable secure connections, see: " +
	"https://docs.prylabs.network/docs/prysm-usage/secure-grpc"

// fail is how every command on accounts and wallets ends that cannot do its work: code 1 in every version.
func (a *App) fail(prefix, what string, err error) int {
	a.Log.Fatal(prefix, fmt.Sprintf("%s: %v", what, err))
	return 1
}

// createWallet makes the directory of a new wallet.
func (a *App) createWallet(dir, password string) (*wallet.Wallet, error) {
	w, err := wallet.Create(dir, password, a.V)
	if err != nil {
		return nil, err
	}
	prefix, field := "accounts", "wallet-path"
	if a.V.From(4, 2, 0) {
		prefix = "wallet"
	}
	if a.V.From(5, 0, 0) {
		field = "walletPath"
	}
	a.Log.Info(prefix, "Successfully created new wallet", field, dir)
	return w, nil
}

// openWallet opens the wallet that the flags name; create makes one that is not there.
func (a *App) openWallet(fs *flags.Set, create bool) (*wallet.Wallet, error) {
	dir := fs.String("wallet-dir", defaultWalletDir())
	w, err := wallet.Find(dir, a.V)
	if errors.Is(err, wallet.ErrNone) {
		if !create {
			return nil, errors.New(noWalletText)
		}
		path := fs.String("wallet-password-file", "")
		if path == "" {
			return nil, errors.New("could not read password: inappropriate ioctl for device")
		}
		pass, err := wallet.ReadPassword(path)
		if err != nil {
			return nil, err
		}
		return a.createWallet(dir, pass)
	}
	if err != nil {
		return nil, err
	}
	if w.Password, err = a.walletPassword(fs, dir); err != nil {
		return nil, err
	}
	if a.V.From(7, 0, 0) {
		a.Log.Info("wallet", "Opened validator wallet", "keymanagerKind", w.Kind, "wallet", w.Dir)
	}
	return w, nil
}

func (a *App) openKeys(fs *flags.Set, create bool) (*wallet.Wallet, []wallet.Key, error) {
	w, err := a.openWallet(fs, create)
	if err != nil {
		return nil, nil, err
	}
	keys, err := w.Keys()
	if errors.Is(err, wallet.ErrWrongPassword) {
		return nil, nil, fmt.Errorf("could not initialize imported keymanager: failed to initialize account store: %w", err)
	}
	return w, keys, err
}

func accountsList(a *App, fs *flags.Set) int {
	w, keys, err := a.openKeys(fs, false)
	if err != nil {
		if errors.Is(err, wallet.ErrWrongPassword) {
			err = fmt.Errorf("could not initialize keymanager: wrong wallet password entered: %w", err)
		}
		return a.fail("accounts", "Could not list accounts", err)
	}
	if a.V.From(2, 0, 0) {
		a.Log.Warn(a.prefix(), insecureText)
	}
	kind := "imported"
	if a.V.From(2, 1, 0) {
		kind = "local"
	}
	if w.Kind == "derived" {
		kind = "derived"
	}
	color := func(code, s string) string { return "\x1b[" + code + "m" + s + "\x1b[0m" }
	fmt.Fprintf(a.Out, "(keymanager kind) %s wallet\n\n", color("1;32", kind))
	word := "accounts"
	if len(keys) == 1 {
		word = "account"
	}
	fmt.Fprintf(a.Out, "Showing %s validator %s\n", color("1", strconv.Itoa(len(keys))), word)
	if a.V.Before(5, 0, 0) {
		fmt.Fprintln(a.Out, color("1;31", "View the eth1 deposit transaction data for your accounts by running `validator accounts list --show-deposit-data`"))
	}
	for i, k := range keys {
		fmt.Fprintf(a.Out, "\n%s | %s\n", color("1;34", fmt.Sprintf("Account %d", i)), color("1;32", "key-"+k.Pub()[2:10]))
		fmt.Fprintf(a.Out, "%s %s\n", color("1;36", "[validating public key]"), k.Pub())
		if fs.Bool("show-private-keys") {
			fmt.Fprintf(a.Out, "%s 0x%s\n", color("1;31", "[validating private key]"), hex.EncodeToString(k.Secret))
		}
	}
	fmt.Fprintln(a.Out)
	return 0
}

func accountsImport(a *App, fs *flags.Set) int {
	v, log := a.V, a.Log
	w, have, err := a.openKeys(fs, true)
	bad := func(err error) int { return a.fail("accounts", "Could not import accounts", err) }
	if err != nil {
		return bad(err)
	}
	if v.From(2, 0, 0) {
		log.Warn(a.prefix(), insecureText)
	}
	if path := fs.String("import-private-key-file", ""); path != "" {
		return a.importPrivateKey(w, have, path)
	}
	dir := fs.String("keys-dir", "")
	if dir == "" {
		return bad(errors.New("could not parse keys directory: no keys directory given and no terminal to ask on"))
	}
	if v.From(4, 0, 6) {
		log.Info("accounts", "importing validator keystores...")
		log.Info("accounts", "checking directory for keystores: "+dir)
	}
	files, err := wallet.ReadKeystores(dir, v)
	if err != nil {
		return bad(err)
	}
	path := fs.String("account-password-file", "")
	if path == "" {
		return bad(errors.New("could not read keystore password: inappropriate ioctl for device"))
	}
	pass, err := os.ReadFile(path)
	if err != nil {
		return bad(fmt.Errorf("could not read account password file: %w", err))
	}
	fmt.Fprintln(a.Out, "Importing accounts, this may take a while...")
	if v.Before(2, 0, 5) {
		return a.importAllOrNothing(w, have, files, string(pass), bad)
	}
	if len(files) == 0 {
		return bad(errors.New("no passwords provided for keystores"))
	}
	passwords := make([]string, len(files))
	for i := range passwords {
		passwords[i] = string(pass)
	}
	statuses, err := w.Import(have, files, passwords)
	if err != nil {
		return bad(err)
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
			log.Warn("accounts", fmt.Sprintf("Duplicate key %s found in import request, skipped", short))
		default:
			log.Warn("accounts", fmt.Sprintf("Could not import keystore for %s: %s", short, s.Message))
		}
	}
	if v.Before(4, 0, 6) {
		fmt.Fprintf(a.Out, "Successfully imported \x1b[1;32m%d\x1b[0m accounts, view all of them by running `accounts list`\n", len(files))
		return 0
	}
	if len(good) == 0 {
		log.Error("accounts", "no accounts were successfully imported")
		return 0
	}
	var short, long []string
	for _, k := range good {
		short = append(short, k[:14])
		long = append(long, k[2:])
	}
	log.Info("local-keymanager", "Successfully imported validator key(s)", "pubkeys", strings.Join(short, ","))
	log.Info("accounts", fmt.Sprintf("Imported accounts [%s], view all of them by running `accounts list`", strings.Join(long, " ")))
	return 0
}

// importAllOrNothing is the way up to v2.0.4.
func (a *App) importAllOrNothing(w *wallet.Wallet, have []wallet.Key, files []*wallet.Keystore, pass string, bad func(error) int) int {
	known := map[string]bool{}
	for _, k := range have {
		known[k.Pub()] = true
	}
	all := append([]wallet.Key{}, have...)
	seen := map[string]bool{}
	for _, f := range files {
		pub, err := hex.DecodeString(f.Pubkey)
		if err != nil {
			return bad(fmt.Errorf("could not decode pubkey from keystore: %w", err))
		}
		secret, err := f.Decrypt(pass)
		if err != nil {
			if wallet.WrongPassword(err) {
				fmt.Fprintf(a.Out, "Password incorrect for key 0x%s, input correct password\n", f.Pubkey)
				return bad(errors.New("could not read keystore password: could not read password: inappropriate ioctl for device"))
			}
			return bad(fmt.Errorf("could not decrypt keystore: %w", err))
		}
		k := wallet.Key{Secret: secret, Public: pub}
		if seen[k.Pub()] {
			a.Log.Warn("imported-keymanager", "Duplicate key in import folder will be ignored: "+k.Pub())
			continue
		}
		seen[k.Pub()] = true
		if !known[k.Pub()] {
			all = append(all, k)
		}
	}
	if err := w.Write(all); err != nil {
		return bad(err)
	}
	fmt.Fprintf(a.Out, "Successfully imported \x1b[1;32m%d\x1b[0m accounts, view all of them by running `accounts list`\n", len(files))
	return 0
}

func (a *App) importPrivateKey(w *wallet.Wallet, have []wallet.Key, path string) int {
	bad := func(err error) int { return a.fail("accounts", "Could not import accounts", err) }
	raw, err := os.ReadFile(path)
	if err != nil {
		return bad(err)
	}
	secret, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(raw)), "0x"))
	if err != nil {
		return bad(fmt.Errorf("could not decode file as hex string: %w", err))
	}
	k, err := wallet.NewKey(secret)
	if err != nil {
		return bad(fmt.Errorf("not a valid BLS private key: %w", err))
	}
	for _, old := range have {
		if old.Pub() == k.Pub() {
			fmt.Fprintln(a.Out, "Imported account with public key "+k.Pub())
			return 0
		}
	}
	if err := w.Write(append(have, k)); err != nil {
		return bad(err)
	}
	fmt.Fprintf(a.Out, "Imported account with public key %s, view all accounts by running `accounts list`\n", k.Pub())
	return 0
}

// chosen picks the keys that a comma-separated flag names; all must be there unless strict is off.
func chosen(text string, have []wallet.Key, strict bool) (map[string]bool, error) {
	out := map[string]bool{}
	known := map[string]bool{}
	for _, k := range have {
		known[k.Pub()] = true
	}
	for _, p := range strings.Split(text, ",") {
		p = strings.ToLower(strings.TrimSpace(p))
		if !strings.HasPrefix(p, "0x") {
			p = "0x" + p
		}
		if known[p] {
			out[p] = true
		} else if strict {
			return nil, fmt.Errorf("could not find public key %s in the wallet", p)
		}
	}
	return out, nil
}

func accountsDelete(a *App, fs *flags.Set) int {
	bad := func(err error) int { return a.fail("accounts", "Could not delete account", err) }
	w, have, err := a.openKeys(fs, false)
	if err != nil {
		return bad(err)
	}
	if !fs.IsSet("delete-public-keys") {
		return bad(errors.New("could not filter public keys for deletion: no terminal to ask on"))
	}
	gone, err := chosen(fs.String("delete-public-keys", ""), have, a.V.Before(2, 0, 3))
	if err != nil {
		return bad(err)
	}
	var keep []wallet.Key
	for _, k := range have {
		if !gone[k.Pub()] {
			keep = append(keep, k)
		}
	}
	if err := w.Write(keep); err != nil {
		return bad(err)
	}
	for k := range gone {
		a.Log.Info("accounts", "Successfully deleted validator account", "publicKey", k)
	}
	a.Log.Warn("accounts", "Attempted to delete accounts. IMPORTANT: please run `validator accounts list` to ensure the public keys "+
		"are indeed deleted. If they are still there, please file an issue at https://github.com/prysmaticlabs/prysm/issues/new")
	return 0
}

func accountsBackup(a *App, fs *flags.Set) int {
	bad := func(err error) int { return a.fail("accounts", "Could not backup accounts", err) }
	_, have, err := a.openKeys(fs, false)
	if err != nil {
		return bad(err)
	}
	dir, file := fs.String("backup-dir", ""), fs.String("backup-password-file", "")
	if dir == "" || file == "" || !fs.IsSet("backup-public-keys") {
		return bad(errors.New("could not read the answers: no terminal to ask on"))
	}
	pass, err := wallet.ReadPassword(file)
	if err != nil {
		return bad(err)
	}
	wanted, err := chosen(fs.String("backup-public-keys", ""), have, true)
	if err != nil {
		return bad(err)
	}
	if st, err := os.Stat(dir); err == nil && a.V.Before(4, 2, 0) && st.Mode().Perm() != 0o700 {
		return bad(errors.New("dir already exists without proper 0700 permissions"))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return bad(err)
	}
	path := filepath.Join(dir, "backup.zip")
	if _, err := os.Stat(path); err == nil {
		return bad(fmt.Errorf("zip file already exists in directory: %s", path))
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o666)
	if err != nil {
		return bad(err)
	}
	defer out.Close()
	z := zip.NewWriter(out)
	n := 0
	for _, k := range have {
		if !wanted[k.Pub()] {
			continue
		}
		crypto, err := keystorev4.New().Encrypt(k.Secret, pass)
		if err != nil {
			return bad(err)
		}
		raw, _ := json.MarshalIndent(map[string]any{
			"crypto": crypto, "uuid": uuid.NewString(), "pubkey": hex.EncodeToString(k.Public), "version": 4, "name": "keystore",
		}, "", "\t")
		f, err := z.Create(fmt.Sprintf("keystore-%d.json", n))
		if err == nil {
			_, err = f.Write(raw)
		}
		if err != nil {
			return bad(err)
		}
		n++
	}
	if err := z.Close(); err != nil {
		return bad(err)
	}
	a.Log.Info("accounts", fmt.Sprintf("Successfully backed up %d accounts", n), "backup-path", path)
	return 0
}

func walletCreate(a *App, fs *flags.Set) int {
	bad := func(err error) int { return a.fail("wallet", "Could not create a wallet", err) }
	dir := fs.String("wallet-dir", defaultWalletDir())
	kind := fs.String("keymanager-kind", "direct")
	allowed := []string{"direct", "derived", "remote"}
	if a.V.From(2, 1, 0) {
		allowed = []string{"direct", "imported", "local", "derived", "web3signer"}
	}
	ok := false
	for _, k := range allowed {
		ok = ok || k == kind
	}
	if !ok {
		return bad(fmt.Errorf("%s is not an allowed keymanager", kind))
	}
	if _, err := wallet.Find(dir, a.V); !errors.Is(err, wallet.ErrNone) {
		return bad(fmt.Errorf("a wallet already exists at this location. Please input an alternative location for the new wallet or remove the current wallet"))
	}
	if kind == "derived" || kind == "remote" || kind == "web3signer" {
		return bad(fmt.Errorf("a %s wallet cannot be made without a terminal", kind))
	}
	path := fs.String("wallet-password-file", "")
	if path == "" {
		return bad(errors.New("could not read password: inappropriate ioctl for device"))
	}
	pass, err := wallet.ReadPassword(path)
	if err != nil {
		return bad(err)
	}
	w, err := a.createWallet(dir, pass)
	if err != nil {
		return bad(err)
	}
	if err := w.Write(nil); err != nil {
		return bad(err)
	}
	a.Log.Info("wallet", "Successfully created wallet with ability to import keystores", "wallet-path", w.Dir)
	return 0
}
