package double

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// tokenPath is where the API's token is kept.
func tokenPath(a *cli.Context) string {
	fs := a.Flags
	if a.Release.Before(5, 0, 4) {
		return filepath.Join(fs.String("wallet-dir", cli.DefaultWalletDir()), "auth-token")
	}
	// Not beside --wallet-dir: a trap of the real program.
	return fs.String("keymanager-token-file", filepath.Join(cli.DefaultWalletDir(), "auth-token"))
}

// token reads or makes the token. Up to v5.0.3 the file has two lines, the second of which is the token.
func token(a *cli.Context) (string, error) {
	path := tokenPath(a)
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
	if a.Release.Before(5, 0, 4) {
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

func generateToken(a *cli.Context) int {
	path := tokenPath(a)
	os.Remove(path)
	if _, err := token(a); err != nil {
		return a.Fail("web", "Could not generate web auth token", err)
	}
	fmt.Fprintln(a.Out, "Generated a token in "+path)
	return 0
}

// keymanagerAPI serves the part of the key manager API that moves keys.
func (val *Validator) keymanagerAPI(ctx context.Context) error {
	a := val.app
	if a.Release.Before(2, 0, 3) {
		return nil
	}
	token, err := token(a)
	if err != nil {
		return fmt.Errorf("could not initialize auth token: %w", err)
	}
	name := "grpc-gateway"
	if a.Release.From(5, 1, 1) {
		name = "http"
	}
	addr := net.JoinHostPort(val.fs.String(name+"-host", "127.0.0.1"), strconv.Itoa(val.fs.Int(name+"-port", 7500)))
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		a.Log.Error("gateway", "Failed to listen and serve", "error", err)
		return nil
	}
	a.Log.Info("rpc", "Starting Keymanager APIs on address", "address", addr)
	mux := http.NewServeMux()
	fail := func(w http.ResponseWriter, code int, msg string) {
		jsonhttp.Answer(w, code, map[string]any{"message": msg, "code": code})
	}
	guard := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			auth := r.Header.Get("Authorization")
			switch {
			case auth == "":
				fail(w, 401, "Unauthorized: no Authorization header passed. Please use an Authorization header with the jwt created in the prysm wallet")
			case auth != "Bearer "+token:
				fail(w, 403, "Forbidden: token value is invalid")
			case val.walletNow() == nil:
				fail(w, 503, "Prysm Wallet not initialized. Please create a new wallet.")
			default:
				val.walletMu.Lock()
				defer val.walletMu.Unlock()
				h(w, r)
			}
		}
	}
	mux.HandleFunc("GET /eth/v1/keystores", guard(func(w http.ResponseWriter, _ *http.Request) {
		val.mu.Lock()
		data := []map[string]string{}
		for _, k := range val.order {
			data = append(data, map[string]string{"validating_pubkey": k, "derivation_path": ""})
		}
		ready := val.reached
		val.mu.Unlock()
		if !ready {
			fail(w, 503, "Validator service not ready.")
			return
		}
		jsonhttp.Answer(w, 200, map[string]any{"data": data})
	}))
	mux.HandleFunc("POST /eth/v1/keystores", guard(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Keystores  []string `json:"keystores"`
			Passwords  []string `json:"passwords"`
			Protection string   `json:"slashing_protection"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			fail(w, 400, "Could not decode request body: "+err.Error())
			return
		}
		data, err := val.apiImport(in.Keystores, in.Passwords, in.Protection)
		if err != nil {
			fail(w, 500, "Could not import keystores: "+err.Error())
			return
		}
		jsonhttp.Answer(w, 200, map[string]any{"data": data})
	}))
	mux.HandleFunc("DELETE /eth/v1/keystores", guard(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Pubkeys []string `json:"pubkeys"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			fail(w, 400, "Could not decode request body: "+err.Error())
			return
		}
		data, exported, err := val.apiDelete(in.Pubkeys)
		if err != nil {
			fail(w, 500, "Could not delete keys: "+err.Error())
			return
		}
		jsonhttp.Answer(w, 200, map[string]any{"data": data, "slashing_protection": exported})
	}))
	go http.Serve(ln, mux)
	go func() { <-ctx.Done(); ln.Close() }()
	return nil
}

func (val *Validator) apiImport(keystores, passwords []string, protection string) ([]*wallet.Imported, error) {
	out := make([]*wallet.Imported, len(keystores))
	if len(keystores) == 0 {
		return []*wallet.Imported{}, nil
	}
	if len(passwords) == 0 {
		for i := range out {
			out[i] = &wallet.Imported{Status: "error", Message: "no passwords provided for keystores"}
		}
		return out, nil
	}
	if protection != "" {
		if err := val.store.Import([]byte(protection)); err != nil {
			// The message is the real program's: it prints an error that it does not have.
			for i := range out {
				out[i] = &wallet.Imported{Status: "error", Message: "could not import slashing protection: <nil>"}
			}
			return out, nil
		}
		black, err := val.store.Blacklisted()
		if err != nil {
			return nil, err
		}
		val.mu.Lock()
		val.blacklist = black
		val.mu.Unlock()
	}
	var files []*wallet.Keystore
	var pass []string
	var at []int
	for i, text := range keystores {
		k := &wallet.Keystore{}
		switch {
		case json.Unmarshal([]byte(text), k) != nil || k.Pubkey == "":
			out[i] = &wallet.Imported{Status: "error", Message: "could not unmarshal keystore"}
		case i >= len(passwords):
			out[i] = &wallet.Imported{Status: "error", Message: "no password for this keystore"}
		default:
			files, pass, at = append(files, k), append(pass, passwords[i]), append(at, i)
		}
	}
	w := val.walletNow()
	have, err := w.Keys()
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		got, err := w.Import(have, files, pass)
		if err != nil {
			return nil, err
		}
		for n, i := range at {
			out[i] = got[n]
		}
	}
	return out, val.reload()
}

// reload puts the wallet's keys to work at once.
func (val *Validator) reload() error {
	keys, err := val.walletNow().Enabled()
	if err != nil {
		return err
	}
	val.setKeys(keys)
	return nil
}

// apiDelete takes keys out of the wallet and out of work, and only then writes down their history.
func (val *Validator) apiDelete(pubkeys []string) ([]*wallet.Imported, string, error) {
	w := val.walletNow()
	have, err := w.Keys()
	if err != nil {
		return nil, "", err
	}
	out := make([]*wallet.Imported, len(pubkeys))
	gone := map[string]bool{}
	for i, p := range pubkeys {
		p = strings.ToLower(p)
		if _, err := wire.Bytes(p, 48); err != nil || !strings.HasPrefix(p, "0x") {
			out[i] = &wallet.Imported{Status: "error", Message: "not a public key: " + p}
			continue
		}
		out[i] = &wallet.Imported{Status: "not_found"}
		for _, k := range have {
			if k.Pub() == p {
				out[i].Status = "deleted"
				gone[p] = true
			}
		}
	}
	if len(gone) > 0 {
		var keep []wallet.Key
		for _, k := range have {
			if !gone[k.Pub()] {
				keep = append(keep, k)
			}
		}
		if err := w.Write(keep); err != nil {
			return nil, "", err
		}
		val.stopKeys(gone)
	}
	exported, err := val.store.Export()
	if err != nil {
		return nil, "", err
	}
	var data []*wire.InterchangeKey
	for _, d := range exported.Data {
		for i, p := range pubkeys {
			if !strings.EqualFold(p, d.Pubkey) || out[i].Status == "error" {
				continue
			}
			if out[i].Status == "not_found" {
				out[i].Status = "not_active"
			}
			data = append(data, d)
			break
		}
	}
	if data == nil {
		data = []*wire.InterchangeKey{}
	}
	exported.Data = data
	raw, err := json.Marshal(exported)
	return out, string(raw), err
}

// stopKeys takes keys out of work and waits until a duty that is under way is over.
func (val *Validator) stopKeys(gone map[string]bool) {
	val.mu.Lock()
	var stopped []*signer
	var order []string
	for _, pub := range val.order {
		if gone[pub] {
			stopped = append(stopped, val.keys[pub])
			delete(val.keys, pub)
		} else {
			order = append(order, pub)
		}
	}
	val.order = order
	val.mu.Unlock()
	for _, s := range stopped {
		s.live.Store(false)
		s.mu.Lock() // until the duty that is under way is over
		s.mu.Unlock()
	}
	select {
	case val.changed <- struct{}{}:
	default:
	}
}
