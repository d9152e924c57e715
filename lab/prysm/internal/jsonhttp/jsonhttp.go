// Package jsonhttp is JSON over HTTP, both ends of it: a validator asks its beacon that way, a beacon the lab's chain. Real
// Prysm speaks gRPC there; lab/prysm/README.md says what else differs.
package jsonhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// Client talks to the chain or to a beacon. Nothing in the lab is far away: what hangs is broken.
type Client struct {
	base    string
	http    *http.Client
	line    *line  // of New(...).Lasting()
	Version string // of a validator client, which its beacon is told
}

// VersionHeader carries the version of a validator client, by which a beacon knows what the client asks for.
const VersionHeader = "X-Validator-Version"

// New is a client of an address, with or without http:// before it.
func New(base string) *Client {
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	return &Client{base: strings.TrimRight(base, "/"), http: &http.Client{Timeout: 4 * time.Second}}
}

// Lasting keeps a connection as gRPC does without a keepalive: an answer that does not come in time ends the call and not
// the connection, and no later call goes out beside it.
func (c *Client) Lasting() *Client {
	c.line = &line{}
	c.http.Transport = &http.Transport{DialContext: c.line.dial, IdleConnTimeout: time.Minute}
	return c
}

// Waits says that a call failed because no answer came on a lasting connection.
func (c *Client) Waits(err error) bool {
	return c.line != nil && (errors.Is(err, ErrSilent) || os.IsTimeout(err) && c.line.isSilent())
}

// StatusError is an answer that is no success.
type StatusError struct {
	Code int
	Msg  string
}

func (e StatusError) Error() string { return e.Msg }

// Do sends one request and reads its answer; both may be nil.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	if c.Version != "" {
		req.Header.Set(VersionHeader, c.Version)
	}
	if err := c.line.wait(ctx, c.http.Timeout); err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		msg, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return StatusError{res.StatusCode, strings.TrimSpace(string(msg))}
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// Answer writes one answer.
func Answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}
