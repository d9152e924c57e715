package double

import (
	"bytes"
	"context"
	"crypto/rand"
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
	berrors "go.etcd.io/bbolt/errors"

	"eth2xk8s/lab/prysm/internal/wire"
)

// jsonClient talks to the chain or to a beacon. Nothing in the lab is far away: what hangs is broken.
type jsonClient struct {
	base string
	http *http.Client
}

func newClient(base string) *jsonClient {
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	return &jsonClient{strings.TrimRight(base, "/"), &http.Client{Timeout: 4 * time.Second}}
}

// statusError is an answer that is no success.
type statusError struct {
	code int
	msg  string
}

func (e statusError) Error() string { return e.msg }

func (c *jsonClient) do(ctx context.Context, method, path string, in, out any) error {
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
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		msg, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return statusError{res.StatusCode, strings.TrimSpace(string(msg))}
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// beaconStatus is what a validator wants to know of its beacon before anything else.
type beaconStatus struct {
	Config  wire.Config `json:"config"`
	Started bool        `json:"started"`
	Synced  bool        `json:"synced"`
	Version string      `json:"version"`
	Network string      `json:"network"`
}

// Beacon is a beacon node that follows the lab's chain.
type Beacon struct {
	app   *App
	chain *jsonClient
	fs    *FlagSet
	m     *Metrics

	mu      sync.Mutex
	config  *wire.Config
	head    wire.Head
	seen    time.Time // last answer of the chain
	ready   time.Time // when the first sync is over
	never   bool      // this configuration never gets in sync
	elGiven bool
	slotLen string // what the chain configuration says, if one was given
}

func (a *App) runBeacon(fs *FlagSet) error {
	v, log := a.V, a.Log
	b := &Beacon{app: a, chain: newClient(a.Chain), fs: fs, m: NewMetrics()}
	if err := b.checkFiles(); err != nil {
		return err
	}
	datadir := fs.String("datadir", defaultDataDir())
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
	db, err := bolt.Open(filepath.Join(dbDir, "beaconchain.db"), 0o600, &bolt.Options{Timeout: time.Second})
	if errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("could not create database: %w", errLocked)
	}
	if err != nil {
		return fmt.Errorf("could not create database: %w", err)
	}
	defer db.Close()
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
	m.defineVersion(v)
	m.Define("beacon_head_slot", "gauge", "Slot of the head block of the beacon chain")
	m.Define("beacon_clock_time_slot", "gauge", "The current slot based on the genesis time and current clock")
	m.Define("beacon_current_justified_epoch", "gauge", "Current justified epoch")
	m.Define("beacon_finalized_epoch", "gauge", "Last finalized epoch of the processed state")
	m.Define("p2p_peer_count", "gauge", "The number of peers in a given state.")
	if !fs.Bool("disable-monitoring") {
		Monitor(log, fs.String("monitoring-host", "127.0.0.1"), fs.Int("monitoring-port", 8080), m, b.checks())
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
		case <-a.stop:
			log.Info("node", "Got interrupt, shutting down...")
			log.Info("node", "Stopping beacon node")
			return nil
		case <-tick.C:
		}
	}
}

// checkFiles reads every file that a flag names, and fails as Prysm does.
func (b *Beacon) checkFiles() error {
	fs, v := b.fs, b.app.V
	b.elGiven = fs.String("execution-endpoint", "") != "" || fs.String("http-web3provider", "") != ""
	if path := fs.String("chain-config-file", ""); path != "" {
		conf, err := b.app.chainConfig(path)
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
	if a := fs.String("suggested-fee-recipient", ""); a != "" && !isAddress(a) {
		return fmt.Errorf("%s is not a valid fee recipient address", a)
	}
	return nil
}

func isAddress(s string) bool {
	_, err := wire.Bytes(s, 20)
	return err == nil
}

func networkKeys(datadir string, v Version) error {
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
	if b.app.V.From(5, 2, 0) && !fs.Bool("disable-quic") || fs.Bool("enable-quic") {
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
		if err := b.chain.do(ctx, "GET", "/config", nil, &c); err != nil {
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
	if err := b.chain.do(ctx, "GET", "/head", nil, &h); err != nil {
		b.app.Log.Debug("p2p", "The chain does not answer", "error", err)
		b.m.Set("p2p_peer_count", 0, "state", "Connected")
		return
	}
	b.mu.Lock()
	was := b.head
	b.head, b.seen = h, time.Now()
	b.mu.Unlock()
	if h.Slot != was.Slot {
		b.app.Log.Info("blockchain", "Synced new block", "slot", h.Slot, "block", h.Root[:10]+"...", "epoch", h.Epoch,
			"finalizedEpoch", h.Finalized)
	}
	slot, _ := b.slot()
	b.m.Set("beacon_head_slot", float64(h.Slot))
	b.m.Set("beacon_clock_time_slot", float64(slot))
	b.m.Set("beacon_current_justified_epoch", float64(h.Justified))
	b.m.Set("beacon_finalized_epoch", float64(h.Finalized))
	b.m.Set("p2p_peer_count", 1, "state", "Connected")
}

// slot is the slot by this node's own clock.
func (b *Beacon) slot() (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.config == nil {
		return 0, false
	}
	return slotAt(*b.config, time.Now())
}

func slotAt(c wire.Config, t time.Time) (uint64, bool) {
	d := t.Sub(time.Unix(c.GenesisTime, 0))
	if d < 0 || c.SecondsPerSlot == 0 {
		return 0, false
	}
	return uint64(d/time.Second) / c.SecondsPerSlot, true
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
	syncing = b.never || b.head.Faults.Syncing || time.Now().Before(b.ready) || distance > b.config.SlotsPerEpoch ||
		head > slot+b.config.SlotsPerEpoch
	if b.head.Faults.Syncing && distance == 0 {
		distance = 4 * b.config.SlotsPerEpoch
	}
	return started, syncing, head, distance, el
}

func (b *Beacon) checks() []Check {
	syncing := func() error {
		started, syncing, _, _, _ := b.syncState()
		if !started || syncing {
			return errors.New("syncing")
		}
		return nil
	}
	ok := func() error { return nil }
	return []Check{
		{"*p2p.Service", ok},
		{"*blockchain.Service", func() error {
			if started, _, _, _, _ := b.syncState(); !started {
				return errors.New("genesis state has not been created")
			}
			return nil
		}},
		{"*initialsync.Service", func() error {
			if started, syncing, _, _, _ := b.syncState(); started && syncing {
				return errors.New("syncing")
			}
			return nil
		}},
		{"*sync.Service", ok},
		{"*rpc.Service", syncing},
	}
}

// private is the protocol between validator double and beacon double.
func (b *Beacon) private(mux *http.ServeMux) {
	mux.HandleFunc("GET /lab/status", func(w http.ResponseWriter, _ *http.Request) {
		started, syncing, _, _, _ := b.syncState()
		st := beaconStatus{Started: started, Synced: started && !syncing, Version: b.app.V.Text, Network: b.app.network(b.fs)}
		b.mu.Lock()
		if b.config != nil {
			st.Config = *b.config
		}
		b.mu.Unlock()
		answer(w, http.StatusOK, st)
	})
	pass := func(method, path string, check func(*http.Request) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
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
			if err := b.chain.do(r.Context(), method, to, in, &out); err != nil {
				code := http.StatusBadGateway
				var st statusError
				if errors.As(err, &st) {
					code = st.code
				}
				http.Error(w, err.Error(), code)
				return
			}
			answer(w, http.StatusOK, out)
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
		if err := b.chain.do(r.Context(), "POST", "/submit", s, nil); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		answer(w, http.StatusOK, map[string]bool{"ok": true})
	})
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

func b64(hexText string) string {
	raw, _ := hex.DecodeString(strings.TrimPrefix(hexText, "0x"))
	return base64.StdEncoding.EncodeToString(raw)
}

// alphaAPI is what the gRPC gateway of the old versions serves.
func (b *Beacon) alphaAPI(mux *http.ServeMux) {
	mux.HandleFunc("GET /eth/v1alpha1/node/syncing", func(w http.ResponseWriter, _ *http.Request) {
		started, syncing, _, _, _ := b.syncState()
		answer(w, 200, map[string]bool{"syncing": syncing || !started})
	})
	mux.HandleFunc("GET /eth/v1alpha1/node/version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]string{"version": b.app.V.full(), "metadata": ""})
	})
	mux.HandleFunc("GET /eth/v1alpha1/node/genesis", func(w http.ResponseWriter, _ *http.Request) {
		c := b.conf()
		answer(w, 200, map[string]string{
			"genesisTime":            time.Unix(c.GenesisTime, 0).UTC().Format(time.RFC3339),
			"depositContractAddress": b64("0x00000000219ab540356cbb839cbe05303d7705fa"),
			"genesisValidatorsRoot":  b64(c.GenesisValidatorsRoot),
		})
	})
	mux.HandleFunc("GET /eth/v1alpha1/node/peers", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"peers": []any{}})
	})
	mux.HandleFunc("GET /eth/v1alpha1/beacon/chainhead", func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		h := b.head
		b.mu.Unlock()
		c := b.conf()
		n := func(v uint64) string { return strconv.FormatUint(v, 10) }
		answer(w, 200, map[string]string{
			"headSlot": n(h.Slot), "headEpoch": n(h.Epoch), "headBlockRoot": b64(h.Root),
			"justifiedSlot": n(h.Justified * c.SlotsPerEpoch), "justifiedEpoch": n(h.Justified),
			"finalizedSlot": n(h.Finalized * c.SlotsPerEpoch), "finalizedEpoch": n(h.Finalized),
		})
	})
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
	v := b.app.V
	fail := func(w http.ResponseWriter, code int, msg string) {
		answer(w, code, map[string]any{"message": msg, "code": code})
	}
	mux.HandleFunc("GET /eth/v1/node/health", func(w http.ResponseWriter, r *http.Request) {
		started, syncing, _, _, _ := b.syncState()
		code := 200
		if !started || syncing {
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
		data := map[string]any{
			"head_slot": strconv.FormatUint(head, 10), "sync_distance": strconv.FormatUint(distance, 10),
			"is_syncing": syncing || !started,
		}
		if v.From(2, 1, 0) {
			data["is_optimistic"] = false
		}
		if v.From(4, 0, 0) {
			data["el_offline"] = el
		}
		answer(w, 200, map[string]any{"data": data})
	})
	mux.HandleFunc("GET /eth/v1/node/version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"data": map[string]string{"version": fmt.Sprintf("Prysm/%s (linux amd64)", v.Text)}})
	})
	mux.HandleFunc("GET /eth/v1/node/identity", func(w http.ResponseWriter, _ *http.Request) {
		if b.fs.Bool("no-discovery") {
			fail(w, 500, "could not obtain enr: no discovery")
			return
		}
		answer(w, 200, map[string]any{"data": map[string]any{"peer_id": "", "enr": "", "p2p_addresses": []string{}}})
	})
	mux.HandleFunc("GET /eth/v1/node/peer_count", func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		n := "0"
		if time.Since(b.seen) < 5*time.Second {
			n = "1"
		}
		b.mu.Unlock()
		answer(w, 200, map[string]any{"data": map[string]string{"connected": n, "connecting": "0", "disconnected": "0", "disconnecting": "0"}})
	})
	mux.HandleFunc("GET /eth/v1/beacon/genesis", func(w http.ResponseWriter, _ *http.Request) {
		c := b.conf()
		if c.GenesisTime == 0 {
			fail(w, 404, "Chain genesis info is not yet known")
			return
		}
		answer(w, 200, map[string]any{"data": map[string]string{
			"genesis_time": strconv.FormatInt(c.GenesisTime, 10), "genesis_validators_root": c.GenesisValidatorsRoot,
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
		answer(w, 200, map[string]any{"data": data})
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
		answer(w, 200, map[string]any{"data": map[string]any{
			"previous_justified": cp(prev), "current_justified": cp(h.Justified), "finalized": cp(h.Finalized),
		}})
	})
	validators := func(w http.ResponseWriter, r *http.Request, ids []string) {
		index := map[string]uint64{}
		if err := b.chain.do(r.Context(), "GET", "/validators", nil, &index); err != nil {
			fail(w, 500, err.Error())
			return
		}
		out := []any{}
		for key, i := range index {
			n := strconv.FormatUint(i, 10)
			wanted := len(ids) == 0
			for _, id := range ids {
				wanted = wanted || strings.EqualFold(id, key) || id == n
			}
			if wanted {
				out = append(out, map[string]any{
					"index": n, "balance": "32000000000", "status": "active_ongoing",
					"validator": map[string]any{"pubkey": key, "slashed": false, "effective_balance": "32000000000"},
				})
			}
		}
		answer(w, 200, map[string]any{"execution_optimistic": false, "finalized": false, "data": out})
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
			if err := b.chain.do(r.Context(), "GET", "/validators", nil, &index); err != nil {
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
			if err := b.chain.do(r.Context(), "POST", "/liveness", wire.LivenessRequest{Epoch: epoch, Keys: asked}, &live); err != nil {
				fail(w, 500, err.Error())
				return
			}
			data := []any{}
			for i, id := range ids {
				data = append(data, map[string]any{"index": id, "is_live": live[asked[i]]})
			}
			answer(w, 200, map[string]any{"data": data})
		})
	}
}
