// Package blockchain is a beacon node's view of the lab's chain: the head it has seen, whether it is in sync, and what an
// execution client does to both. When which metric is set and what counts as syncing is as seen with real Prysm on private
// chains (lab/prysm/README.md).
package blockchain

import (
	"context"
	"strconv"
	"sync"
	"time"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/monitor"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/wire"
)

// Follower follows the lab's chain.
type Follower struct {
	cli     *cli.Context
	chain   *jsonhttp.Client
	metrics *monitor.Metrics
	elGiven bool
	slotLen string // what the chain configuration says, if one was given

	mu      sync.Mutex
	config  *wire.Config
	head    wire.Head
	seen    time.Time // last answer of the chain
	ready   time.Time // when the first sync is over
	never   bool      // this configuration never gets in sync
	eth1    error     // why no eth1 node can be had (v1.x)
	refused bool      // the execution client does not take the token (from v3.0.0)
}

// New follows the chain that the program was told of.
func New(c *cli.Context, metrics *monitor.Metrics) *Follower {
	metrics.Define("beacon_head_slot", "gauge", "Slot of the head block of the beacon chain")
	metrics.Define("beacon_clock_time_slot", "gauge", "The current slot based on the genesis time and current clock")
	// Both are set when a block arrives, the clock too: until then they are 0.
	metrics.Set("beacon_head_slot", 0)
	metrics.Set("beacon_clock_time_slot", 0)
	metrics.Define("beacon_current_justified_epoch", "gauge", "Current justified epoch")
	metrics.Define("beacon_finalized_epoch", "gauge", "Last finalized epoch of the processed state")
	metrics.Define("p2p_peer_count", "gauge", "The number of peers in a given state.")
	return &Follower{
		cli: c, chain: jsonhttp.New(c.Chain), metrics: metrics,
		elGiven: c.Flags.String("execution-endpoint", "") != "" || c.Flags.String("http-web3provider", "") != "",
	}
}

// ExpectSlots says how long slots have to be (in seconds, "" for any length); it is said before anything is polled.
func (f *Follower) ExpectSlots(length string) { f.slotLen = length }

// NeverSyncs says that this node never gets in sync.
func (f *Follower) NeverSyncs() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.never = true
}

// SetEth1 says why no eth1 node can be had (v1.x), or nil.
func (f *Follower) SetEth1(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.eth1 = err
}

// Eth1 is what SetEth1 said last.
func (f *Follower) Eth1() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.eth1
}

// SetRefused says whether the execution client does not take the token.
func (f *Follower) SetRefused(refused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = refused
}

// Ask puts a question to the chain itself.
func (f *Follower) Ask(ctx context.Context, method, path string, in, out any) error {
	return f.chain.Do(ctx, method, path, in, out)
}

// Poll asks the chain how it stands.
func (f *Follower) Poll(first bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if !f.learnConfig(ctx, first) {
		return
	}
	var h wire.Head
	if err := f.chain.Do(ctx, "GET", "/head", nil, &h); err != nil {
		f.cli.Log.Debug("p2p", "The chain does not answer", "error", err)
		f.metrics.Set("p2p_peer_count", 0, "state", "Connected")
		return
	}
	if h.Faults.Only != "" && h.Faults.Only != f.cli.Release.Text {
		h.Faults = wire.Faults{}
	}
	f.mu.Lock()
	was, begun := f.head, !f.seen.IsZero()
	if h.Faults.ELDead && begun {
		// No payload is checked, so no block is taken in. The node says nothing of it.
		h.Slot, h.Epoch, h.Root, h.Justified, h.Finalized = was.Slot, was.Epoch, was.Root, was.Justified, was.Finalized
	}
	f.head, f.seen = h, time.Now()
	f.mu.Unlock()
	f.metrics.Set("p2p_peer_count", 1, "state", "Connected")
	if h.Slot == was.Slot || !begun {
		return
	}
	f.cli.Log.Info("blockchain", "Synced new block", "slot", h.Slot, "block", h.Root[:10]+"...", "epoch", h.Epoch,
		"finalizedEpoch", h.Finalized)
	slot, _ := f.Slot()
	shift, _ := f.Public()
	f.metrics.Set("beacon_head_slot", float64(h.Slot+shift))
	f.metrics.Set("beacon_clock_time_slot", float64(slot+shift))
	f.metrics.Set("beacon_current_justified_epoch", float64(h.Justified))
	f.metrics.Set("beacon_finalized_epoch", float64(h.Finalized))
}

// learnConfig asks for the chain's configuration until it is known.
func (f *Follower) learnConfig(ctx context.Context, first bool) bool {
	f.mu.Lock()
	known := f.config != nil
	f.mu.Unlock()
	if known {
		return true
	}
	var c wire.Config
	if err := f.chain.Do(ctx, "GET", "/config", nil, &c); err != nil {
		if first {
			f.cli.Log.Warn("p2p", "No peers yet", "error", err)
		}
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config = &c
	if f.slotLen != "" && f.slotLen != strconv.FormatUint(c.SecondsPerSlot, 10) {
		f.never = true
		f.cli.Log.Error("blockchain", "The chain's slots have another length than the chain configuration says",
			"chain", c.SecondsPerSlot, "configuration", f.slotLen)
	}
	f.ready = time.Now().Add(time.Second)
	return true
}

// Public is how far the slots of a public network, which an asker counts from that network's own genesis, are ahead of
// those of the chain that stands in for it; and that genesis, 0 for any other chain.
func (f *Follower) Public() (shift uint64, genesis int64) {
	genesis = params.Genesis(params.Network(f.cli))
	slot, begun := f.Slot()
	if genesis == 0 || !begun {
		return 0, genesis
	}
	return params.PublicSlot(genesis) - slot, genesis
}

// Slot is the slot by this node's own clock; false before genesis.
func (f *Follower) Slot() (uint64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.config == nil {
		return 0, false
	}
	return params.SlotAt(*f.config, time.Now())
}

// Epoch is the epoch by this node's own clock.
func (f *Follower) Epoch() uint64 {
	slot, _ := f.Slot()
	if c := f.Config(); c.SlotsPerEpoch > 0 {
		return slot / c.SlotsPerEpoch
	}
	return 0
}

// EpochOfChain is the epoch by the chain, or 0 when that does not answer.
func (f *Follower) EpochOfChain() uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var h wire.Head
	if err := f.chain.Do(ctx, "GET", "/head", nil, &h); err != nil {
		f.cli.Log.Debug("p2p", "The chain does not answer", "error", err)
	}
	return h.Epoch
}

// Config is the chain's configuration, as far as it is known.
func (f *Follower) Config() wire.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.config == nil {
		return wire.Config{}
	}
	return *f.config
}

// Head is the head that this node has.
func (f *Follower) Head() wire.Head {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head
}

// Connected tells whether the chain answered a moment ago.
func (f *Follower) Connected() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.seen) < 5*time.Second
}

// Sync is how a node stands to its chain.
type Sync struct {
	Started   bool // genesis is over
	Syncing   bool
	Head      uint64
	Distance  uint64 // slots to the head
	ELOffline bool
}

// Ready tells whether the node serves validators.
func (s Sync) Ready() bool { return s.Started && !s.Syncing }

// Sync is how this node stands now.
func (f *Follower) Sync() Sync {
	slot, started := f.Slot()
	f.mu.Lock()
	defer f.mu.Unlock()
	el := f.head.Faults.ELOffline || !f.elGiven
	if f.config == nil || f.seen.IsZero() {
		return Sync{Syncing: true, ELOffline: el}
	}
	s := Sync{Started: started, Head: f.head.Slot, ELOffline: el || f.refused}
	if slot > s.Head {
		s.Distance = slot - s.Head
	}
	// A custom chain here is one before the merge.
	s.Syncing = f.never || f.refused && params.Network(f.cli) != "custom" || f.head.Faults.Syncing || time.Now().Before(f.ready) ||
		s.Distance > f.config.SlotsPerEpoch && !f.head.Faults.ELDead || s.Head > slot+f.config.SlotsPerEpoch
	if f.head.Faults.Syncing && s.Distance == 0 {
		s.Distance = 4 * f.config.SlotsPerEpoch
	}
	return s
}

// Optimistic tells whether the head was checked by no execution client. Before the merge there is no such thing.
func (f *Follower) Optimistic() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head.Faults.Optimistic && f.cli.Release.From(2, 1, 0)
}
