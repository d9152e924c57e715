package beacon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"eth2xk8s/lab/prysm/internal/blockchain"
	"eth2xk8s/lab/prysm/internal/cli"
)

// watchEth1 looks whether an eth1 node answers.
func watchEth1(c *cli.Context, chain *blockchain.Follower) {
	urls := append(c.Flags.All("http-web3provider"), c.Flags.All("fallback-web3provider")...)
	for len(urls) > 0 {
		var err error
		for _, text := range urls {
			if err = dialEth1(text); err == nil {
				break
			}
		}
		if faults := chain.Head().Faults; err == nil && (faults.ELOffline || faults.ELDead) {
			err = errors.New("could not connect to powchain endpoint")
		}
		chain.SetEth1(err)
		time.Sleep(time.Second)
	}
}

func dialEth1(text string) error {
	u, err := url.Parse(text)
	if err == nil {
		port := u.Port()
		if port == "" {
			port = map[bool]string{true: "443", false: "80"}[u.Scheme == "https"]
		}
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", net.JoinHostPort(u.Hostname(), port), 2*time.Second); err == nil {
			conn.Close()
			return nil
		}
	}
	return fmt.Errorf("could not dial eth1 nodes: Post %q: %w", text, err)
}

// watchEngine looks whether the execution client takes the token, as Prysm does when it connects.
func watchEngine(c *cli.Context, chain *blockchain.Follower) {
	endpoint := c.Flags.String("execution-endpoint", "")
	if !strings.HasPrefix(endpoint, "http") {
		return
	}
	client := &http.Client{Timeout: 2 * time.Second}
	for ; ; time.Sleep(time.Second) {
		req, err := http.NewRequest("POST", endpoint, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		if path := c.Flags.String("jwt-secret", ""); path != "" {
			if raw, err := os.ReadFile(path); err == nil {
				req.Header.Set("Authorization", "Bearer "+engineToken(string(raw), time.Now()))
			}
		}
		res, err := client.Do(req)
		if err != nil {
			continue // el_dead: nothing tells of it
		}
		res.Body.Close()
		refused := res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden
		chain.SetRefused(refused)
		if refused {
			c.Log.Error("execution", "Could not connect to execution endpoint", "error",
				errors.New("could not verify execution chain ID as your connection is not authenticated. If connecting to your "+
					"execution client via HTTP, you will need to set up JWT authentication"))
		}
	}
}

// engineToken is a token of the engine API: HS256, with the time it was made at.
func engineToken(secret string, now time.Time) string {
	key, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(secret), "0x"))
	if err != nil {
		return ""
	}
	part := base64.RawURLEncoding.EncodeToString
	text := part([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + part([]byte(fmt.Sprintf(`{"iat":%d}`, now.Unix())))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + part(mac.Sum(nil))
}
