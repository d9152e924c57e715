// Package rpc is a client's key manager API (/eth/v1/keystores, from v2.0.3 on) and the token that opens it. Answers are
// those of the real programs, with an error of theirs that prints as <nil>; remote keys and fee recipients are not played.
package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/keymanager"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// server answers for one client.
type server struct {
	keys  *keymanager.Manager
	store *database.Store
	token string
	ready func() bool
}

// Serve opens the part of the key manager API that moves keys; ready tells whether the client has ever met its beacon.
func Serve(ctx context.Context, c *cli.Context, keys *keymanager.Manager, store *database.Store, ready func() bool) error {
	if c.Release.Before(2, 0, 3) {
		return nil
	}
	token, err := token(c)
	if err != nil {
		return fmt.Errorf("could not initialize auth token: %w", err)
	}
	name := "grpc-gateway"
	if c.Release.From(5, 1, 1) {
		name = "http"
	}
	address := net.JoinHostPort(c.Flags.String(name+"-host", "127.0.0.1"), strconv.Itoa(c.Flags.Int(name+"-port", 7500)))
	ln, err := net.Listen("tcp", address)
	if err != nil {
		c.Log.Error("gateway", "Failed to listen and serve", "error", err)
		return nil
	}
	c.Log.Info("rpc", "Starting Keymanager APIs on address", "address", address)
	s := &server{keys, store, token, ready}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /eth/v1/keystores", s.guard(s.list))
	mux.HandleFunc("POST /eth/v1/keystores", s.guard(s.post))
	mux.HandleFunc("DELETE /eth/v1/keystores", s.guard(s.delete))
	go http.Serve(ln, mux)
	go func() { <-ctx.Done(); ln.Close() }()
	return nil
}

func fail(w http.ResponseWriter, code int, msg string) {
	jsonhttp.Answer(w, code, map[string]any{"message": msg, "code": code})
}

// guard wants the token and a wallet, and lets in one request at a time.
func (s *server) guard(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		switch {
		case auth == "":
			fail(w, 401, "Unauthorized: no Authorization header passed. Please use an Authorization header with the jwt created in the prysm wallet")
		case auth != "Bearer "+s.token:
			fail(w, 403, "Forbidden: token value is invalid")
		case s.keys.Wallet() == nil:
			fail(w, 503, "Prysm Wallet not initialized. Please create a new wallet.")
		default:
			defer s.keys.Hold()()
			h(w, r)
		}
	}
}

func (s *server) list(w http.ResponseWriter, _ *http.Request) {
	data := []map[string]string{}
	for _, k := range s.keys.Public() {
		data = append(data, map[string]string{"validating_pubkey": k, "derivation_path": ""})
	}
	if !s.ready() {
		fail(w, 503, "Validator service not ready.")
		return
	}
	jsonhttp.Answer(w, 200, map[string]any{"data": data})
}

func (s *server) post(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Keystores  []string `json:"keystores"`
		Passwords  []string `json:"passwords"`
		Protection string   `json:"slashing_protection"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, 400, "Could not decode request body: "+err.Error())
		return
	}
	data, err := s.importAll(in.Keystores, in.Passwords, in.Protection)
	if err != nil {
		fail(w, 500, "Could not import keystores: "+err.Error())
		return
	}
	jsonhttp.Answer(w, 200, map[string]any{"data": data})
}

func (s *server) delete(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Pubkeys []string `json:"pubkeys"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, 400, "Could not decode request body: "+err.Error())
		return
	}
	data, history, err := s.remove(in.Pubkeys)
	if err != nil {
		fail(w, 500, "Could not delete keys: "+err.Error())
		return
	}
	jsonhttp.Answer(w, 200, map[string]any{"data": data, "slashing_protection": history})
}

// importAll takes in the history, and only then the keys.
func (s *server) importAll(keystores, passwords []string, protection string) ([]*wallet.Imported, error) {
	if len(keystores) == 0 {
		return []*wallet.Imported{}, nil
	}
	if len(passwords) == 0 {
		return allFailed(len(keystores), "no passwords provided for keystores"), nil
	}
	if protection != "" {
		if err := s.store.Import([]byte(protection)); err != nil {
			// The message is the real program's: it prints an error that it does not have.
			return allFailed(len(keystores), "could not import slashing protection: <nil>"), nil
		}
		if err := s.keys.ReadBlacklist(); err != nil {
			return nil, err
		}
	}
	out := make([]*wallet.Imported, len(keystores))
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
	w := s.keys.Wallet()
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
	return out, s.keys.Reload()
}

func allFailed(n int, why string) []*wallet.Imported {
	out := make([]*wallet.Imported, n)
	for i := range out {
		out[i] = &wallet.Imported{Status: "error", Message: why}
	}
	return out
}

// remove takes keys out of the wallet and out of work, and only then writes down their history.
func (s *server) remove(pubkeys []string) ([]*wallet.Imported, string, error) {
	w := s.keys.Wallet()
	have, err := w.Keys()
	if err != nil {
		return nil, "", err
	}
	out, gone := choose(pubkeys, have)
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
		s.keys.Stop(gone)
	}
	history, err := s.store.Export()
	if err != nil {
		return nil, "", err
	}
	history.Data = historyOf(history.Data, pubkeys, out)
	raw, err := json.Marshal(history)
	return out, string(raw), err
}

// choose tells which of the keys asked for the wallet has.
func choose(pubkeys []string, have []wallet.Key) (out []*wallet.Imported, gone map[string]bool) {
	out = make([]*wallet.Imported, len(pubkeys))
	gone = map[string]bool{}
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
	return out, gone
}

// historyOf are the records of the keys asked for. A key that only has records was deleted before: it is not active.
func historyOf(all []*wire.InterchangeKey, pubkeys []string, out []*wallet.Imported) []*wire.InterchangeKey {
	data := []*wire.InterchangeKey{}
	for _, d := range all {
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
	return data
}
