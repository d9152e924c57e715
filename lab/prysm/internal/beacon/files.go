package beacon

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"eth2xk8s/lab/prysm/internal/blockchain"
	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/params"
)

// checkFiles reads every file that a flag names, and fails as Prysm does.
func checkFiles(c *cli.Context, chain *blockchain.Follower) error {
	if path := c.Flags.String("chain-config-file", ""); path != "" {
		conf, err := params.Load(c, path)
		if err != nil {
			return err
		}
		chain.ExpectSlots(conf["SECONDS_PER_SLOT"])
		if conf["DENEB_FORK_EPOCH"] == "18446744073709551615" && c.Release.From(7, 0, 0) {
			chain.NeverSyncs() // the epoch overflows as a slot
		}
		if conf["CONFIG_NAME"] == "" && c.Release.Before(2, 0, 0) {
			chain.NeverSyncs() // mainnet's genesis is loaded beside the private one
		}
	}
	if path := c.Flags.String("jwt-secret", ""); path != "" {
		if err := checkSecret(path); err != nil {
			return fmt.Errorf("could not read JWT secret file for authenticating execution API: %w", err)
		}
	}
	for _, name := range []string{"genesis-state", "checkpoint-state", "checkpoint-block", "interop-genesis-state", "tls-cert", "tls-key"} {
		if path := c.Flags.String(name, ""); path != "" {
			if _, err := os.ReadFile(path); err != nil {
				return fmt.Errorf("could not read file for --%s: %w", name, err)
			}
		}
	}
	if a := c.Flags.String("suggested-fee-recipient", ""); a != "" && !params.IsAddress(a) {
		return fmt.Errorf("%s is not a valid fee recipient address", a)
	}
	return nil
}

// checkSecret looks whether a file holds a secret for the engine API.
func checkSecret(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := strings.TrimPrefix(strings.TrimSpace(string(raw)), "0x")
	if text == "" {
		return fmt.Errorf("provided JWT secret in file %s cannot be empty", path)
	}
	if secret, err := hex.DecodeString(text); err != nil || len(secret) < 32 {
		return errors.New("provided JWT secret should be a hex string of at least 32 bytes")
	}
	return nil
}

// networkKeys makes the files by which peers know this node.
func networkKeys(c *cli.Context) error {
	path := filepath.Join(c.DataDir(), "network-keys")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	key := make([]byte, 32)
	rand.Read(key)
	if err := os.WriteFile(path, []byte(hex.EncodeToString(key)), 0o600); err != nil {
		return err
	}
	if c.Release.Before(6, 1, 0) {
		return os.WriteFile(filepath.Join(c.DataDir(), "metaData"), make([]byte, 16), 0o600)
	}
	return nil
}
