package double

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/flags"
	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/monitor"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// Texts that operators and other programs look for.
const (
	noDutiesText = "Not including slashable public key from slashing protection import in request to update validator duties"
)

// Validator is a validator client with its keys, its database and its duties.
type Validator struct {
	app    *cli.Context
	fs     *flags.Set
	m      *monitor.Metrics
	store  *database.Store
	wallet *wallet.Wallet
	config wire.Config
	client string
	net    string
	// slotLen is what the chain configuration says, if one was given.
	slotLen string

	// altair is the epoch of that fork, as the chain configuration says: before it nobody is asked for doppelgangers.
	altair uint64

	beaconMu sync.Mutex
	beacons  []*jsonhttp.Client

	// walletMu makes "read the wallet, put its keys to work" one step, so that no older state comes back.
	walletMu sync.Mutex

	mu        sync.Mutex
	keys      map[string]*signer
	order     []string
	flooded   int           // lines written because the beacon is of another era
	changed   chan struct{} // keys were loaded anew
	reached   bool          // the beacon answered once
	blacklist map[string]bool
	failure   chan int // exit code of a failure that ends the process
}

// signer is one key; its lock makes "read history, check, keep, sign, send" one step.
type signer struct {
	mu   sync.Mutex
	key  wallet.Key
	live atomic.Bool // false once the key is taken away
}

// startFailure is an error after the node was built, which every version ends in its own way.
func startFailure(a *cli.Context, what string, err error) int {
	if a.Release.From(7, 0, 0) {
		a.Log.Error(logging.ClientPrefix(a.Release), "Could not create validator runner", "error", err)
		return 0
	}
	a.Log.LastWords(logging.ClientPrefix(a.Release), what, "error", err)
	return 1
}

func runValidator(a *cli.Context) (int, error) {
	fs := a.Flags
	v, log := a.Release, a.Log
	val := &Validator{
		app: a, fs: fs, m: monitor.NewMetrics(), keys: map[string]*signer{}, changed: make(chan struct{}, 1),
		failure: make(chan int, 8), net: params.Network(a),
	}
	if err := val.checkFiles(); err != nil {
		return 0, err
	}
	id := make([]byte, 4)
	rand.Read(id)
	host, _ := os.Hostname()
	val.client = host + "/" + hex.EncodeToString(id)

	datadir := fs.String("datadir", "")
	wanted := fs.String("wallet-dir", cli.DefaultWalletDir())
	waits := v.From(6, 0, 0) && (fs.Bool("rpc") || fs.Bool("web"))
	interop := fs.Int("interop-num-validators", 0) > 0 && v.Before(7, 1, 8)
	var walletErr error
	if !interop {
		w, err := wallet.Find(wanted, v)
		switch {
		case errors.Is(err, wallet.ErrNone):
			if v.Before(6, 0, 0) && !fs.Bool("web") {
				return 0, fmt.Errorf("could not open wallet: %w", wallet.ErrNone)
			}
			walletErr = wallet.ErrNone
		case err != nil:
			return 0, fmt.Errorf("could not open wallet: %w", err)
		default:
			pass, err := wallet.FindPassword(wanted, fs.String("wallet-password-file", ""), v)
			if err != nil {
				return 0, err
			}
			w.Password = pass
			val.wallet = w
			if v.From(7, 0, 0) {
				log.Info("wallet", "Opened validator wallet", "keymanagerKind", w.Kind, "wallet", w.Dir)
			}
			if v.Before(2, 0, 0) {
				if _, err := w.Keys(); err != nil {
					return 0, fmt.Errorf("could not read keymanager for wallet: could not initialize imported keymanager: "+
						"failed to initialize account store: %w", err)
				}
			}
		}
	}
	if datadir == "" || datadir == cli.DefaultDataDir() {
		datadir = val.defaultStoreDir(wanted)
	}
	if fs.Bool("force-clear-db") {
		log.Warn("node", "Removing database")
		if err := os.Remove(filepath.Join(datadir, database.File)); err != nil && !os.IsNotExist(err) {
			return 0, err
		}
	} else if fs.Bool("clear-db") {
		return 0, errors.New("could not clear validator db: could not read the answer: EOF")
	}
	if fs.Bool("enable-minimal-slashing-protection") {
		return 0, errors.New("the minimal slashing protection database is not played here: it has no lock")
	}
	log.Info("node", "Checking DB", "databasePath", datadir)
	store, err := database.Open(datadir, v)
	if err != nil {
		return 0, fmt.Errorf("could not initialize db: %w", err)
	}
	defer store.Close()
	val.store = store
	if err := store.MigrateUp(); err != nil {
		return 0, fmt.Errorf("could not run database migration: %w", err)
	}

	val.metrics()
	if !fs.Bool("disable-monitoring") {
		ok := func() error { return nil }
		checks := []monitor.Check{{Name: "*prometheus.Service", Err: ok}, {Name: "*client.ValidatorService", Err: ok}}
		if fs.Bool("rpc") || fs.Bool("web") {
			checks = append(checks, monitor.Check{Name: "*rpc.Server", Err: ok})
		}
		monitor.Serve(log, fs.String("monitoring-host", "127.0.0.1"), fs.Int("monitoring-port", 8081), val.m, checks)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	val.setBeacons()
	if fs.Bool("rpc") || fs.Bool("web") {
		if err := val.keymanagerAPI(ctx); err != nil {
			return 0, err
		}
	}
	var work sync.WaitGroup
	result := make(chan int, 1)
	work.Add(1)
	go func() {
		defer work.Done()
		if code, end := val.run(ctx, &work, walletErr, waits, interop); end {
			result <- code
		}
	}()
	code := 0
	select {
	case <-a.Stop:
		log.Info("node", "Got interrupt, shutting down...")
		log.Info("node", "Stopping Prysm validator")
	case code = <-result:
	case code = <-val.failure:
	}
	// No signature may leave after the lock is given back: wait for what is under way, then close.
	cancel()
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(1500 * time.Millisecond):
		os.Exit(code) // the lock goes with the process
	}
	return code, nil
}

func (val *Validator) checkFiles() error {
	fs, v := val.fs, val.app.Release
	if path := fs.String("chain-config-file", ""); path != "" {
		conf, err := params.Load(val.app, path)
		if err != nil {
			return err
		}
		val.slotLen = conf["SECONDS_PER_SLOT"]
		val.altair, _ = strconv.ParseUint(conf["ALTAIR_FORK_EPOCH"], 10, 64)
	}
	for _, name := range []string{"proposer-settings-file", "fee-recipient-config-file", "graffiti-file", "tls-cert"} {
		if path := fs.String(name, ""); path != "" {
			if _, err := os.ReadFile(path); err != nil {
				return fmt.Errorf("could not load --%s: %w", name, err)
			}
		}
	}
	if a := fs.String("suggested-fee-recipient", ""); a != "" && !params.IsAddress(a) {
		return errors.New("default fileRecipient is not a valid Ethereum address")
	}
	if fs.IsSet("validators-external-signer-url") {
		return errors.New("an external signer is not played here")
	}
	if v.From(7, 0, 0) && !fs.IsSet("suggested-fee-recipient") && !fs.IsSet("proposer-settings-file") &&
		!fs.IsSet("proposer-settings-url") {
		val.app.Log.Warn("node", "No proposer settings were provided: the fee recipient of the beacon node is used")
	}
	return nil
}

// defaultStoreDir is where validator.db is when no directory is named: with the wallet up to v4.1.1.
func (val *Validator) defaultStoreDir(walletDir string) string {
	legacy := filepath.Join(walletDir, "direct")
	if val.wallet != nil {
		legacy = val.wallet.Dir
	}
	if val.app.Release.Before(4, 2, 0) {
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

func (val *Validator) metrics() {
	m := val.m
	m.DefineVersion(val.app.Release)
	gauges := [][2]string{
		{"validator_statuses", "validator statuses: 0 UNKNOWN, 1 DEPOSITED, 2 PENDING, 3 ACTIVE, 4 EXITING, 5 SLASHING, 6 EXITED"},
		{"validator_last_attested_slot", "Last attested slot"},
	}
	if val.app.Release.From(1, 3, 4) {
		gauges = append(gauges, [2]string{"validator_next_attestation_slot", "validator next scheduled attestation slot"},
			[2]string{"validator_next_proposal_slot", "validator next scheduled proposal slot"})
	}
	for _, d := range gauges {
		m.Define(d[0], "gauge", d[1])
	}
	for _, d := range [][2]string{
		{"validator_successful_attestations", "Number of successful attestations"},
		{"validator_failed_attestations", "Number of failed attestations"},
		{"validator_successful_proposals", "Number of successful proposals"},
		{"validator_failed_proposals", "Number of failed proposals"},
	} {
		m.Define(d[0], "counter", d[1])
	}
}

func (val *Validator) setBeacons() {
	list := val.fs.String("beacon-rpc-provider", "127.0.0.1:4000")
	rest := val.fs.Bool("enable-beacon-rest-api")
	if val.app.Release.From(7, 1, 8) && val.fs.IsSet("beacon-rest-api-provider") {
		rest = true // the address alone is enough
	}
	if rest {
		list = val.fs.String("beacon-rest-api-provider", "http://127.0.0.1:3500")
	}
	for _, addr := range strings.Split(list, ",") {
		c := jsonhttp.New(strings.TrimSpace(addr))
		if !rest {
			c.Version = val.app.Release.Text // over REST no call of another era is missed
		}
		val.beacons = append(val.beacons, c)
	}
}

// ask talks to the current beacon and goes on to the next one if that does not answer.
func (val *Validator) ask(ctx context.Context, method, path string, in, out any) error {
	val.beaconMu.Lock()
	b := val.beacons[0]
	val.beaconMu.Unlock()
	err := b.Do(ctx, method, path, in, out)
	var st jsonhttp.StatusError
	if err != nil && (!errors.As(err, &st) || st.Code == 503) && ctx.Err() == nil {
		val.beaconMu.Lock()
		if val.beacons[0] == b {
			val.beacons = append(val.beacons[1:], b)
		}
		val.beaconMu.Unlock()
	}
	return err
}

// run is the life of the client; it ends by itself only by a failure.
func (val *Validator) run(ctx context.Context, work *sync.WaitGroup, walletErr error, waits, interop bool) (int, bool) {
	a := val.app
	v, log := a.Release, a.Log
	if v.Before(6, 0, 0) && walletErr == nil {
		if err := val.loadKeys(interop); err != nil {
			return startFailure(a, "Wallet is not ready", err), true
		}
	}
	log.Info(logging.ClientPrefix(a.Release), "Waiting for beacon chain start log from the ETH 2.0 deposit contract")
	if !val.waitForBeacon(ctx) {
		return 0, ctx.Err() == nil
	}
	log.Info(logging.ClientPrefix(a.Release), "Beacon chain started", "genesisTime", time.Unix(val.config.GenesisTime, 0).UTC().Format(time.RFC3339))
	root, err := wire.Bytes(val.config.GenesisValidatorsRoot, 32)
	if err != nil {
		return startFailure(a, "Could not determine if beacon chain started", err), true
	}
	have, err := val.store.GenesisRoot()
	if err == nil && len(have) > 0 && string(have) != string(root) {
		text := fmt.Sprintf("The genesis validators root received from the beacon node does not match what is in your validator database. "+
			"This could indicate that this is a database meant for another network. If you were previously running this validator "+
			"database on another network, please run --clear-db to clear the database. If not, please file an issue at "+
			"https://github.com/prysmaticlabs/prysm/issues: genesis validators root from beacon node (%#x) does not match "+
			"root saved in validator db (%#x)", root, have)
		return startFailure(a, "Could not determine if beacon chain started", errors.New(text)), true
	}
	if err == nil {
		err = val.store.SaveGenesisRoot(root)
	}
	if err != nil {
		return startFailure(a, "Could not save genesis validators root", err), true
	}
	if walletErr != nil {
		if !waits {
			return startFailure(a, "Wallet is not ready", walletErr), true
		}
		log.Info(logging.ClientPrefix(a.Release), "Waiting for keymanager to initialize validator client with web UI or /v2/validator/wallet/create REST api")
		for val.walletNow() == nil {
			select {
			case <-ctx.Done():
				return 0, false
			case <-val.changed:
			}
		}
	} else if v.From(6, 0, 0) {
		if err := val.loadKeys(interop); err != nil {
			return startFailure(a, "Wallet is not ready", err), true
		}
	}
	if !interop && val.walletNow() != nil {
		work.Add(1)
		go func() { defer work.Done(); val.watchWallet(ctx) }()
	}
	black, err := val.store.Blacklisted()
	if err != nil {
		return startFailure(a, "Could not read slashable public keys from disk", err), true
	}
	val.mu.Lock()
	val.blacklist = black
	keys := append([]string{}, val.order...)
	val.mu.Unlock()
	if len(keys) == 0 {
		log.Warn(logging.ClientPrefix(a.Release), "No validating keys in the wallet; waiting for some")
	}
	if slot, _ := params.SlotAt(val.config, time.Now()); v.From(1, 4, 1) && val.fs.Bool("enable-doppelganger") &&
		slot/val.config.SlotsPerEpoch >= val.altair {
		if err := val.doppelganger(ctx, keys); err != nil {
			return startFailure(a, "Could not succeed with doppelganger check", err), true
		}
	}
	val.duties(ctx, work)
	return 0, false
}

func (val *Validator) walletNow() *wallet.Wallet {
	val.mu.Lock()
	defer val.mu.Unlock()
	return val.wallet
}

// waitForBeacon waits until a beacon is there, past genesis and in sync. It says false when it gives up.
func (val *Validator) waitForBeacon(ctx context.Context) bool {
	log := val.app.Log
	limit := val.fs.Int("max-health-checks", 0)
	failed, told := 0, ""
	for {
		var st wire.BeaconStatus
		err := val.ask(ctx, "GET", "/lab/status", nil, &st)
		say, pause := "", 500*time.Millisecond
		switch {
		case err != nil:
			failed++
			pause = time.Second
			say = "Could not reach the beacon node: " + err.Error()
			if val.app.Release.From(6, 1, 0) {
				say = "Validator service health check failed, waiting for a healthy beacon node"
				if limit > 0 {
					pause = 6 * time.Second
				}
			}
		case st.Network != val.net || val.slotLen != "" && val.slotLen != strconv.FormatUint(st.Config.SecondsPerSlot, 10):
			// Real ones do not notice: they sign for another fork version, or at other times, and nothing is accepted.
			failed, say = 0, fmt.Sprintf("This client's network (%s) is not its beacon node's (%s)", val.net, st.Network)
		case !st.Started:
			failed, say = 0, "Waiting for the genesis of the chain"
		case !st.Synced:
			failed, say = 0, "Waiting for beacon node to sync to latest chain head"
		default:
			val.config = st.Config
			val.mu.Lock()
			val.reached = true
			val.mu.Unlock()
			return true
		}
		if say != told {
			log.Warn(logging.ClientPrefix(val.app.Release), say)
			told = say
		}
		if limit > 0 && failed > limit {
			log.Error(logging.ClientPrefix(val.app.Release), "Reached maximum number of health checks, shutting down", "maxHealthChecks", limit)
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// loadKeys reads the wallet (or makes interop keys) and puts the keys to work.
func (val *Validator) loadKeys(interop bool) error {
	var keys []wallet.Key
	if interop {
		start := val.fs.Int("interop-start-index", 0)
		for i := start; i < start+val.fs.Int("interop-num-validators", 0); i++ {
			k, err := wallet.InteropKey(uint64(i))
			if err != nil {
				return err
			}
			keys = append(keys, k)
		}
	} else {
		w := val.walletNow()
		if w == nil {
			return nil
		}
		got, err := w.Enabled()
		if err != nil {
			return fmt.Errorf("could not initialize keymanager: failed to initialize account store: %w", err)
		}
		keys = got
	}
	val.setKeys(keys)
	return nil
}

func (val *Validator) setKeys(keys []wallet.Key) {
	val.mu.Lock()
	old := val.keys
	val.keys = map[string]*signer{}
	val.order = nil
	var raw [][]byte
	for _, k := range keys {
		pub := k.Pub()
		s := old[pub]
		if s == nil {
			s = &signer{key: k}
		}
		if val.keys[pub] == nil {
			val.order = append(val.order, pub)
		}
		val.keys[pub] = s
		raw = append(raw, k.Public)
	}
	for pub, s := range old {
		if val.keys[pub] == nil {
			s.live.Store(false) // what waits for its turn must not sign any more
		}
	}
	for _, s := range val.keys {
		s.live.Store(true)
	}
	val.mu.Unlock()
	if val.app.Release.Before(2, 0, 0) {
		if err := val.store.AddPublicKeys(raw); err != nil {
			val.app.Log.Error(logging.ClientPrefix(val.app.Release), "Could not save public keys", "error", err)
		}
	}
	select {
	case val.changed <- struct{}{}:
	default:
	}
}

// watchWallet reloads the keys when the wallet's file is written. It watches the inode: a rename over it ends the watch.
func (val *Validator) watchWallet(ctx context.Context) {
	log := val.app.Log
	name := "local-keymanager"
	if val.app.Release.Before(2, 1, 0) {
		name = "imported-keymanager"
	}
	w := val.walletNow()
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Error(name, "Could not initialize file watcher", "error", err)
		return
	}
	defer watcher.Close()
	if err := watcher.Add(w.Path()); err != nil {
		log.Debug(name, "Could not add file to file watcher", "error", err)
		return
	}
	pause, err := time.ParseDuration(val.fs.String("dynamic-key-reload-debounce-interval", "1s"))
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
			val.walletMu.Lock()
			err := val.reload()
			val.walletMu.Unlock()
			if err != nil {
				log.Error(name, "Could not reload accounts from the wallet", "error", err)
				continue
			}
			log.Info(name, "Reloaded validator keys into keymanager")
		}
	}
}

func (val *Validator) doppelganger(ctx context.Context, keys []string) error {
	log := val.app.Log
	log.Info(logging.ClientPrefix(val.app.Release), "Running doppelganger check")
	slot, _ := params.SlotAt(val.config, time.Now())
	epoch := slot / val.config.SlotsPerEpoch
	var ask []string
	for _, pub := range keys {
		raw, _ := wire.Bytes(pub, 48)
		d, err := val.store.Digest(raw)
		if err != nil {
			return err
		}
		if d.HighestTarget >= 0 && uint64(d.HighestTarget)+2 >= epoch {
			continue // it signed here a moment ago
		}
		ask = append(ask, pub)
	}
	var found []string
	for back := uint64(0); back <= 2 && back <= epoch && len(ask) > 0; back++ {
		live := map[string]bool{}
		for {
			err := val.ask(ctx, "POST", "/lab/liveness", wire.LivenessRequest{Epoch: epoch - back, Keys: ask}, &live)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			time.Sleep(500 * time.Millisecond)
		}
		for _, pub := range ask {
			if live[pub] {
				found = append(found, pub)
			}
		}
	}
	if len(found) > 0 {
		sort.Strings(found)
		return fmt.Errorf("Duplicate instances exists in the network for validator keys: %s", strings.Join(found, ", "))
	}
	log.Info(logging.ClientPrefix(val.app.Release), "Doppelganger check complete")
	return nil
}

// duties goes through the slots.
func (val *Validator) duties(ctx context.Context, work *sync.WaitGroup) {
	log, prefix := val.app.Log, logging.ClientPrefix(val.app.Release)
	cfg := val.config
	slotLen := time.Duration(cfg.SecondsPerSlot) * time.Second
	genesis := time.Unix(cfg.GenesisTime, 0)
	plan := map[string]wire.Duty{}
	var planned uint64
	have, noted, down := false, map[string]bool{}, false
	for {
		now := time.Now()
		slot, _ := params.SlotAt(cfg, now)
		start := genesis.Add(time.Duration(slot) * slotLen)
		epoch := slot / cfg.SlotsPerEpoch
		select {
		case <-val.changed:
			have = false
		default:
		}
		if !have || planned != epoch {
			next, err := val.fetchDuties(ctx, epoch, noted)
			switch {
			case err == nil:
				if down {
					log.Info(prefix, "Beacon chain started")
				}
				plan, planned, have, down = next, epoch, true, false
			case ctx.Err() != nil:
				return
			case isUnknownCall(err):
				if !val.flood(ctx, err) {
					return
				}
				continue
			default:
				have = false
				plan = map[string]wire.Duty{}
				if !down {
					log.Error(prefix, "Failed to update assignments", "error", err)
				}
				down = true
			}
		}
		for pub, d := range plan {
			for _, p := range d.ProposerSlots {
				if p == slot {
					work.Add(1)
					go func() { defer work.Done(); val.propose(ctx, pub, slot) }()
				}
			}
			if d.AttesterSlot == slot {
				work.Add(1)
				go func() {
					defer work.Done()
					if sleep(ctx, time.Until(start.Add(slotLen/3))) {
						val.attest(ctx, pub, d, slot)
					}
				}()
			}
		}
		// Sleep to the next slot by the wall clock: a machine may be frozen, and a clock may be set.
		for {
			select {
			case <-ctx.Done():
				return
			case <-val.changed:
				have = false
			case <-time.After(min(100*time.Millisecond, max(time.Until(start.Add(slotLen)), time.Millisecond))):
			}
			if s, _ := params.SlotAt(cfg, time.Now()); s != slot {
				break
			}
		}
	}
}

// isUnknownCall tells an answer of a beacon of another era.
func isUnknownCall(err error) bool {
	var st jsonhttp.StatusError
	return errors.As(err, &st) && st.Code == http.StatusNotImplemented
}

// How a client of another era ends: the real one writes some 7,000 lines a second, for minutes.
const (
	floodPause = 20 * time.Millisecond
	floodLines = 1500
)

// flood is what a client does whose beacon does not know its calls: it begins anew at once, again and again, says that its
// keys are active, and in the end panics. It says false when the client is to end.
func (val *Validator) flood(ctx context.Context, err error) bool {
	log, prefix := val.app.Log, logging.ClientPrefix(val.app.Release)
	if strings.Contains(err.Error(), "GetHealth") {
		log.Warn(prefix, "Validator service health check failed, waiting for a healthy beacon node", "error", err)
		return sleep(ctx, 2*time.Second)
	}
	val.mu.Lock()
	keys := append([]string{}, val.order...)
	val.mu.Unlock()
	for _, pub := range keys {
		if !val.fs.Bool("disable-account-metrics") {
			val.m.Set("validator_statuses", 3, "pubkey", pub)
		}
	}
	for n := 0; n < 50; n++ {
		log.Error(prefix, "Failed to receive blocks or slots", "error", "rpc error: code = Unimplemented desc = "+err.Error())
		if !sleep(ctx, floodPause) {
			return false
		}
	}
	if val.flooded += 50; val.flooded >= floodLines {
		fmt.Fprint(os.Stderr, "panic: close of closed channel\n\ngoroutine 1 [running]:\nvalidator/client.run(...)\n")
		val.failure <- 2
		return false
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (val *Validator) fetchDuties(ctx context.Context, epoch uint64, noted map[string]bool) (map[string]wire.Duty, error) {
	val.mu.Lock()
	var ask []string
	for _, pub := range val.order {
		if val.blacklist[pub] {
			if !noted[pub] {
				noted[pub] = true
				val.app.Log.Warn(logging.ClientPrefix(val.app.Release), noDutiesText, "pubkey", pub[:14])
			}
			val.m.Set("validator_statuses", 3, val.statusLabels(pub, 0)...)
			continue
		}
		ask = append(ask, pub)
	}
	val.mu.Unlock()
	out := map[string]wire.Duty{}
	if len(ask) == 0 {
		return out, nil
	}
	short, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	var got []wire.Duty
	if err := val.ask(short, "POST", "/lab/duties", wire.DutiesRequest{Epoch: epoch, Keys: ask}, &got); err != nil {
		return nil, err
	}
	var raw [][]byte
	next := val.app.Release.From(1, 3, 4)
	for _, d := range got {
		if !val.fs.Bool("disable-account-metrics") {
			// From v5.2.0 on the sample of a key without an index stays when it gets one.
			val.m.Set("validator_statuses", float64(wire.Statuses[d.Status]), val.statusLabels(d.Key, d.Index)...)
		}
		if !wire.OnDuty(d.Status) {
			val.app.Log.Info(logging.ClientPrefix(val.app.Release), waitsText(d.Status), "pubkey", d.Key[:14], "status", strings.ToUpper(d.Status))
			continue
		}
		out[d.Key] = d
		if b, err := wire.Bytes(d.Key, 48); err == nil {
			raw = append(raw, b)
		}
		if val.fs.Bool("disable-account-metrics") {
			continue
		}
		if next {
			val.m.Set("validator_next_attestation_slot", float64(d.AttesterSlot), "pubkey", d.Key)
		}
		if next && len(d.ProposerSlots) > 0 {
			val.m.Set("validator_next_proposal_slot", float64(d.ProposerSlots[0]), "pubkey", d.Key)
		}
		val.app.Log.Info(logging.ClientPrefix(val.app.Release), "Schedule for epoch", "epoch", epoch, "attesterSlot", d.AttesterSlot,
			"proposerSlots", fmt.Sprint(d.ProposerSlots), "pubkey", d.Key[:14])
	}
	return out, val.store.AddPublicKeys(raw)
}

func waitsText(status string) string {
	switch status {
	case "unknown":
		return "Waiting for deposit to be observed by beacon node"
	case "deposited":
		return "Validator deposited, entering activation queue after finalization"
	case "pending":
		return "Waiting for activation... Check validator queue status in a block explorer"
	case "exited":
		return "Validator exited"
	}
	return "Validator status"
}

func (val *Validator) statusLabels(pub string, index uint64) []string {
	kv := []string{"pubkey", pub}
	if val.app.Release.From(5, 2, 0) {
		kv = append(kv, "index", fmt.Sprintf("0x%x", index))
	}
	return kv
}

func (val *Validator) count(name, pub string) {
	if !val.fs.Bool("disable-account-metrics") {
		val.m.Add(name, 1, "pubkey", pub)
	}
}

// take locks a key for one duty, if it is still here.
func (val *Validator) take(pub string) *signer {
	val.mu.Lock()
	s := val.keys[pub]
	val.mu.Unlock()
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

func (val *Validator) attest(ctx context.Context, pub string, d wire.Duty, slot uint64) {
	log, prefix := val.app.Log, logging.ClientPrefix(val.app.Release)
	ok := val.duty(ctx, pub, slot, "attestation", func(s *signer, sub *wire.Submission) error {
		var data wire.AttestationData
		if err := val.ask(ctx, "GET", val.query("/lab/attestation", slot), nil, &data); err != nil {
			return fmt.Errorf("could not request attestation to sign at slot: %w", err)
		}
		sub.Kind, sub.Source, sub.Target, sub.Root = wire.KindAttestation, data.Source, data.Target, data.Root
		root, err := val.signingRoot(sub)
		if err != nil {
			return err
		}
		return val.store.CheckAndSaveVote(s.key.Public, database.Vote{Source: data.Source, Target: data.Target, Root: root})
	})
	if !ok {
		val.count("validator_failed_attestations", pub)
		return
	}
	val.count("validator_successful_attestations", pub)
	if !val.fs.Bool("disable-account-metrics") {
		shown := slot
		// As the beacon node's own slots: those of the network that the chain stands in for.
		if genesis := params.Genesis(val.net); genesis != 0 {
			shown = params.PublicSlot(genesis)
		}
		val.m.Set("validator_last_attested_slot", float64(shown), "pubkey", pub)
	}
	slotName := "slot"
	if val.app.Release.Before(4, 2, 0) {
		slotName = "Slot"
	}
	log.Info(prefix, "Submitted new attestations", slotName, slot, "pubkeys", pub[:14])
}

func (val *Validator) propose(ctx context.Context, pub string, slot uint64) {
	ok := val.duty(ctx, pub, slot, "block", func(s *signer, sub *wire.Submission) error {
		var b struct {
			Root string `json:"root"`
		}
		if err := val.ask(ctx, "GET", val.query("/lab/block", slot), nil, &b); err != nil {
			return fmt.Errorf("failed to request block from beacon node: %w", err)
		}
		sub.Kind, sub.Root, sub.Graffiti = wire.KindBlock, b.Root, val.fs.String("graffiti", "")
		sub.Fee = val.fs.String("suggested-fee-recipient", "")
		root, err := val.signingRoot(sub)
		if err != nil {
			return err
		}
		return val.store.CheckAndSaveBlock(s.key.Public, slot, root)
	})
	if !ok {
		val.count("validator_failed_proposals", pub)
		return
	}
	val.count("validator_successful_proposals", pub)
	val.app.Log.Info(logging.ClientPrefix(val.app.Release), "Submitted new block", "slot", slot, "pubkey", pub[:14])
}

func (val *Validator) signingRoot(sub *wire.Submission) ([]byte, error) {
	text, err := sub.ComputeRoot(val.config.GenesisValidatorsRoot)
	if err != nil {
		return nil, err
	}
	return wire.Bytes(text, 32)
}

func (val *Validator) query(path string, slot uint64) string {
	return path + "?slot=" + strconv.FormatUint(slot, 10) + "&client=" + url.QueryEscape(val.client)
}

// duty is the one way to a signature: read the history, let the database check and keep the record (synced), and only
// then sign and send. Any failure before that leaves no signature.
func (val *Validator) duty(ctx context.Context, pub string, slot uint64, what string, keep func(*signer, *wire.Submission) error) bool {
	log, prefix := val.app.Log, logging.ClientPrefix(val.app.Release)
	s := val.take(pub)
	if s == nil {
		return false
	}
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	digest, err := val.store.Digest(s.key.Public)
	if err != nil {
		val.storeFailure(err)
		return false
	}
	digest.Pruned = val.fs.Bool("enable-slashing-protection-history-pruning") || val.fs.Bool("enable-slashing-protection-pruning")
	sub := &wire.Submission{
		Key: pub, Slot: slot, Digest: digest, Client: val.client, Version: val.app.Release.Text, Network: val.net,
	}
	if err := keep(s, sub); err != nil {
		var no database.Refusal
		switch {
		case errors.As(err, &no) && what == "block":
			log.Error(prefix, "Failed block slashing protection check", "error", err, "slot", slot, "pubkey", pub[:14])
		case errors.As(err, &no):
			log.Error(prefix, "Failed attestation slashing protection check", "error", err, "slot", slot, "pubkey", pub[:14])
		case isStoreError(err):
			val.storeFailure(err)
		case isUnknownCall(err) && what != "block":
			select {
			case val.changed <- struct{}{}: // its duties are asked for anew, in vain
			default:
			}
			return false
		default:
			log.Error(prefix, "Could not perform "+what, "error", err, "slot", slot, "pubkey", pub[:14])
		}
		return false
	}
	if ctx.Err() != nil {
		return false // kept but not signed: a missed duty, never a second vote
	}
	if err := sub.Sign(s.key.Secret, val.config.GenesisValidatorsRoot); err != nil {
		log.Error(prefix, "Could not sign "+what, "error", err)
		return false
	}
	// The signature exists: sending it is not given up before the process ends.
	send, cancel := context.WithTimeout(context.WithoutCancel(ctx), 1400*time.Millisecond)
	defer cancel()
	if err := val.ask(send, "POST", "/lab/submit", sub, nil); err != nil {
		log.Error(prefix, "Could not submit "+what+" to beacon node", "error", err, "slot", slot, "pubkey", pub[:14])
		return false
	}
	return true
}

// isStoreError tells a failing disk from a failing beacon.
func isStoreError(err error) bool {
	var pathErr *os.PathError
	var errno syscall.Errno
	var urlErr *url.Error
	return !errors.As(err, &urlErr) && (errors.As(err, &pathErr) || errors.As(err, &errno))
}

// storeFailure is what a database does that can no longer be written. A lost NFS lock shows itself as EIO; then real
// Prysm signs nothing and dies with code 2.
func (val *Validator) storeFailure(err error) {
	log, prefix := val.app.Log, logging.ClientPrefix(val.app.Release)
	log.Error("db", "Failed to batch save attestation records", "error", err)
	log.Error(prefix, "Failed attestation slashing protection check", "error", err)
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ESTALE) || errors.Is(err, syscall.EBADF) {
		os.Exit(2)
	}
}
