package accounts

import (
	"errors"
	"fmt"
	"slices"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/wallet"
)

// createWallet makes the directory of a new wallet.
func createWallet(c *cli.Context, dir, password string) (*wallet.Wallet, error) {
	w, err := wallet.Create(dir, password, c.Release)
	if err != nil {
		return nil, err
	}
	prefix, field := "accounts", "wallet-path"
	if c.Release.From(4, 2, 0) {
		prefix = "wallet"
	}
	if c.Release.From(5, 0, 0) {
		field = "walletPath"
	}
	c.Log.Info(prefix, "Successfully created new wallet", field, dir)
	return w, nil
}

// openWallet opens the wallet that the flags name; create makes one that is not there.
func openWallet(c *cli.Context, create bool) (*wallet.Wallet, error) {
	dir := c.WalletDir()
	w, err := wallet.Find(dir, c.Release)
	if errors.Is(err, wallet.ErrNone) {
		if !create {
			return nil, wallet.ErrNone
		}
		path := c.Flags.String("wallet-password-file", "")
		if path == "" {
			return nil, errors.New("could not read password: inappropriate ioctl for device")
		}
		pass, err := wallet.ReadPassword(path)
		if err != nil {
			return nil, err
		}
		return createWallet(c, dir, pass)
	}
	if err != nil {
		return nil, err
	}
	if w.Password, err = wallet.FindPassword(dir, c.Flags.String("wallet-password-file", ""), c.Release); err != nil {
		return nil, err
	}
	if c.Release.From(7, 0, 0) {
		c.Log.Info("wallet", "Opened validator wallet", "keymanagerKind", w.Kind, "wallet", w.Dir)
	}
	return w, nil
}

func openKeys(c *cli.Context, create bool) (*wallet.Wallet, []wallet.Key, error) {
	w, err := openWallet(c, create)
	if err != nil {
		return nil, nil, err
	}
	keys, err := w.Keys()
	if errors.Is(err, wallet.ErrWrongPassword) {
		return nil, nil, fmt.Errorf("could not initialize imported keymanager: failed to initialize account store: %w", err)
	}
	return w, keys, err
}

// CreateWallet makes an empty wallet.
func CreateWallet(c *cli.Context) int {
	bad := func(err error) int { return c.Fail("wallet", "Could not create a wallet", err) }
	dir := c.WalletDir()
	kind := c.Flags.String("keymanager-kind", "direct")
	allowed := []string{"direct", "derived", "remote"}
	if c.Release.From(2, 1, 0) {
		allowed = []string{"direct", "imported", "local", "derived", "web3signer"}
	}
	if !slices.Contains(allowed, kind) {
		return bad(fmt.Errorf("%s is not an allowed keymanager", kind))
	}
	if _, err := wallet.Find(dir, c.Release); !errors.Is(err, wallet.ErrNone) {
		return bad(fmt.Errorf("a wallet already exists at this location. Please input an alternative location for the new wallet or remove the current wallet"))
	}
	if kind == "derived" || kind == "remote" || kind == "web3signer" {
		return bad(fmt.Errorf("a %s wallet cannot be made without a terminal", kind))
	}
	path := c.Flags.String("wallet-password-file", "")
	if path == "" {
		return bad(errors.New("could not read password: inappropriate ioctl for device"))
	}
	pass, err := wallet.ReadPassword(path)
	if err != nil {
		return bad(err)
	}
	w, err := createWallet(c, dir, pass)
	if err != nil {
		return bad(err)
	}
	if err := w.Write(nil); err != nil {
		return bad(err)
	}
	c.Log.Info("wallet", "Successfully created wallet with ability to import keystores", "wallet-path", w.Dir)
	return 0
}
