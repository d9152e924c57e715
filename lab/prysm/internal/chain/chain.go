// Package chain is the lab's chain and its judge: slots, epochs and duties for whoever asks, and a memory of every
// signature ever made.
package chain

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"eth2xk8s/lab/prysm/internal/wire"
)

// Chain is one lab's chain. Its state lives in a directory and survives any kind of stop.
type Chain struct {
	Config wire.Config
	Now    func() time.Time

	mu      sync.Mutex
	judge   *Judge
	index   map[string]uint64 // every validator, by the order in which it was first asked for
	sorted  []string          // of the active ones, in the order of their turns
	status  map[string]string // of those that are not active
	dir     string
	keysLog *os.File
	faults  wire.Faults

	sigLog  *os.File
	pending chan pendingLine
	done    chan struct{}
	broken  error
}

type pendingLine struct {
	line []byte
	ok   chan error
}

// Open reads the state in dir, or makes a new chain there.
func Open(dir string, fresh wire.Config) (*Chain, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	c := &Chain{
		Now: time.Now, judge: NewJudge(), index: map[string]uint64{}, status: map[string]string{}, dir: dir,
		done: make(chan struct{}),
	}
	if err := c.loadConfig(filepath.Join(dir, "genesis.json"), fresh); err != nil {
		return nil, err
	}
	var err error
	c.keysLog, err = openLines(filepath.Join(dir, "validators.jsonl"), func(line []byte) error {
		var key string
		if err := json.Unmarshal(line, &key); err != nil {
			return err
		}
		c.index[key] = uint64(len(c.index))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := c.loadStatuses(); err != nil {
		return nil, err
	}
	c.sort()
	c.sigLog, err = openLines(filepath.Join(dir, "signatures.jsonl"), func(line []byte) error {
		r := &Record{}
		if err := json.Unmarshal(line, r); err != nil {
			return err
		}
		c.judge.Add(r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.pending = make(chan pendingLine, 1024)
	go c.writer()
	return c, nil
}

// Close waits for what is under way and closes the files.
func (c *Chain) Close() {
	c.mu.Lock()
	c.broken = errors.New("the chain is stopping")
	close(c.pending)
	c.mu.Unlock()
	<-c.done
	c.sigLog.Close()
	c.keysLog.Close()
}

func (c *Chain) loadConfig(path string, fresh wire.Config) error {
	raw, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(raw, &c.Config); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if fresh.GenesisValidatorsRoot == "" {
		root := make([]byte, 32)
		if _, err := rand.Read(root); err != nil {
			return err
		}
		fresh.GenesisValidatorsRoot = wire.Hex(root)
	}
	c.Config = fresh
	raw, _ = json.MarshalIndent(fresh, "", "  ")
	return replace(path, raw)
}

// replace writes a whole file or leaves the old one.
func replace(path string, raw []byte) error {
	tmp := path + ".new"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(raw, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	f.Close()
	return os.Rename(tmp, path)
}

func (c *Chain) statusFile() string { return filepath.Join(c.dir, "statuses.json") }

func (c *Chain) loadStatuses() error {
	raw, err := os.ReadFile(c.statusFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &c.status)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.statusFile(), err)
	}
	return nil
}

// sort lines up the keys that take turns.
func (c *Chain) sort() {
	c.sorted = c.sorted[:0]
	for key := range c.index {
		if wire.OnDuty(c.statusOf(key)) {
			c.sorted = append(c.sorted, key)
		}
	}
	sort.Strings(c.sorted)
}

func (c *Chain) statusOf(key string) string {
	if s := c.status[key]; s != "" {
		return s
	}
	return "active"
}

// SetStatuses says how the chain sees some keys from now on. A key of which nothing was said is active as soon as its
// duties are asked for.
func (c *Chain) SetStatuses(statuses map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[string]string{}
	for key, status := range c.status {
		next[key] = status
	}
	var known []string
	for key, status := range statuses {
		key = strings.ToLower(key)
		if _, err := wire.Bytes(key, 48); err != nil || !strings.HasPrefix(key, "0x") {
			return fmt.Errorf("%q is no public key", key)
		}
		if _, ok := wire.Statuses[status]; !ok {
			return fmt.Errorf("%q is no status of a key", status)
		}
		next[key] = status
		if status != "unknown" {
			known = append(known, key)
		}
	}
	raw, _ := json.MarshalIndent(next, "", "  ")
	if err := replace(c.statusFile(), raw); err != nil {
		return err
	}
	c.status = next
	c.sort()
	return c.add(known)
}

// add takes keys into the state.
func (c *Chain) add(keys []string) error {
	fresh := false
	for _, key := range keys {
		if _, ok := c.index[key]; ok || c.statusOf(key) == "unknown" {
			continue
		}
		line, _ := json.Marshal(key)
		if _, err := c.keysLog.Write(append(line, '\n')); err != nil {
			return err
		}
		c.index[key] = uint64(len(c.index))
		fresh = true
	}
	if !fresh {
		return nil
	}
	c.sort()
	return c.keysLog.Sync()
}

// States is what the chain knows of some keys, or of all; what it does not know is left out.
func (c *Chain) States(req wire.StatesRequest) []wire.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := req.Keys
	if len(keys) == 0 {
		for key := range c.index {
			keys = append(keys, key)
		}
		sort.Strings(keys)
	}
	out := []wire.State{}
	for _, key := range keys {
		key = strings.ToLower(key)
		if i, ok := c.index[key]; ok && c.statusOf(key) != "unknown" {
			out = append(out, wire.State{Key: key, Index: i, Status: c.statusOf(key)})
		}
	}
	return out
}

// openLines feeds every line of a file to a function and leaves the file open for appending. A last line without its
// end was torn by a crash before anybody was told that it is kept: it is cut off. Anything else unreadable is an error.
func openLines(path string, each func([]byte) error) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(f, 1<<20)
	var good int64
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := each(bytes.TrimSpace(line)); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
		good += int64(len(line))
	}
	if err := f.Truncate(good); err != nil {
		return nil, err
	}
	_, err = f.Seek(good, io.SeekStart)
	return f, err
}

// writer keeps signatures: all that wait are written together, then synced, then answered.
func (c *Chain) writer() {
	defer close(c.done)
	for p := range c.pending {
		batch := []pendingLine{p}
	more:
		for {
			select {
			case q, ok := <-c.pending:
				if !ok {
					break more
				}
				batch = append(batch, q)
			default:
				break more
			}
		}
		var buf bytes.Buffer
		for _, q := range batch {
			buf.Write(q.line)
		}
		_, err := c.sigLog.Write(buf.Bytes())
		if err == nil {
			err = c.sigLog.Sync()
		}
		for _, q := range batch {
			q.ok <- err
		}
	}
}

// Submit records a signature; the answer comes when it is on disk.
func (c *Chain) Submit(s wire.Submission) (*Record, []*Offence, error) {
	s.Key = strings.ToLower(s.Key)
	s.SigningRoot = strings.ToLower(s.SigningRoot)
	r := &Record{Submission: s, Verified: true}
	if err := s.Verify(c.Config.GenesisValidatorsRoot); err != nil {
		r.Verified, r.Reason = false, err.Error()
	}
	c.mu.Lock()
	return c.keep(r)
}

// Elsewhere takes on record what keys have signed before, with another program. Who cannot say where a vote was made
// gives its target, and the first slot of that epoch stands for it.
func (c *Chain) Elsewhere(file wire.Interchange) (int, error) {
	count := 0
	number := func(text string, to *uint64) (err error) {
		*to, err = strconv.ParseUint(text, 10, 64)
		return err
	}
	for _, key := range file.Data {
		add := func(s wire.Submission) error {
			s.Key, s.SigningRoot, s.Client = strings.ToLower(key.Pubkey), strings.ToLower(s.SigningRoot), "elsewhere"
			c.mu.Lock()
			_, _, err := c.keep(&Record{Submission: s, Verified: true, Elsewhere: true})
			count++
			return err
		}
		for _, b := range key.Blocks {
			s := wire.Submission{Kind: wire.KindBlock, SigningRoot: b.Root}
			if err := number(b.Slot, &s.Slot); err != nil {
				return count, err
			}
			if err := add(s); err != nil {
				return count, err
			}
		}
		for _, a := range key.Attestations {
			s := wire.Submission{Kind: wire.KindAttestation, SigningRoot: a.Root}
			if err := errors.Join(number(a.Source, &s.Source), number(a.Target, &s.Target)); err != nil {
				return count, err
			}
			s.Slot = s.Target * c.Config.SlotsPerEpoch
			if err := add(s); err != nil {
				return count, err
			}
		}
	}
	return count, nil
}

// keep judges a record and waits until it is on the disk. The chain is locked before, and unlocked here.
func (c *Chain) keep(r *Record) (*Record, []*Offence, error) {
	if c.broken != nil {
		c.mu.Unlock()
		return nil, nil, c.broken
	}
	r.At = float64(c.Now().UnixMilli()) / 1000
	found := c.judge.Add(r)
	line, err := json.Marshal(r)
	if err != nil {
		c.mu.Unlock()
		return nil, nil, err
	}
	p := pendingLine{append(line, '\n'), make(chan error, 1)}
	c.pending <- p // within the lock: the order on disk is the order in memory
	c.mu.Unlock()
	if err := <-p.ok; err != nil {
		// What is in memory may no longer be what is on disk: a judge that forgets is worse than none.
		c.mu.Lock()
		c.broken = fmt.Errorf("signatures can no longer be kept: %w", err)
		c.mu.Unlock()
		return nil, nil, c.broken
	}
	return r, found, nil
}

// Slot is the current slot; before genesis it is 0 and started is false.
func (c *Chain) Slot() (slot uint64, started bool) {
	d := c.Now().Sub(time.Unix(c.Config.GenesisTime, 0))
	if d < 0 {
		return 0, false
	}
	return uint64(d/time.Second) / c.Config.SecondsPerSlot, true
}

// Justified is the source of votes in an epoch. The lab's chain always advances, as if most of the stake were outside.
func Justified(epoch uint64) uint64 {
	if epoch < 2 {
		return 0
	}
	return epoch - 1
}

func hash(parts ...any) []byte {
	h := sha256.New()
	for _, p := range parts {
		switch v := p.(type) {
		case uint64:
			binary.Write(h, binary.BigEndian, v)
		case string:
			binary.Write(h, binary.BigEndian, uint64(len(v)))
			h.Write([]byte(v))
		}
	}
	return h.Sum(nil)
}

// Head is the chain as it stands.
func (c *Chain) Head() wire.Head {
	slot, started := c.Slot()
	epoch := slot / c.Config.SlotsPerEpoch
	c.mu.Lock()
	defer c.mu.Unlock()
	h := wire.Head{
		Slot: slot, Epoch: epoch, Started: started, Justified: Justified(epoch),
		Root:   wire.Hex(hash("head", c.Config.GenesisValidatorsRoot, slot)),
		Faults: c.faults, Validator: len(c.index),
	}
	if h.Justified > 0 {
		h.Finalized = h.Justified - 1
	}
	return h
}

// Duties makes a validator of every key that is asked for, unless something else was said of it. A key attests once an epoch, at a slot that only depends
// on key and epoch; each slot has one proposer, in turns.
func (c *Chain) Duties(req wire.DutiesRequest) ([]wire.Duty, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, key := range req.Keys {
		key = strings.ToLower(key)
		req.Keys[i] = key
		if _, err := wire.Bytes(key, 48); err != nil || !strings.HasPrefix(key, "0x") {
			return nil, fmt.Errorf("%q is no public key", key)
		}
	}
	if err := c.add(req.Keys); err != nil {
		return nil, err
	}
	spe := c.Config.SlotsPerEpoch
	out := []wire.Duty{}
	for _, key := range req.Keys {
		d := wire.Duty{
			Key: key, Index: wire.NoIndex, Status: c.statusOf(key), AttesterSlot: wire.NoSlot, ProposerSlots: []uint64{},
		}
		if i, ok := c.index[key]; ok && d.Status != "unknown" {
			d.Index = i
		}
		if !wire.OnDuty(d.Status) {
			out = append(out, d)
			continue
		}
		d.AttesterSlot = c.attesterSlot(key, req.Epoch)
		for slot := req.Epoch * spe; slot < (req.Epoch+1)*spe; slot++ {
			if c.proposer(slot) == key {
				d.ProposerSlots = append(d.ProposerSlots, slot)
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// Attestation is what a client is to vote for. Every client is shown a head of its own: the worst chain there is, on
// which two clients with one key never sign the same vote, and nothing that happens twice stays hidden.
func (c *Chain) Attestation(slot uint64, client string) wire.AttestationData {
	epoch := slot / c.Config.SlotsPerEpoch
	return wire.AttestationData{
		Slot: slot, Source: Justified(epoch), Target: epoch,
		Root: wire.Hex(hash("attested", c.Config.GenesisValidatorsRoot, slot, client)),
	}
}

// Block is the root of the block a client is to sign; like heads, blocks differ from client to client.
func (c *Chain) Block(slot uint64, client string) string {
	return wire.Hex(hash("block", c.Config.GenesisValidatorsRoot, slot, client))
}

// Handler serves the chain and the judge.
func (c *Chain) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Config) })
	mux.HandleFunc("GET /genesis", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{
			"genesis_time": c.Config.GenesisTime, "genesis_validators_root": c.Config.GenesisValidatorsRoot,
		})
	})
	mux.HandleFunc("POST /{$}", c.Open(1337))
	mux.HandleFunc("GET /head", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Head()) })
	mux.HandleFunc("POST /duties", func(w http.ResponseWriter, r *http.Request) {
		var req wire.DutiesRequest
		if !body(w, r, &req) {
			return
		}
		d, err := c.Duties(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, d)
	})
	slotOf := func(w http.ResponseWriter, r *http.Request) (uint64, bool) {
		slot, err := strconv.ParseUint(r.URL.Query().Get("slot"), 10, 64)
		if err != nil {
			http.Error(w, "slot: "+err.Error(), http.StatusBadRequest)
		}
		return slot, err == nil
	}
	mux.HandleFunc("GET /attestation", func(w http.ResponseWriter, r *http.Request) {
		if slot, ok := slotOf(w, r); ok {
			reply(w, c.Attestation(slot, r.URL.Query().Get("client")))
		}
	})
	mux.HandleFunc("GET /block", func(w http.ResponseWriter, r *http.Request) {
		if slot, ok := slotOf(w, r); ok {
			reply(w, map[string]string{"root": c.Block(slot, r.URL.Query().Get("client"))})
		}
	})
	mux.HandleFunc("POST /submit", func(w http.ResponseWriter, r *http.Request) {
		var s wire.Submission
		if !body(w, r, &s) {
			return
		}
		s.Beacon, _, _ = net.SplitHostPort(r.RemoteAddr)
		if s.Address == "" {
			s.Address = s.Beacon
		}
		rec, found, err := c.Submit(s)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case !rec.Verified:
			http.Error(w, rec.Reason, http.StatusBadRequest)
		default:
			reply(w, map[string]any{"id": rec.ID, "offences": found})
		}
	})
	mux.HandleFunc("POST /liveness", func(w http.ResponseWriter, r *http.Request) {
		var req wire.LivenessRequest
		if !body(w, r, &req) {
			return
		}
		out := map[string]bool{}
		c.mu.Lock()
		for _, key := range req.Keys {
			out[key] = c.judge.Live(strings.ToLower(key), req.Epoch)
		}
		c.mu.Unlock()
		reply(w, out)
	})
	mux.HandleFunc("GET /validators", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		reply(w, c.index)
	})
	mux.HandleFunc("POST /validators", func(w http.ResponseWriter, r *http.Request) {
		var statuses map[string]string
		if !body(w, r, &statuses) {
			return
		}
		if err := c.SetStatuses(statuses); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, c.States(wire.StatesRequest{}))
	})
	mux.HandleFunc("POST /states", func(w http.ResponseWriter, r *http.Request) {
		var req wire.StatesRequest
		if body(w, r, &req) {
			reply(w, c.States(req))
		}
	})
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Head().Faults) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if body(w, r, &c.faults) {
			reply(w, c.faults)
		}
	})
	mux.HandleFunc("GET /judge", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		reply(w, c.judge.Report())
	})
	mux.HandleFunc("POST /judge/elsewhere", func(w http.ResponseWriter, r *http.Request) {
		var file wire.Interchange
		if !body(w, r, &file) {
			return
		}
		count, err := c.Elsewhere(file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, map[string]int{"records": count})
	})
	mux.HandleFunc("GET /judge/signatures", func(w http.ResponseWriter, r *http.Request) {
		if since, ok := number(w, r, "since"); ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			reply(w, c.judge.Signatures(strings.ToLower(r.URL.Query().Get("key")), since))
		}
	})
	mux.HandleFunc("GET /judge/missed", func(w http.ResponseWriter, r *http.Request) {
		if since, ok := number(w, r, "since"); ok {
			reply(w, c.Missed(uint64(since)))
		}
	})
	return mux
}

// number is a parameter of a request, 0 without one. What is none is answered here.
func number(w http.ResponseWriter, r *http.Request, name string) (int, bool) {
	v := r.URL.Query().Get(name)
	if v == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		http.Error(w, name+": "+err.Error(), http.StatusBadRequest)
	}
	return int(n), err == nil
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func body(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(io.LimitReader(r.Body, 8<<20)).Decode(v); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}
