// Package cli holds what one run of one of Prysm's programs is: which program, which release, its flags, its log. Every
// command gets it, as with urfave/cli, which Prysm uses.
package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"eth2xk8s/lab/prysm/internal/flags"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/version"
)

// Context is one run of one program of one release, at one level of its command line.
type Context struct {
	Binary  string // beacon-chain or validator
	Release version.Release
	Chain   string // where the lab's chain is
	Log     *logging.Logger
	Out     io.Writer
	Flags   *flags.Set
	Stop    <-chan os.Signal // what ends a daemon
}

// Below is the same run one level further down the command line.
func (c *Context) Below(set *flags.Set) *Context {
	below := *c
	below.Flags = set
	return &below
}

// Fail is how every command on accounts and wallets ends that cannot do its work: code 1 in every version.
func (c *Context) Fail(prefix, what string, err error) int {
	c.Log.Fatal(prefix, fmt.Sprintf("%s: %v", what, err))
	return 1
}

// DataDir is the directory that --datadir names, or the default.
func (c *Context) DataDir() string { return c.Flags.String("datadir", DefaultDataDir()) }

// WalletDir is the directory that --wallet-dir names, or the default.
func (c *Context) WalletDir() string { return c.Flags.String("wallet-dir", DefaultWalletDir()) }

// DefaultDataDir is where both programs keep their data without --datadir.
func DefaultDataDir() string { return filepath.Join(home(), ".eth2") }

// DefaultWalletDir is where a client looks for its wallet without --wallet-dir.
func DefaultWalletDir() string {
	return filepath.Join(home(), ".eth2validators", "prysm-wallet-v2")
}

func home() string {
	if h := os.Getenv("HOME"); h != "" {
		return h
	}
	h, _ := os.UserHomeDir()
	return h
}
