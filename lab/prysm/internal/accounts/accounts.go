// Package accounts is `validator accounts list|import|delete|backup` and `validator wallet create`, with the texts and exit
// codes of each release: what its import says is not always what it did. The transcripts of the real programs are in
// tests/fixtures/prysm.
package accounts

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/wallet"
)

const insecureText = "You are using an insecure gRPC connection. If you are running your beacon node and validator on the " +
	"same machines, you can ignore this message. If you want to know how to enable secure connections, see: " +
	"https://docs.prylabs.network/docs/prysm-usage/secure-grpc"

// List prints the accounts of a wallet.
func List(c *cli.Context) int {
	w, keys, err := openKeys(c, false)
	if err != nil {
		if errors.Is(err, wallet.ErrWrongPassword) {
			err = fmt.Errorf("could not initialize keymanager: wrong wallet password entered: %w", err)
		}
		return c.Fail("accounts", "Could not list accounts", err)
	}
	if c.Release.From(2, 0, 0) {
		c.Log.Warn(logging.ClientPrefix(c.Release), insecureText)
	}
	kind := "imported"
	if c.Release.From(2, 1, 0) {
		kind = "local"
	}
	if w.Kind == "derived" {
		kind = "derived"
	}
	color := func(code, s string) string { return "\x1b[" + code + "m" + s + "\x1b[0m" }
	fmt.Fprintf(c.Out, "(keymanager kind) %s wallet\n\n", color("1;32", kind))
	word := "accounts"
	if len(keys) == 1 {
		word = "account"
	}
	fmt.Fprintf(c.Out, "Showing %s validator %s\n", color("1", strconv.Itoa(len(keys))), word)
	if c.Release.Before(5, 0, 0) {
		fmt.Fprintln(c.Out, color("1;31", "View the eth1 deposit transaction data for your accounts by running `validator accounts list --show-deposit-data`"))
	}
	for i, k := range keys {
		fmt.Fprintf(c.Out, "\n%s | %s\n", color("1;34", fmt.Sprintf("Account %d", i)), color("1;32", "key-"+k.Pub()[2:10]))
		fmt.Fprintf(c.Out, "%s %s\n", color("1;36", "[validating public key]"), k.Pub())
		if c.Flags.Bool("show-private-keys") {
			fmt.Fprintf(c.Out, "%s 0x%s\n", color("1;31", "[validating private key]"), hex.EncodeToString(k.Secret))
		}
	}
	fmt.Fprintln(c.Out)
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

// Delete takes accounts out of a wallet.
func Delete(c *cli.Context) int {
	bad := func(err error) int { return c.Fail("accounts", "Could not delete account", err) }
	w, have, err := openKeys(c, false)
	if err != nil {
		return bad(err)
	}
	if !c.Flags.IsSet("delete-public-keys") {
		return bad(errors.New("could not filter public keys for deletion: no terminal to ask on"))
	}
	gone, err := chosen(c.Flags.String("delete-public-keys", ""), have, c.Release.Before(2, 0, 3))
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
		c.Log.Info("accounts", "Successfully deleted validator account", "publicKey", k)
	}
	c.Log.Warn("accounts", "Attempted to delete accounts. IMPORTANT: please run `validator accounts list` to ensure the public keys "+
		"are indeed deleted. If they are still there, please file an issue at https://github.com/prysmaticlabs/prysm/issues/new")
	return 0
}
