package rpc

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"eth2xk8s/lab/prysm/internal/cli"
)

// GenerateToken is `validator web generate-auth-token`: a new token in place of the old one.
func GenerateToken(c *cli.Context) int {
	path := tokenPath(c)
	os.Remove(path)
	if _, err := token(c); err != nil {
		return c.Fail("web", "Could not generate web auth token", err)
	}
	fmt.Fprintln(c.Out, "Generated a token in "+path)
	return 0
}

// tokenPath is where the API's token is kept.
func tokenPath(c *cli.Context) string {
	if c.Release.Before(5, 0, 4) {
		return filepath.Join(c.WalletDir(), "auth-token")
	}
	// Not beside --wallet-dir: a trap of the real program.
	return c.Flags.String("keymanager-token-file", filepath.Join(cli.DefaultWalletDir(), "auth-token"))
}

// token reads or makes the token. Up to v5.0.3 the file has two lines, the second of which is the token.
func token(c *cli.Context) (string, error) {
	path := tokenPath(c)
	raw, err := os.ReadFile(path)
	if err == nil {
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		token := strings.TrimSpace(lines[len(lines)-1])
		if token == "" {
			return "", fmt.Errorf("auth token file %s is empty", path)
		}
		return token, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	token := "0x" + hex.EncodeToString(secret)
	text := token + "\n"
	if c.Release.Before(5, 0, 4) {
		enc := base64.RawURLEncoding.EncodeToString
		sign := make([]byte, 32)
		rand.Read(sign)
		token = enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc([]byte(`{}`)) + "." + enc(sign)
		text = hex.EncodeToString(secret) + "\n" + token + "\n"
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return token, os.WriteFile(path, []byte(text), 0o600)
}
