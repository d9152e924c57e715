package jsonhttp

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// ErrSilent is a call for which there is a connection that nothing answers on.
var ErrSilent = errors.New("nothing answers on the connection that is open")

// line is what leads to one address; nil leads there with no memory.
type line struct {
	mu     sync.Mutex
	silent *conn // a call was given up on it
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: raw, line: l, over: make(chan struct{})}, nil
}

// wait returns once no connection is silent.
func (l *line) wait(ctx context.Context, patience time.Duration) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	silent := l.silent
	l.mu.Unlock()
	if silent == nil {
		return nil
	}
	select {
	case <-silent.over:
		return nil
	case <-time.After(patience):
		return ErrSilent
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *line) isSilent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent != nil
}

// conn is one connection. Who gives up on an answer closes it; then it stays open until the other end says anything.
type conn struct {
	net.Conn
	line   *line
	mu     sync.Mutex
	asked  bool // something was written, and nothing read since
	closed bool
	over   chan struct{}
}

func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.asked = true
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.asked = false
	closed := c.closed
	c.mu.Unlock()
	if closed {
		c.end()
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if !c.asked {
		return c.Conn.Close()
	}
	c.line.mu.Lock()
	c.line.silent = c
	c.line.mu.Unlock()
	return nil
}

// end lets later calls dial anew.
func (c *conn) end() {
	c.Conn.Close()
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.line.silent == c {
		c.line.silent = nil
		close(c.over)
	}
}
