package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/version"
	"eth2xk8s/lab/prysm/internal/wire"
)

// private is the protocol between validator double and beacon double.
type private struct{ *Gateway }

// Private is the protocol between validator double and beacon double.
func (g *Gateway) Private(mux *http.ServeMux) {
	p := private{g}
	mux.HandleFunc("GET /lab/status", p.status)
	mux.HandleFunc("POST /lab/duties", p.pass("POST", "/duties", nil))
	mux.HandleFunc("GET /lab/attestation", p.pass("GET", "/attestation", p.current))
	mux.HandleFunc("GET /lab/block", p.pass("GET", "/block", p.current))
	mux.HandleFunc("POST /lab/liveness", p.pass("POST", "/liveness", nil))
	mux.HandleFunc("POST /lab/submit", p.submit)
}

func (p private) status(w http.ResponseWriter, _ *http.Request) {
	sync := p.chain.Sync()
	jsonhttp.Answer(w, http.StatusOK, wire.BeaconStatus{
		Started: sync.Started, Synced: sync.Ready(), Version: p.cli.Release.Text, Network: params.Network(p.cli), Config: p.chain.Config(),
	})
}

// pass hands a request on to the chain, if this beacon would answer it.
func (p private) pass(method, path string, check func(*http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if text, code := p.refusal(path, r); text != "" {
			http.Error(w, text, code)
			return
		}
		if check != nil {
			if err := check(r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		var in any
		if method == "POST" {
			if err := json.NewDecoder(io.LimitReader(r.Body, 8<<20)).Decode(&in); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		to := path
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		var out json.RawMessage
		if err := p.chain.Ask(r.Context(), method, to, in, &out); err != nil {
			code := http.StatusBadGateway
			var st jsonhttp.StatusError
			if errors.As(err, &st) {
				code = st.Code
			}
			http.Error(w, err.Error(), code)
			return
		}
		jsonhttp.Answer(w, http.StatusOK, out)
	}
}

// refusal is why a client gets no answer: its release calls what this one does not know, or this node is not in sync.
func (p private) refusal(path string, r *http.Request) (text string, code int) {
	if client, err := version.Parse(r.Header.Get(jsonhttp.VersionHeader)); err == nil {
		attest, blocks := client.UnknownCall(p.cli.Release)
		if path == "/block" && attest == "" {
			attest = blocks
		}
		if attest != "" {
			return attest, http.StatusNotImplemented
		}
	}
	if p.chain.Optimistic() {
		return "The node is currently optimistic and cannot serve validators", http.StatusServiceUnavailable
	}
	if !p.chain.Sync().Ready() {
		return "Syncing to latest head, not ready to respond", http.StatusServiceUnavailable
	}
	return "", 0
}

// current wants a request to be for the slot that it is.
func (p private) current(r *http.Request) error {
	asked, err := strconv.ParseUint(r.URL.Query().Get("slot"), 10, 64)
	if err != nil {
		return err
	}
	slot, _ := p.chain.Slot()
	if asked != slot {
		return fmt.Errorf("invalid request: slot %d is not the current slot %d", asked, slot)
	}
	return nil
}

func (p private) submit(w http.ResponseWriter, r *http.Request) {
	var s wire.Submission
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&s); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// A signature that exists is passed on whatever the sync state, so that the judge sees it.
	s.Address, _, _ = net.SplitHostPort(r.RemoteAddr)
	if err := p.chain.Ask(r.Context(), "POST", "/submit", s, nil); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	jsonhttp.Answer(w, http.StatusOK, map[string]bool{"ok": true})
}
