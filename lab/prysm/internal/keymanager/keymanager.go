// Package keymanager has the keys of a running client: which of its wallet's keys are at work, how they come and go while
// it runs, and that each does one thing at a time. When a wallet is read anew is as real Prysm's imported and local key
// managers do it.
package keymanager

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/wallet"
)

// Signer is one key; its lock makes "read history, check, keep, sign, send" one step.
type Signer struct {
	Key  wallet.Key
	mu   sync.Mutex
	live atomic.Bool // false once the key is taken away
}

// Release ends what Take began.
func (s *Signer) Release() { s.mu.Unlock() }

// Manager has the keys of a running client.
type Manager struct {
	cli    *cli.Context
	wallet *wallet.Wallet
	store  *database.Store

	// walletMu makes "read the wallet, put its keys to work" one step, so that no older state comes back.
	walletMu sync.Mutex

	mu        sync.Mutex
	keys      map[string]*Signer
	order     []string
	blacklist map[string]bool
	changed   chan struct{}
}

// New has no key at work yet. Without a wallet (nil) there are only keys that others bring.
func New(c *cli.Context, w *wallet.Wallet, store *database.Store) *Manager {
	return &Manager{cli: c, wallet: w, store: store, keys: map[string]*Signer{}, changed: make(chan struct{}, 1)}
}

// Wallet is where the keys are from, or nil.
func (m *Manager) Wallet() *wallet.Wallet { return m.wallet }

// Changed tells that keys were loaded anew.
func (m *Manager) Changed() <-chan struct{} { return m.changed }

// Touch has the duties of all keys asked for anew.
func (m *Manager) Touch() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Hold makes everything until it is let go one step, from reading the wallet to putting its keys to work.
func (m *Manager) Hold() (letGo func()) {
	m.walletMu.Lock()
	return m.walletMu.Unlock
}

// Public are the public keys at work, in the wallet's order.
func (m *Manager) Public() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.order...)
}

// Load reads the wallet (or makes interop keys) and puts the keys to work.
func (m *Manager) Load(interop bool) error {
	if interop {
		return m.loadInterop()
	}
	if m.wallet == nil {
		return nil
	}
	keys, err := m.wallet.Enabled()
	if err != nil {
		return fmt.Errorf("could not initialize keymanager: failed to initialize account store: %w", err)
	}
	m.Use(keys)
	return nil
}

func (m *Manager) loadInterop() error {
	var keys []wallet.Key
	start := m.cli.Flags.Int("interop-start-index", 0)
	for i := start; i < start+m.cli.Flags.Int("interop-num-validators", 0); i++ {
		k, err := wallet.InteropKey(uint64(i))
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	m.Use(keys)
	return nil
}

// Reload puts the wallet's keys to work at once.
func (m *Manager) Reload() error {
	keys, err := m.wallet.Enabled()
	if err != nil {
		return err
	}
	m.Use(keys)
	return nil
}

// Use puts these keys to work, and no others.
func (m *Manager) Use(keys []wallet.Key) {
	raw := m.replace(keys)
	if m.cli.Release.Before(2, 0, 0) {
		if err := m.store.AddPublicKeys(raw); err != nil {
			m.cli.Log.Error(logging.ClientPrefix(m.cli.Release), "Could not save public keys", "error", err)
		}
	}
	m.Touch()
}

// replace keeps the signers of keys that stay: what is under way with them goes on.
func (m *Manager) replace(keys []wallet.Key) (raw [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.keys
	m.keys = map[string]*Signer{}
	m.order = nil
	for _, k := range keys {
		pub := k.Pub()
		s := old[pub]
		if s == nil {
			s = &Signer{Key: k}
		}
		if m.keys[pub] == nil {
			m.order = append(m.order, pub)
		}
		m.keys[pub] = s
		raw = append(raw, k.Public)
	}
	for pub, s := range old {
		if m.keys[pub] == nil {
			s.live.Store(false) // what waits for its turn must not sign any more
		}
	}
	for _, s := range m.keys {
		s.live.Store(true)
	}
	return raw
}

// Stop takes keys out of work and waits until a duty that is under way is over.
func (m *Manager) Stop(gone map[string]bool) {
	m.mu.Lock()
	var stopped []*Signer
	var order []string
	for _, pub := range m.order {
		if gone[pub] {
			stopped = append(stopped, m.keys[pub])
			delete(m.keys, pub)
		} else {
			order = append(order, pub)
		}
	}
	m.order = order
	m.mu.Unlock()
	for _, s := range stopped {
		s.live.Store(false)
		s.mu.Lock() // until the duty that is under way is over
		s.mu.Unlock()
	}
	m.Touch()
}

// Take locks a key for one duty, if it is still here.
func (m *Manager) Take(pub string) *Signer {
	m.mu.Lock()
	s := m.keys[pub]
	m.mu.Unlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	if !s.live.Load() {
		s.mu.Unlock()
		return nil
	}
	return s
}

// ReadBlacklist learns which keys an import of history found slashable. They stay at work and get no duties.
func (m *Manager) ReadBlacklist() error {
	black, err := m.store.Blacklisted()
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.blacklist = black
	m.mu.Unlock()
	return nil
}

// Blacklisted tells whether a key gets no duties.
func (m *Manager) Blacklisted(pub string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blacklist[pub]
}

// Watch reloads the keys when the wallet's file is written. It watches the inode: a rename over it ends the watch.
func (m *Manager) Watch(ctx context.Context) {
	log, name := m.cli.Log, "local-keymanager"
	if m.cli.Release.Before(2, 1, 0) {
		name = "imported-keymanager"
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Error(name, "Could not initialize file watcher", "error", err)
		return
	}
	defer watcher.Close()
	if err := watcher.Add(m.wallet.Path()); err != nil {
		log.Debug(name, "Could not add file to file watcher", "error", err)
		return
	}
	pause, err := time.ParseDuration(m.cli.Flags.String("dynamic-key-reload-debounce-interval", "1s"))
	if err != nil {
		pause = time.Second
	}
	var timer <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case ev, ok := <-watcher.Events:
			if !ok {
				return
			}
			if ev.Has(fsnotify.Chmod) && !ev.Has(fsnotify.Write) {
				continue
			}
			timer = time.After(pause)
		case err, ok := <-watcher.Errors:
			if !ok {
				return
			}
			log.Error(name, "Could not watch for file changes", "error", err)
		case <-timer:
			timer = nil
			letGo := m.Hold()
			err := m.Reload()
			letGo()
			if err != nil {
				log.Error(name, "Could not reload accounts from the wallet", "error", err)
				continue
			}
			log.Info(name, "Reloaded validator keys into keymanager")
		}
	}
}
