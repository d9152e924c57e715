// Package validator is Prysm's validator client: how it starts and waits for its beacon, its duties, and the one way on
// which a signature is made. Order, texts and ends are those of each release; what the client and its beacon say to each
// other is the lab's own protocol (lab/prysm/README.md).
package validator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/keymanager"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/monitor"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/rpc"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// session is what every part of a running client works with.
type session struct {
	cli     *cli.Context
	prefix  string // of its messages
	keys    *keymanager.Manager
	store   *database.Store
	beacons *beacons
	meter   *meter
	id      string // of this start of the process
	network string
	config  wire.Config // the chain's, once the beacon was reached

	work    sync.WaitGroup // duties under way, and what else has to end before the database is closed
	failure chan int       // exit code of a failure that ends the process
}

// start runs what has to end before the database is closed.
func (s *session) start(f func()) {
	s.work.Add(1)
	go func() { defer s.work.Done(); f() }()
}

// client is a validator client from its start on.
type client struct {
	*session
	noWallet error // why there is no wallet, if one is wanted
	interop  bool
	chain    chainFile
	reached  atomic.Bool // the beacon answered once
}

// Run is a validator client until it is stopped or fails; it returns the exit code.
func Run(c *cli.Context) (int, error) {
	cl := &client{
		session: &session{
			cli: c, prefix: logging.ClientPrefix(c.Release), meter: newMeter(c), id: newID(), network: params.Network(c),
			failure: make(chan int, 8),
		},
		interop: c.Flags.Int("interop-num-validators", 0) > 0 && c.Release.Before(7, 1, 8),
	}
	var err error
	if cl.chain, err = checkFiles(c); err != nil {
		return 0, err
	}
	var w *wallet.Wallet
	if !cl.interop {
		if w, cl.noWallet, err = openWallet(c); err != nil {
			return 0, err
		}
	}
	if cl.store, err = openStore(c, w); err != nil {
		return 0, err
	}
	defer cl.store.Close()
	if err := cl.store.MigrateUp(); err != nil {
		return 0, fmt.Errorf("could not run database migration: %w", err)
	}
	cl.keys = keymanager.New(c, w, cl.store)
	if !c.Flags.Bool("disable-monitoring") {
		monitor.Serve(c.Log, c.Flags.String("monitoring-host", "127.0.0.1"), c.Flags.Int("monitoring-port", 8081), cl.meter.metrics, checks(c))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cl.beacons = newBeacons(c)
	if hasAPI(c) {
		if err := rpc.Serve(ctx, c, cl.keys, cl.store, cl.reached.Load); err != nil {
			return 0, err
		}
	}
	return cl.untilStopped(ctx, cancel), nil
}

// untilStopped lives until the client is stopped or fails, and then waits for what is under way.
func (cl *client) untilStopped(ctx context.Context, cancel func()) int {
	result := make(chan int, 1)
	cl.start(func() {
		if code, end := cl.live(ctx); end {
			result <- code
		}
	})
	code := 0
	select {
	case <-cl.cli.Stop:
		cl.cli.Log.Info("node", "Got interrupt, shutting down...")
		cl.cli.Log.Info("node", "Stopping Prysm validator")
	case code = <-result:
	case code = <-cl.failure:
	}
	// No signature may leave after the lock is given back: wait for what is under way, then close.
	cancel()
	done := make(chan struct{})
	go func() { cl.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(1500 * time.Millisecond):
		os.Exit(code) // the lock goes with the process
	}
	return code
}

// newID names this start of the process, so that the judge can tell two of them.
func newID() string {
	id := make([]byte, 4)
	rand.Read(id)
	host, _ := os.Hostname()
	return host + "/" + hex.EncodeToString(id)
}

// hasAPI tells whether the key manager API is served.
func hasAPI(c *cli.Context) bool { return c.Flags.Bool("rpc") || c.Flags.Bool("web") }

// checks are the services that /healthz lists: whatever happens, they are well.
func checks(c *cli.Context) []monitor.Check {
	ok := func() error { return nil }
	list := []monitor.Check{{Name: "*prometheus.Service", Err: ok}, {Name: "*client.ValidatorService", Err: ok}}
	if hasAPI(c) {
		list = append(list, monitor.Check{Name: "*rpc.Server", Err: ok})
	}
	return list
}

// openWallet opens the wallet. Where a client goes on without one, none is what it says later.
func openWallet(c *cli.Context) (w *wallet.Wallet, none, err error) {
	dir := c.WalletDir()
	w, err = wallet.Find(dir, c.Release)
	switch {
	case errors.Is(err, wallet.ErrNone) && (c.Release.From(6, 0, 0) || c.Flags.Bool("web")):
		return nil, wallet.ErrNone, nil
	case err != nil:
		return nil, nil, fmt.Errorf("could not open wallet: %w", err)
	}
	if w.Password, err = wallet.FindPassword(dir, c.Flags.String("wallet-password-file", ""), c.Release); err != nil {
		return nil, nil, err
	}
	if c.Release.From(7, 0, 0) {
		c.Log.Info("wallet", "Opened validator wallet", "keymanagerKind", w.Kind, "wallet", w.Dir)
	}
	if c.Release.Before(2, 0, 0) {
		if _, err := w.Keys(); err != nil {
			return nil, nil, fmt.Errorf("could not read keymanager for wallet: could not initialize imported keymanager: "+
				"failed to initialize account store: %w", err)
		}
	}
	return w, nil, nil
}

// openStore takes validator.db and its lock.
func openStore(c *cli.Context, w *wallet.Wallet) (*database.Store, error) {
	dir := c.Flags.String("datadir", "")
	if dir == "" || dir == cli.DefaultDataDir() {
		dir = defaultStoreDir(c, w)
	}
	if c.Flags.Bool("force-clear-db") {
		c.Log.Warn("node", "Removing database")
		if err := os.Remove(filepath.Join(dir, database.File)); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	} else if c.Flags.Bool("clear-db") {
		return nil, errors.New("could not clear validator db: could not read the answer: EOF")
	}
	if c.Flags.Bool("enable-minimal-slashing-protection") {
		return nil, errors.New("the minimal slashing protection database is not played here: it has no lock")
	}
	c.Log.Info("node", "Checking DB", "databasePath", dir)
	store, err := database.Open(dir, c.Release)
	if err != nil {
		return nil, fmt.Errorf("could not initialize db: %w", err)
	}
	return store, nil
}

// defaultStoreDir is where validator.db is when no directory is named: with the wallet up to v4.1.1.
func defaultStoreDir(c *cli.Context, w *wallet.Wallet) string {
	legacy := filepath.Join(c.WalletDir(), "direct")
	if w != nil {
		legacy = w.Dir
	}
	if c.Release.Before(4, 2, 0) {
		return legacy
	}
	here := cli.DefaultDataDir()
	if _, err := os.Stat(filepath.Join(here, database.File)); err != nil {
		if _, err := os.Stat(filepath.Join(legacy, database.File)); err == nil {
			return legacy
		}
	}
	return here
}
