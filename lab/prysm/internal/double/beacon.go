package double

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/flags"
	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/kv"
	"eth2xk8s/lab/prysm/internal/monitor"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/version"
	"eth2xk8s/lab/prysm/internal/wire"
)

// Beacon is a beacon node that follows the lab's chain.
type Beacon struct {
	app   *cli.Context
	chain *jsonhttp.Client
	fs    *flags.Set
	m     *monitor.Metrics

	mu      sync.Mutex
	config  *wire.Config
	head    wire.Head
	seen    time.Time // last answer of the chain
	ready   time.Time // when the first sync is over
	never   bool      // this configuration never gets in sync
	elGiven bool
	slotLen string // what the chain configuration says, if one was given
	eth1    error  // why no eth1 node can be had (v1.x)
	refused bool   // the execution client does not take the token (from v3.0.0)
}

func runBeacon(a *cli.Context) error {
	fs := a.Flags
	v, log := a.Release, a.Log
	b := &Beacon{app: a, chain: jsonhttp.New(a.Chain), fs: fs, m: monitor.NewMetrics()}
	if err := b.checkFiles(); err != nil {
		return err
	}
	datadir := fs.String("datadir", cli.DefaultDataDir())
	dbDir := filepath.Join(datadir, "beaconchaindata")
	if fs.Bool("force-clear-db") {
		log.Warn("node", "Removing database")
		if err := os.RemoveAll(dbDir); err != nil {
			return err
		}
	}
	log.Info("node", "Checking DB", "database-path", dbDir)
	if err := os.MkdirAll(dbDir, 0o700); err != nil {
		return err
	}
	db, err := kv.Open(filepath.Join(dbDir, "beaconchain.db"), bolt.Options{})
	if err != nil {
		return fmt.Errorf("could not create database: %w", err)
	}
	defer db.Close()
	if err := b.openDatabase(db); err != nil {
		return err
	}
	if err := networkKeys(datadir, v); err != nil {
		return err
	}
	if v.From(2, 1, 0) && !fs.IsSet("suggested-fee-recipient") {
		log.Warn("node", "In order to receive transaction fees from proposing blocks, you must provide flag "+
			"--suggested-fee-recipient with a valid ethereum address when starting your beacon node. Please see our "+
			"documentation for more information on this requirement "+
			"(https://docs.prylabs.network/docs/execution-node/fee-recipient).")
	}
	b.p2p()

	m := b.m
	m.DefineVersion(v)
	m.Define("beacon_head_slot", "gauge", "Slot of the head block of the beacon chain")
	m.Define("beacon_clock_time_slot", "gauge", "The current slot based on the genesis time and current clock")
	// Both are set when a block arrives, the clock too: until then they are 0.
	m.Set("beacon_head_slot", 0)
	m.Set("beacon_clock_time_slot", 0)
	m.Define("beacon_current_justified_epoch", "gauge", "Current justified epoch")
	m.Define("beacon_finalized_epoch", "gauge", "Last finalized epoch of the processed state")
	m.Define("p2p_peer_count", "gauge", "The number of peers in a given state.")
	if !fs.Bool("disable-monitoring") {
		monitor.Serve(log, fs.String("monitoring-host", "127.0.0.1"), fs.Int("monitoring-port", 8080), m, b.checks())
	}

	if v.Before(2, 0, 0) {
		go b.watchEth1()
	} else if v.From(3, 0, 0) {
		go b.watchEngine()
	}
	rpc := http.NewServeMux()
	b.private(rpc)
	rpcAddr := net.JoinHostPort(fs.String("rpc-host", "127.0.0.1"), strconv.Itoa(fs.Int("rpc-port", 4000)))
	ln, err := net.Listen("tcp", rpcAddr)
	if err != nil {
		log.Error("rpc", fmt.Sprintf("Could not listen to port in Start() %s: %v", rpcAddr, err))
	} else {
		log.Info("rpc", "gRPC server listening on port", "address", rpcAddr)
		go http.Serve(ln, rpc)
	}
	name := "grpc-gateway"
	if v.From(5, 1, 1) {
		name = "http"
	}
	if v.From(5, 1, 1) || !fs.Bool("disable-grpc-gateway") {
		web := http.NewServeMux()
		if v.Before(5, 1, 1) {
			b.alphaAPI(web)
		}
		if v.From(2, 0, 0) {
			b.standardAPI(web)
		}
		if v.From(3, 2, 1) {
			b.private(web)
		}
		b.serve(net.JoinHostPort(fs.String(name+"-host", "127.0.0.1"), strconv.Itoa(fs.Int(name+"-port", 3500))), web)
		if v.From(1, 4, 1) && v.Before(2, 0, 0) {
			std := http.NewServeMux()
			b.standardAPI(std)
			b.serve(net.JoinHostPort(fs.String(name+"-host", "127.0.0.1"), strconv.Itoa(fs.Int("eth-api-port", 3501))), std)
		}
	}

	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for first := true; ; first = false {
		b.poll(first)
		select {
		case <-a.Stop:
			log.Info("node", "Got interrupt, shutting down...")
			log.Info("node", "Stopping beacon node")
			return nil
		case <-tick.C:
		}
	}
}

// checkFiles reads every file that a flag names, and fails as Prysm does.
func (b *Beacon) checkFiles() error {
	fs, v := b.fs, b.app.Release
	b.elGiven = fs.String("execution-endpoint", "") != "" || fs.String("http-web3provider", "") != ""
	if path := fs.String("chain-config-file", ""); path != "" {
		conf, err := params.Load(b.app, path)
		if err != nil {
			return err
		}
		b.slotLen = conf["SECONDS_PER_SLOT"]
		if conf["DENEB_FORK_EPOCH"] == "18446744073709551615" && v.From(7, 0, 0) {
			b.never = true // the epoch overflows as a slot
		}
		if conf["CONFIG_NAME"] == "" && v.Before(2, 0, 0) {
			b.never = true // mainnet's genesis is loaded beside the private one
		}
	}
	if path := fs.String("jwt-secret", ""); path != "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("could not read JWT secret file for authenticating execution API: %w", err)
		}
		text := strings.TrimPrefix(strings.TrimSpace(string(raw)), "0x")
		if text == "" {
			return fmt.Errorf("could not read JWT secret file for authenticating execution API: "+
				"provided JWT secret in file %s cannot be empty", path)
		}
		if secret, err := hex.DecodeString(text); err != nil || len(secret) < 32 {
			return errors.New("could not read JWT secret file for authenticating execution API: " +
				"provided JWT secret should be a hex string of at least 32 bytes")
		}
	}
	for _, name := range []string{"genesis-state", "checkpoint-state", "checkpoint-block", "interop-genesis-state", "tls-cert", "tls-key"} {
		if path := fs.String(name, ""); path != "" {
			if _, err := os.ReadFile(path); err != nil {
				return fmt.Errorf("could not read file for --%s: %w", name, err)
			}
		}
	}
	if a := fs.String("suggested-fee-recipient", ""); a != "" && !params.IsAddress(a) {
		return fmt.Errorf("%s is not a valid fee recipient address", a)
	}
	return nil
}

// What this program keeps of a beacon's database besides: which releases it has met, and how it began.
var (
	metaBucket  = []byte("lab")
	metaBegun   = []byte("begun by")
	metaNewest  = []byte("newest")
	metaEpoch   = []byte("begun in epoch")
	metaGenesis = []byte("genesis")
	metaOrigin  = []byte("origin")
	metaIndex   = []byte("index repaired")
)

// openDatabase does with a database what the release does with one of another release, and begins a new one.
func (b *Beacon) openDatabase(db *bolt.DB) error {
	v := b.app.Release
	meta := map[string]string{}
	err := db.View(func(tx *bolt.Tx) error {
		if bucket := tx.Bucket(metaBucket); bucket != nil {
			return bucket.ForEach(func(k, val []byte) error { meta[string(k)] = string(val); return nil })
		}
		return nil
	})
	if err != nil {
		return err
	}
	fresh := meta[string(metaBegun)] == ""
	now := b.epochOfChain()
	if fresh {
		meta[string(metaBegun)], meta[string(metaEpoch)] = v.Text, strconv.FormatUint(now, 10)
	}
	begun, _ := version.Parse(meta[string(metaBegun)])
	newest, err := version.Parse(meta[string(metaNewest)])
	if err != nil {
		newest = begun
	}
	if newest.From(5, 0, 0) && v.Before(4, 2, 2) {
		if v.Before(4, 2, 0) {
			fmt.Fprint(os.Stderr, "panic: runtime error: invalid memory address or nil pointer dereference\n"+
				"[signal SIGSEGV: segmentation violation code=0x1 addr=0x28 pc=0x0]\n\ngoroutine 1 [running]:\n"+
				"github.com/prysmaticlabs/prysm/shared/trieutil.CreateTrieFromProto(...)\n"+
				"\tbeacon-chain/powchain/service.go:229\n")
			os.Exit(2)
		}
		return errors.New("trying to use old deposit trie after migration to the new trie. " +
			"Run with the --enable-eip-4881 flag to resume normal operations.")
	}
	if v.From(5, 0, 3) && begun.Before(5, 0, 3) && meta[string(metaIndex)] == "" {
		// The repair reads the index of the last ten epochs, and in a young database what is beyond.
		if first, err := strconv.ParseUint(meta[string(metaEpoch)], 10, 64); err != nil || now < first+10 {
			b.app.Log.Error("db", "could not run finalized parent root index repair migration", "error", errIndex)
			return fmt.Errorf("unable to start beacon node: could not start DB: %w", errIndex)
		}
		meta[string(metaIndex)] = "done"
	}
	if newest.Compare(v) < 0 || meta[string(metaNewest)] == "" {
		meta[string(metaNewest)] = v.Text
	}
	if err := b.begin(meta, fresh); err != nil {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		// What Prysm itself keeps of how it began.
		blocks, err := tx.CreateBucketIfNotExists([]byte("blocks"))
		if err == nil && meta[string(metaGenesis)] != "" {
			err = blocks.Put([]byte("head-root"), make([]byte, 32))
		}
		if err == nil && meta[string(metaOrigin)] != "" {
			err = blocks.Put([]byte("origin-checkpoint-block-root"), make([]byte, 32))
		}
		if err != nil {
			return err
		}
		bucket, err := tx.CreateBucketIfNotExists(metaBucket)
		for k, val := range meta {
			if err == nil {
				err = bucket.Put([]byte(k), []byte(val))
			}
		}
		return err
	})
}

var errIndex = errors.New("unable to decode finalized block root container for " +
	"root=0x70726576696f75732d66696e616c697a65642d636865636b706f696e74: snappy: corrupt input")

// begin is where a database gets its first state from: only mainnet's genesis comes with the program.
func (b *Beacon) begin(meta map[string]string, fresh bool) error {
	fs, v, log := b.fs, b.app.Release, b.app.Log
	given := fs.String("checkpoint-sync-url", "")
	var unreachable error
	switch {
	case meta[string(metaOrigin)] != "" && given != "":
		log.Warn("node", "Origin checkpoint found in the database, ignoring checkpoint sync flags")
		given = ""
	case given != "":
		unreachable = b.reach(given)
	}
	switch params.Network(b.app) {
	case "mainnet", "custom":
	default:
		source := fs.String("genesis-beacon-api-url", given)
		has := meta[string(metaGenesis)] != "" || fs.String("genesis-state", "") != "" ||
			fs.String("checkpoint-state", "") != "" || source != "" && b.reach(source) == nil
		switch {
		case has:
		case v.From(6, 1, 0):
			return errors.New("unable to start beacon node: could not initialize genesis state: new genesis data: " +
				"genesis state has not been initialized")
		default:
			b.never = true // it waits for deposits in a contract that nobody reads any more
			return nil
		}
	}
	if unreachable != nil {
		log.Error("node", "Error retrieving checkpoint origin state and block", "error", unreachable)
		return fmt.Errorf("unable to start beacon node: error retrieving checkpoint origin state and block: %w", unreachable)
	}
	meta[string(metaGenesis)] = "known"
	if given != "" && fresh {
		meta[string(metaOrigin)] = given
	}
	return nil
}

// reach tells whether a beacon API answers there.
func (b *Beacon) reach(base string) error {
	path := "/eth/v1/beacon/genesis"
	// Public providers serve https, to which no way leads from here: the chain stands in for them.
	if strings.HasPrefix(base, "https://") {
		base, path = b.app.Chain, "/head"
	}
	client := &http.Client{Timeout: 3 * time.Second}
	res, err := client.Get(strings.TrimRight(base, "/") + path)
	if err != nil {
		return err
	}
	res.Body.Close()
	return nil
}

// epochOfChain is the epoch by the chain, or 0 when that does not answer.
func (b *Beacon) epochOfChain() uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var h wire.Head
	if err := b.chain.Do(ctx, "GET", "/head", nil, &h); err != nil {
		b.app.Log.Debug("p2p", "The chain does not answer", "error", err)
	}
	return h.Epoch
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

func networkKeys(datadir string, v version.Release) error {
	path := filepath.Join(datadir, "network-keys")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	key := make([]byte, 32)
	rand.Read(key)
	if err := os.WriteFile(path, []byte(hex.EncodeToString(key)), 0o600); err != nil {
		return err
	}
	if v.Before(6, 1, 0) {
		return os.WriteFile(filepath.Join(datadir, "metaData"), make([]byte, 16), 0o600)
	}
	return nil
}

// p2p takes the ports that real Prysm would take; there is nobody to talk to.
func (b *Beacon) p2p() {
	fs, log := b.fs, b.app.Log
	host := fs.String("p2p-local-ip", "0.0.0.0")
	tcp := net.JoinHostPort(host, strconv.Itoa(fs.Int("p2p-tcp-port", 13000)))
	if ln, err := net.Listen("tcp", tcp); err != nil {
		log.Error("p2p", "Failed to create p2p host", "error", err)
	} else {
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
		log.Info("p2p", "Node started p2p server", "multiAddr", fmt.Sprintf("/ip4/%s/tcp/%d", host, fs.Int("p2p-tcp-port", 13000)))
	}
	udp := []int{fs.Int("p2p-udp-port", 12000)}
	if b.app.Release.From(5, 2, 0) && !fs.Bool("disable-quic") || fs.Bool("enable-quic") {
		udp = append(udp, fs.Int("p2p-quic-port", 13000))
	}
	for i, port := range udp {
		if i == 0 && fs.Bool("no-discovery") {
			continue
		}
		if _, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
			log.Error("p2p", "could not listen", "error", err)
		}
	}
}

func (b *Beacon) serve(addr string, mux http.Handler) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		b.app.Log.Error("gateway", "Failed to listen and serve", "error", err)
		return
	}
	b.app.Log.Info("gateway", "Starting gRPC gateway", "address", addr)
	go http.Serve(ln, mux)
}

// poll asks the chain how it stands.
func (b *Beacon) poll(first bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	b.mu.Lock()
	known := b.config != nil
	b.mu.Unlock()
	if !known {
		var c wire.Config
		if err := b.chain.Do(ctx, "GET", "/config", nil, &c); err != nil {
			if first {
				b.app.Log.Warn("p2p", "No peers yet", "error", err)
			}
			return
		}
		b.mu.Lock()
		b.config = &c
		if b.slotLen != "" && b.slotLen != strconv.FormatUint(c.SecondsPerSlot, 10) {
			b.never = true
			b.app.Log.Error("blockchain", "The chain's slots have another length than the chain configuration says",
				"chain", c.SecondsPerSlot, "configuration", b.slotLen)
		}
		b.ready = time.Now().Add(time.Second)
		b.mu.Unlock()
	}
	var h wire.Head
	if err := b.chain.Do(ctx, "GET", "/head", nil, &h); err != nil {
		b.app.Log.Debug("p2p", "The chain does not answer", "error", err)
		b.m.Set("p2p_peer_count", 0, "state", "Connected")
		return
	}
	b.mu.Lock()
	was, begun := b.head, !b.seen.IsZero()
	if h.Faults.ELDead && begun {
		// No payload is checked, so no block is taken in. The node says nothing of it.
		h.Slot, h.Epoch, h.Root, h.Justified, h.Finalized = was.Slot, was.Epoch, was.Root, was.Justified, was.Finalized
	}
	b.head, b.seen = h, time.Now()
	b.mu.Unlock()
	b.m.Set("p2p_peer_count", 1, "state", "Connected")
	if h.Slot == was.Slot || !begun {
		return
	}
	b.app.Log.Info("blockchain", "Synced new block", "slot", h.Slot, "block", h.Root[:10]+"...", "epoch", h.Epoch,
		"finalizedEpoch", h.Finalized)
	slot, _ := b.slot()
	shift, _ := b.public()
	b.m.Set("beacon_head_slot", float64(h.Slot+shift))
	b.m.Set("beacon_clock_time_slot", float64(slot+shift))
	b.m.Set("beacon_current_justified_epoch", float64(h.Justified))
	b.m.Set("beacon_finalized_epoch", float64(h.Finalized))
}

// public is how far the slots of a public network, which an asker counts from that network's own genesis, are ahead of
// those of the chain that stands in for it; and that genesis, 0 for any other chain.
func (b *Beacon) public() (shift uint64, genesis int64) {
	genesis = params.Genesis(params.Network(b.app))
	slot, begun := b.slot()
	if genesis == 0 || !begun {
		return 0, genesis
	}
	return params.PublicSlot(genesis) - slot, genesis
}

// slot is the slot by this node's own clock.
func (b *Beacon) slot() (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.config == nil {
		return 0, false
	}
	return params.SlotAt(*b.config, time.Now())
}

// syncState: started (genesis is over), syncing, distance to the head.
func (b *Beacon) syncState() (started, syncing bool, head, distance uint64, el bool) {
	slot, started := b.slot()
	b.mu.Lock()
	defer b.mu.Unlock()
	head = b.head.Slot
	el = b.head.Faults.ELOffline || !b.elGiven
	if b.config == nil || b.seen.IsZero() {
		return false, true, 0, 0, el
	}
	if slot > head {
		distance = slot - head
	}
	el = el || b.refused
	// A custom chain here is one before the merge.
	syncing = b.never || b.refused && params.Network(b.app) != "custom" || b.head.Faults.Syncing || time.Now().Before(b.ready) ||
		distance > b.config.SlotsPerEpoch && !b.head.Faults.ELDead || head > slot+b.config.SlotsPerEpoch
	if b.head.Faults.Syncing && distance == 0 {
		distance = 4 * b.config.SlotsPerEpoch
	}
	return started, syncing, head, distance, el
}

// optimistic tells whether the head was checked by no execution client. Before the merge there is no such thing.
func (b *Beacon) optimistic() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.head.Faults.Optimistic && b.app.Release.From(2, 1, 0)
}

// watchEth1 looks whether an eth1 node answers.
func (b *Beacon) watchEth1() {
	urls := append(b.fs.All("http-web3provider"), b.fs.All("fallback-web3provider")...)
	for len(urls) > 0 {
		var err error
		for _, text := range urls {
			if err = dialEth1(text); err == nil {
				break
			}
		}
		b.mu.Lock()
		if err == nil && (b.head.Faults.ELOffline || b.head.Faults.ELDead) {
			err = errors.New("could not connect to powchain endpoint")
		}
		b.eth1 = err
		b.mu.Unlock()
		time.Sleep(time.Second)
	}
}

// watchEngine looks whether the execution client takes the token, as Prysm does when it connects.
func (b *Beacon) watchEngine() {
	endpoint := b.fs.String("execution-endpoint", "")
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
		if path := b.fs.String("jwt-secret", ""); path != "" {
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
		b.mu.Lock()
		b.refused = refused
		b.mu.Unlock()
		if refused {
			b.app.Log.Error("execution", "Could not connect to execution endpoint", "error",
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

func dialEth1(text string) error {
	u, err := url.Parse(text)
	if err == nil {
		port := u.Port()
		if port == "" {
			port = map[bool]string{true: "443", false: "80"}[u.Scheme == "https"]
		}
		var c net.Conn
		if c, err = net.DialTimeout("tcp", net.JoinHostPort(u.Hostname(), port), 2*time.Second); err == nil {
			c.Close()
			return nil
		}
	}
	return fmt.Errorf("could not dial eth1 nodes: Post %q: %w", text, err)
}

func (b *Beacon) checks() []monitor.Check {
	syncing := func() error {
		if b.optimistic() {
			return errors.New("service is optimistic, validators can't perform duties " +
				"please check if execution layer is fully synced")
		}
		started, syncing, _, _, _ := b.syncState()
		if !started || syncing {
			return errors.New("syncing")
		}
		return nil
	}
	ok := func() error { return nil }
	eth1 := monitor.Check{Name: "*execution.Service", Err: ok}
	if b.app.Release.Before(3, 0, 0) {
		eth1 = monitor.Check{Name: "*powchain.Service", Err: func() error {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.eth1
		}}
	}
	return []monitor.Check{
		{Name: "*p2p.Service", Err: ok},
		eth1,
		{Name: "*blockchain.Service", Err: func() error {
			if b.optimistic() {
				return errors.New("service is optimistic, and only limited service functionality is provided " +
					"please check if execution layer is fully synced")
			}
			if started, _, _, _, _ := b.syncState(); !started {
				return errors.New("genesis state has not been created")
			}
			return nil
		}},
		{Name: "*initialsync.Service", Err: func() error {
			if started, syncing, _, _, _ := b.syncState(); started && syncing {
				return errors.New("syncing")
			}
			return nil
		}},
		{Name: "*sync.Service", Err: ok},
		{Name: "*rpc.Service", Err: syncing},
	}
}

// private is the protocol between validator double and beacon double.
func (b *Beacon) private(mux *http.ServeMux) {
	mux.HandleFunc("GET /lab/status", func(w http.ResponseWriter, _ *http.Request) {
		started, syncing, _, _, _ := b.syncState()
		st := wire.BeaconStatus{Started: started, Synced: started && !syncing, Version: b.app.Release.Text, Network: params.Network(b.app)}
		b.mu.Lock()
		if b.config != nil {
			st.Config = *b.config
		}
		b.mu.Unlock()
		jsonhttp.Answer(w, http.StatusOK, st)
	})
	pass := func(method, path string, check func(*http.Request) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if client, err := version.Parse(r.Header.Get(jsonhttp.VersionHeader)); err == nil {
				attest, blocks := client.UnknownCall(b.app.Release)
				if path == "/block" && attest == "" {
					attest = blocks
				}
				if attest != "" {
					http.Error(w, attest, http.StatusNotImplemented)
					return
				}
			}
			if b.optimistic() {
				http.Error(w, "The node is currently optimistic and cannot serve validators", http.StatusServiceUnavailable)
				return
			}
			if started, syncing, _, _, _ := b.syncState(); !started || syncing {
				http.Error(w, "Syncing to latest head, not ready to respond", http.StatusServiceUnavailable)
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
			if err := b.chain.Do(r.Context(), method, to, in, &out); err != nil {
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
	current := func(r *http.Request) error {
		asked, err := strconv.ParseUint(r.URL.Query().Get("slot"), 10, 64)
		if err != nil {
			return err
		}
		slot, _ := b.slot()
		if asked != slot {
			return fmt.Errorf("invalid request: slot %d is not the current slot %d", asked, slot)
		}
		return nil
	}
	mux.HandleFunc("POST /lab/duties", pass("POST", "/duties", nil))
	mux.HandleFunc("GET /lab/attestation", pass("GET", "/attestation", current))
	mux.HandleFunc("GET /lab/block", pass("GET", "/block", current))
	mux.HandleFunc("POST /lab/liveness", pass("POST", "/liveness", nil))
	mux.HandleFunc("POST /lab/submit", func(w http.ResponseWriter, r *http.Request) {
		var s wire.Submission
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&s); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		// A signature that exists is passed on whatever the sync state, so that the judge sees it.
		s.Address, _, _ = net.SplitHostPort(r.RemoteAddr)
		if err := b.chain.Do(r.Context(), "POST", "/submit", s, nil); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		jsonhttp.Answer(w, http.StatusOK, map[string]bool{"ok": true})
	})
}

func b64(hexText string) string {
	raw, _ := hex.DecodeString(strings.TrimPrefix(hexText, "0x"))
	return base64.StdEncoding.EncodeToString(raw)
}

// alphaAPI is what the gRPC gateway of the old versions serves.
func (b *Beacon) alphaAPI(mux *http.ServeMux) {
	mux.HandleFunc("GET /eth/v1alpha1/node/syncing", func(w http.ResponseWriter, _ *http.Request) {
		started, syncing, _, _, _ := b.syncState()
		jsonhttp.Answer(w, 200, map[string]bool{"syncing": syncing || !started})
	})
	mux.HandleFunc("GET /eth/v1alpha1/node/version", func(w http.ResponseWriter, _ *http.Request) {
		jsonhttp.Answer(w, 200, map[string]string{"version": b.app.Release.Full(), "metadata": ""})
	})
	mux.HandleFunc("GET /eth/v1alpha1/node/genesis", func(w http.ResponseWriter, _ *http.Request) {
		c := b.conf()
		jsonhttp.Answer(w, 200, map[string]string{
			"genesisTime":            time.Unix(c.GenesisTime, 0).UTC().Format(time.RFC3339),
			"depositContractAddress": b64("0x00000000219ab540356cbb839cbe05303d7705fa"),
			"genesisValidatorsRoot":  b64(c.GenesisValidatorsRoot),
		})
	})
	mux.HandleFunc("GET /eth/v1alpha1/node/peers", func(w http.ResponseWriter, _ *http.Request) {
		jsonhttp.Answer(w, 200, map[string]any{"peers": []any{}})
	})
	mux.HandleFunc("GET /eth/v1alpha1/beacon/chainhead", func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		h := b.head
		b.mu.Unlock()
		c := b.conf()
		n := func(v uint64) string { return strconv.FormatUint(v, 10) }
		prev := h.Justified
		if prev > 0 {
			prev--
		}
		root := b64(h.Root)
		jsonhttp.Answer(w, 200, map[string]string{
			"headSlot": n(h.Slot), "headEpoch": n(h.Epoch), "headBlockRoot": root,
			"justifiedSlot": n(h.Justified * c.SlotsPerEpoch), "justifiedEpoch": n(h.Justified), "justifiedBlockRoot": root,
			"finalizedSlot": n(h.Finalized * c.SlotsPerEpoch), "finalizedEpoch": n(h.Finalized), "finalizedBlockRoot": root,
			"previousJustifiedSlot": n(prev * c.SlotsPerEpoch), "previousJustifiedEpoch": n(prev),
			"previousJustifiedBlockRoot": root,
		})
	})
	mux.HandleFunc("GET /eth/v1alpha1/beacon/config", func(w http.ResponseWriter, _ *http.Request) {
		c := b.conf()
		n := func(v uint64) string { return strconv.FormatUint(v, 10) }
		jsonhttp.Answer(w, 200, map[string]any{"config": map[string]string{
			"SecondsPerSlot": n(c.SecondsPerSlot), "SlotsPerEpoch": n(c.SlotsPerEpoch),
		}})
	})
	asked := func(w http.ResponseWriter, r *http.Request) (keys []string, states map[string]wire.State, ok bool) {
		query := r.URL.Query()
		for _, text := range append(query["public_keys"], query["publicKeys"]...) {
			raw, err := unb64(text)
			if err != nil || len(raw) != 48 {
				jsonhttp.Answer(w, 400, map[string]any{"error": "illegal base64 data", "code": 3, "message": "illegal base64 data"})
				return nil, nil, false
			}
			keys = append(keys, wire.Hex(raw))
		}
		list, err := b.states(r, keys)
		if err != nil {
			jsonhttp.Answer(w, 500, map[string]any{"error": err.Error(), "code": 13, "message": err.Error()})
			return nil, nil, false
		}
		states = map[string]wire.State{}
		for _, s := range list {
			states[s.Key] = s
		}
		if len(keys) == 0 {
			for _, s := range list {
				keys = append(keys, s.Key)
			}
		}
		return keys, states, true
	}
	mux.HandleFunc("GET /eth/v1alpha1/validators", func(w http.ResponseWriter, r *http.Request) {
		keys, states, ok := asked(w, r)
		if !ok {
			return
		}
		list := []any{}
		for _, key := range keys {
			s, known := states[key]
			if !known {
				continue
			}
			v := map[string]any{
				"publicKey": b64(key), "withdrawalCredentials": b64("0x" + strings.Repeat("00", 32)),
				"effectiveBalance": "32000000000", "slashed": s.Status == "slashing",
			}
			for name, at := range b.epochs(s.Status) {
				v[map[string]string{
					"activation_eligibility_epoch": "activationEligibilityEpoch", "activation_epoch": "activationEpoch",
					"exit_epoch": "exitEpoch", "withdrawable_epoch": "withdrawableEpoch",
				}[name]] = at
			}
			list = append(list, map[string]any{"index": strconv.FormatUint(s.Index, 10), "validator": v})
		}
		jsonhttp.Answer(w, 200, map[string]any{
			"epoch": strconv.FormatUint(b.epoch(), 10), "validatorList": list, "nextPageToken": "", "totalSize": len(list),
		})
	})
	mux.HandleFunc("GET /eth/v1alpha1/validator/statuses", func(w http.ResponseWriter, r *http.Request) {
		keys, states, ok := asked(w, r)
		if !ok {
			return
		}
		pubkeys, statuses, indices := []string{}, []any{}, []string{}
		for _, key := range keys {
			status, index := "UNKNOWN_STATUS", wire.NoIndex
			if s, known := states[key]; known {
				status, index = strings.ToUpper(s.Status), s.Index
			}
			pubkeys, indices = append(pubkeys, b64(key)), append(indices, strconv.FormatUint(index, 10))
			statuses = append(statuses, map[string]string{
				"status": status, "eth1DepositBlockNumber": "0", "depositInclusionSlot": "0",
				"activationEpoch": b.epochs(strings.ToLower(status))["activation_epoch"], "positionInActivationQueue": "0",
			})
		}
		jsonhttp.Answer(w, 200, map[string]any{"publicKeys": pubkeys, "statuses": statuses, "indices": indices})
	})
}

// states asks the chain what it knows of keys; a beacon that knows no chain knows no key.
func (b *Beacon) states(r *http.Request, keys []string) ([]wire.State, error) {
	var out []wire.State
	err := b.chain.Do(r.Context(), "POST", "/states", wire.StatesRequest{Keys: keys}, &out)
	return out, err
}

func (b *Beacon) epoch() uint64 {
	slot, _ := b.slot()
	if c := b.conf(); c.SlotsPerEpoch > 0 {
		return slot / c.SlotsPerEpoch
	}
	return 0
}

// epochs are those that a status stands for.
func (b *Beacon) epochs(status string) map[string]string {
	const never = "18446744073709551615"
	now := strconv.FormatUint(b.epoch(), 10)
	e := map[string]string{
		"activation_eligibility_epoch": "0", "activation_epoch": "0", "exit_epoch": never, "withdrawable_epoch": never,
	}
	switch status {
	case "deposited", "partially_deposited", "unknown", "unknown_status":
		e["activation_eligibility_epoch"], e["activation_epoch"] = never, never
	case "pending":
		e["activation_epoch"] = never
	case "exiting", "slashing":
		e["exit_epoch"] = strconv.FormatUint(b.epoch()+4, 10)
	case "exited":
		e["exit_epoch"] = now
	}
	return e
}

// standardStatus are the names of the standard API.
var standardStatus = map[string]string{
	"deposited": "pending_initialized", "partially_deposited": "pending_initialized", "pending": "pending_queued",
	"active": "active_ongoing", "exiting": "active_exiting", "slashing": "active_slashed", "exited": "exited_unslashed",
}

func unb64(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(text)
	return base64.StdEncoding.DecodeString(text)
}

func (b *Beacon) conf() wire.Config {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.config == nil {
		return wire.Config{}
	}
	return *b.config
}

// standardAPI is the part of the standard beacon API that operators look at.
func (b *Beacon) standardAPI(mux *http.ServeMux) {
	v := b.app.Release
	fail := func(w http.ResponseWriter, code int, msg string) {
		jsonhttp.Answer(w, code, map[string]any{"message": msg, "code": code})
	}
	mux.HandleFunc("GET /eth/v1/node/health", func(w http.ResponseWriter, r *http.Request) {
		started, syncing, _, _, _ := b.syncState()
		code := 200
		if !started || syncing || b.optimistic() {
			code = 206
			if s := r.URL.Query().Get("syncing_status"); s != "" {
				n, err := strconv.Atoi(s)
				if err != nil || n < 100 || n > 599 {
					fail(w, 400, "syncing_status is not a valid HTTP status code")
					return
				}
				code = n
			}
		}
		w.WriteHeader(code)
	})
	mux.HandleFunc("GET /eth/v1/node/syncing", func(w http.ResponseWriter, _ *http.Request) {
		started, syncing, head, distance, el := b.syncState()
		shift, _ := b.public()
		data := map[string]any{
			"head_slot": strconv.FormatUint(head+shift, 10), "sync_distance": strconv.FormatUint(distance, 10),
			"is_syncing": syncing || !started,
		}
		if v.From(2, 1, 0) {
			data["is_optimistic"] = b.optimistic()
		}
		if v.From(4, 0, 0) {
			data["el_offline"] = el
		}
		jsonhttp.Answer(w, 200, map[string]any{"data": data})
	})
	mux.HandleFunc("GET /eth/v1/node/version", func(w http.ResponseWriter, _ *http.Request) {
		jsonhttp.Answer(w, 200, map[string]any{"data": map[string]string{"version": fmt.Sprintf("Prysm/%s (linux amd64)", v.Text)}})
	})
	mux.HandleFunc("GET /eth/v1/node/identity", func(w http.ResponseWriter, _ *http.Request) {
		if b.fs.Bool("no-discovery") {
			fail(w, 500, "could not obtain enr: no discovery")
			return
		}
		jsonhttp.Answer(w, 200, map[string]any{"data": map[string]any{"peer_id": "", "enr": "", "p2p_addresses": []string{}}})
	})
	mux.HandleFunc("GET /eth/v1/node/peer_count", func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		n := "0"
		if time.Since(b.seen) < 5*time.Second {
			n = "1"
		}
		b.mu.Unlock()
		jsonhttp.Answer(w, 200, map[string]any{"data": map[string]string{"connected": n, "connecting": "0", "disconnected": "0", "disconnecting": "0"}})
	})
	mux.HandleFunc("GET /eth/v1/beacon/genesis", func(w http.ResponseWriter, _ *http.Request) {
		c := b.conf()
		if c.GenesisTime == 0 {
			fail(w, 404, "Chain genesis info is not yet known")
			return
		}
		genesis := c.GenesisTime
		if _, known := b.public(); known != 0 {
			genesis = known
		}
		jsonhttp.Answer(w, 200, map[string]any{"data": map[string]string{
			"genesis_time": strconv.FormatInt(genesis, 10), "genesis_validators_root": c.GenesisValidatorsRoot,
			"genesis_fork_version": "0x20000089",
		}})
	})
	mux.HandleFunc("GET /eth/v1/config/spec", func(w http.ResponseWriter, _ *http.Request) {
		c := b.conf()
		n := strconv.FormatUint(c.SecondsPerSlot, 10)
		data := map[string]string{
			"CONFIG_NAME": "eth2xk8s-lab", "SECONDS_PER_SLOT": n, "SLOTS_PER_EPOCH": strconv.FormatUint(c.SlotsPerEpoch, 10),
		}
		if v.From(7, 0, 0) {
			data["SLOT_DURATION_MS"] = n + "000"
		}
		jsonhttp.Answer(w, 200, map[string]any{"data": data})
	})
	mux.HandleFunc("GET /eth/v1/beacon/states/{state}/finality_checkpoints", func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		h := b.head
		b.mu.Unlock()
		cp := func(e uint64) map[string]string {
			return map[string]string{"epoch": strconv.FormatUint(e, 10), "root": h.Root}
		}
		prev := h.Justified
		if prev > 0 {
			prev--
		}
		jsonhttp.Answer(w, 200, map[string]any{"data": map[string]any{
			"previous_justified": cp(prev), "current_justified": cp(h.Justified), "finalized": cp(h.Finalized),
		}})
	})
	validators := func(w http.ResponseWriter, r *http.Request, ids []string) {
		for _, id := range ids {
			if _, err := wire.Bytes(id, 48); err != nil && !isNumber(id) {
				fail(w, 400, fmt.Sprintf("Could not get validator: %q is neither a public key nor an index", id))
				return
			}
		}
		list, err := b.states(r, nil)
		if err != nil {
			fail(w, 500, err.Error())
			return
		}
		out := []any{}
		for _, s := range list {
			n := strconv.FormatUint(s.Index, 10)
			wanted := len(ids) == 0
			for _, id := range ids {
				wanted = wanted || strings.EqualFold(id, s.Key) || id == n
			}
			if !wanted {
				continue
			}
			one := map[string]any{
				"pubkey": s.Key, "withdrawal_credentials": "0x" + strings.Repeat("00", 32),
				"effective_balance": "32000000000", "slashed": s.Status == "slashing",
			}
			for name, at := range b.epochs(s.Status) {
				one[name] = at
			}
			out = append(out, map[string]any{
				"index": n, "balance": "32000000000", "status": standardStatus[s.Status], "validator": one,
			})
		}
		jsonhttp.Answer(w, 200, map[string]any{"execution_optimistic": b.optimistic(), "finalized": false, "data": out})
	}
	mux.HandleFunc("GET /eth/v1/beacon/states/{state}/validators", func(w http.ResponseWriter, r *http.Request) {
		var ids []string
		for _, id := range r.URL.Query()["id"] {
			ids = append(ids, strings.Split(id, ",")...)
		}
		validators(w, r, ids)
	})
	if v.From(4, 2, 0) {
		mux.HandleFunc("POST /eth/v1/beacon/states/{state}/validators", func(w http.ResponseWriter, r *http.Request) {
			var in struct {
				IDs []string `json:"ids"`
			}
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				fail(w, 400, err.Error())
				return
			}
			validators(w, r, in.IDs)
		})
	}
	if v.From(3, 2, 0) {
		mux.HandleFunc("POST /eth/v1/validator/liveness/{epoch}", func(w http.ResponseWriter, r *http.Request) {
			epoch, err := strconv.ParseUint(r.PathValue("epoch"), 10, 64)
			var ids []string
			if err == nil {
				err = json.NewDecoder(r.Body).Decode(&ids)
			}
			if err != nil {
				fail(w, 400, err.Error())
				return
			}
			slot, _ := b.slot()
			if c := b.conf(); c.SlotsPerEpoch == 0 || epoch > slot/c.SlotsPerEpoch {
				fail(w, 400, "Requested epoch cannot be in the future")
				return
			}
			index := map[string]uint64{}
			if err := b.chain.Do(r.Context(), "GET", "/validators", nil, &index); err != nil {
				fail(w, 500, err.Error())
				return
			}
			keys := map[string]string{}
			var asked []string
			for key, i := range index {
				keys[strconv.FormatUint(i, 10)] = key
			}
			for _, id := range ids {
				if keys[id] == "" {
					fail(w, 400, "Validator index "+url.QueryEscape(id)+" is invalid")
					return
				}
				asked = append(asked, keys[id])
			}
			live := map[string]bool{}
			if err := b.chain.Do(r.Context(), "POST", "/liveness", wire.LivenessRequest{Epoch: epoch, Keys: asked}, &live); err != nil {
				fail(w, 500, err.Error())
				return
			}
			data := []any{}
			for i, id := range ids {
				data = append(data, map[string]any{"index": id, "is_live": live[asked[i]]})
			}
			jsonhttp.Answer(w, 200, map[string]any{"data": data})
		})
	}
}
