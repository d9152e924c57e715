package chain

import (
	"fmt"
	"sort"

	"eth2xk8s/lab/prysm/internal/wire"
)

// Record is one signature as it is kept for ever.
type Record struct {
	ID       int     `json:"id"`
	At       float64 `json:"at"`
	Verified bool    `json:"verified"`
	Reason   string  `json:"reason,omitempty"` // why it was not verified
	Repeat   bool    `json:"repeat,omitempty"` // the same signature was there before
	// Made before, by another program, and known from its interchange file: no offence by itself.
	Elsewhere bool `json:"elsewhere,omitempty"`
	wire.Submission
}

// Offence is a pair of signatures that must not both exist.
type Offence struct {
	Kind   string  `json:"kind"`
	Key    string  `json:"key"`
	First  *Record `json:"first"`
	Second *Record `json:"second"`
	At     float64 `json:"at"`
	Detail string  `json:"detail"`
}

// Kinds of offences. The last two are no slashing offences on a real chain but break the site's promises:
// a key that signs with less history than it had, and a key that signs by turns in two running clients.
const (
	DoubleVote     = "double_vote"
	Surround       = "surround"
	Surrounded     = "surrounded"
	DoubleProposal = "double_proposal"
	LessHistory    = "less_history"
	TwoClients     = "two_clients"
)

// entry is a signature of one key in the order of slots, with the history every later signature must know of. What was
// signed elsewhere comes first, also where it is of a later slot: all of it was there before the first one of here.
type entry struct {
	rec  *Record
	must wire.Digest
	who  *Record // the record that the highest demand comes from
}

// slot orders entries.
func (e *entry) slot() int64 { return order(e.rec) }

func order(r *Record) int64 {
	if r.Elsewhere {
		return -1
	}
	return int64(r.Slot)
}

type span struct{ first, last *Record }

type keyState struct {
	roots   map[string]*Record // by kind and signing root
	votes   map[uint64][]*Record
	all     []*Record // attestations with different roots
	blocks  map[uint64][]*Record
	pairs   map[[2]uint64]bool // different votes (source, target) and blocks (2^64-1, slot)
	nPairs  int                // how many of them are votes
	entries []*entry
	clients map[string]*span
	order   []string
	told    map[string]bool // pairs of clients already reported

	atts, blks int
	lastSlot   uint64
	lastSource uint64
	lastTarget uint64
}

// Judge remembers every signature and finds offences. It is not safe for concurrent use.
type Judge struct {
	records  []*Record
	keys     map[string]*keyState
	offences []*Offence
	good     int
}

// NewJudge makes an empty judge.
func NewJudge() *Judge { return &Judge{keys: map[string]*keyState{}} }

// Add records a signature and returns the offences that it completes.
func (j *Judge) Add(r *Record) []*Offence {
	r.ID = len(j.records)
	j.records = append(j.records, r)
	if !r.Verified {
		return nil
	}
	j.good++
	k := j.keys[r.Key]
	if k == nil {
		k = &keyState{
			roots: map[string]*Record{}, votes: map[uint64][]*Record{}, blocks: map[uint64][]*Record{},
			pairs: map[[2]uint64]bool{}, clients: map[string]*span{}, told: map[string]bool{},
		}
		j.keys[r.Key] = k
	}
	if r.Elsewhere {
		k.elsewhere(r)
		return nil
	}
	id := r.Kind + r.SigningRoot
	if k.roots[id] != nil {
		r.Repeat = true
		return nil
	}
	k.roots[id] = r

	var found []*Offence
	add := func(kind string, first *Record, detail string) {
		found = append(found, &Offence{Kind: kind, Key: r.Key, First: first, Second: r, At: r.At, Detail: detail})
	}
	k.history(r, add)
	if r.Kind == wire.KindAttestation {
		k.attestation(r, add)
	} else {
		k.block(r, add)
	}
	k.client(r, add)
	if r.Slot > k.lastSlot {
		k.lastSlot = r.Slot
	}
	j.offences = append(j.offences, found...)
	return found
}

// elsewhere takes a signature on record against which all later ones are held, also one for the same slot.
func (k *keyState) elsewhere(r *Record) {
	ignore := func(string, *Record, string) {}
	if r.SigningRoot != "" {
		k.roots[r.Kind+r.SigningRoot] = r
	}
	k.history(r, ignore)
	if r.Kind == wire.KindAttestation {
		k.attestation(r, ignore)
		k.atts--
	} else {
		k.block(r, ignore)
		k.blks--
	}
}

func (k *keyState) attestation(r *Record, add func(string, *Record, string)) {
	if old := k.votes[r.Target]; len(old) > 0 {
		add(DoubleVote, old[0], fmt.Sprintf("two different votes for target %d", r.Target))
	}
	for _, o := range k.all {
		if r.Source < o.Source && o.Target < r.Target {
			add(Surround, o, fmt.Sprintf("%d->%d surrounds %d->%d", r.Source, r.Target, o.Source, o.Target))
			break
		}
		if o.Source < r.Source && r.Target < o.Target {
			add(Surrounded, o, fmt.Sprintf("%d->%d is surrounded by %d->%d", r.Source, r.Target, o.Source, o.Target))
			break
		}
	}
	k.votes[r.Target] = append(k.votes[r.Target], r)
	k.all = append(k.all, r)
	k.atts++
	if r.Source > k.lastSource {
		k.lastSource = r.Source
	}
	if r.Target > k.lastTarget {
		k.lastTarget = r.Target
	}
}

func (k *keyState) block(r *Record, add func(string, *Record, string)) {
	if old := k.blocks[r.Slot]; len(old) > 0 {
		add(DoubleProposal, old[0], fmt.Sprintf("two different blocks for slot %d", r.Slot))
	}
	k.blocks[r.Slot] = append(k.blocks[r.Slot], r)
	k.blks++
}

// client looks for two clients whose signatures overlap in time, told by slots: a signature that was on its way
// while its client froze belongs to the slot it was made in. One client taking over from another is no offence.
func (k *keyState) client(r *Record, add func(string, *Record, string)) {
	s := k.clients[r.Client]
	if s == nil {
		s = &span{r, r}
		k.clients[r.Client] = s
		k.order = append(k.order, r.Client)
	}
	if r.Slot < s.first.Slot {
		s.first = r
	}
	if r.Slot > s.last.Slot {
		s.last = r
	}
	for _, name := range k.order {
		o := k.clients[name]
		if name == r.Client || !(s.first.Slot < o.last.Slot && o.first.Slot < s.last.Slot) {
			continue
		}
		pair := name + " " + r.Client
		if r.Client < name {
			pair = r.Client + " " + name
		}
		if k.told[pair] {
			continue
		}
		k.told[pair] = true
		add(TwoClients, o.last, fmt.Sprintf("%s signed slots %d to %d, %s signed slots %d to %d",
			name, o.first.Slot, o.last.Slot, r.Client, s.first.Slot, s.last.Slot))
	}
}

// history compares what the signer says it knows with what was signed, and what was known, in earlier slots.
func (k *keyState) history(r *Record, add func(string, *Record, string)) {
	at := sort.Search(len(k.entries), func(i int) bool { return k.entries[i].slot() > order(r) })
	e := &entry{rec: r}
	before := sort.Search(len(k.entries), func(i int) bool { return k.entries[i].slot() >= order(r) })
	if before > 0 {
		p := k.entries[before-1]
		if why := less(r.Digest, &p.must); why != "" {
			add(LessHistory, p.who, why)
		} else if first, why := k.forgotten(r, before); why != "" {
			add(LessHistory, first, why)
		}
	}
	k.entries = append(k.entries, nil)
	copy(k.entries[at+1:], k.entries[at:])
	k.entries[at] = e
	// What later signatures must know grows from here on; a late arrival changes the demands after it too.
	if at == len(k.entries)-1 {
		k.demand(at)
		return
	}
	k.pairs, k.nPairs = map[[2]uint64]bool{}, 0
	for i := range k.entries {
		k.demand(i)
	}
	for i := at + 1; i < len(k.entries); i++ {
		later := k.entries[i]
		if later.slot() == order(r) {
			continue
		}
		b := sort.Search(len(k.entries), func(n int) bool { return k.entries[n].slot() >= later.slot() })
		if less(later.rec.Digest, &k.entries[b-1].must) != "" && k.entries[b-1].must.Attestations+k.entries[b-1].must.Blocks > 0 {
			if !k.told[fmt.Sprintf("less %d", later.rec.ID)] {
				k.told[fmt.Sprintf("less %d", later.rec.ID)] = true
				add(LessHistory, later.rec, fmt.Sprintf("signature %d of slot %d did not know of this earlier one (slot %d)",
					later.rec.ID, later.rec.Slot, r.Slot))
			}
		}
	}
}

// forgotten looks for an earlier signature that the signer's newest records lack, although the highest ones are there:
// that is what a lossy change of the database's layout leaves.
func (k *keyState) forgotten(r *Record, before int) (*Record, string) {
	// One vote an epoch and some blocks: whatever is in the window lies within the last few hundred entries.
	for i := before - 1; i >= 0 && i >= before-400; i-- {
		if why := r.Digest.Forgotten(&k.entries[i].rec.Submission); why != "" && !r.Digest.Pruned {
			return k.entries[i].rec, why
		}
	}
	return nil, ""
}

// demand computes what a signature after entry i must know.
func (k *keyState) demand(i int) {
	e := k.entries[i]
	e.must = wire.Digest{HighestSlot: -1, HighestSource: -1, HighestTarget: -1}
	e.who = e.rec
	if i > 0 {
		e.must = k.entries[i-1].must
	}
	up := func(have *int64, n int64) {
		if n > *have {
			*have = n
		}
	}
	upN := func(have *int, n int) {
		if n > *have {
			*have = n
		}
	}
	r := e.rec
	if d := r.Digest; d != nil {
		up(&e.must.HighestSlot, d.HighestSlot)
		up(&e.must.HighestSource, d.HighestSource)
		up(&e.must.HighestTarget, d.HighestTarget)
		upN(&e.must.Attestations, d.Attestations)
		upN(&e.must.Blocks, d.Blocks)
	}
	if r.Kind == wire.KindAttestation {
		up(&e.must.HighestSource, int64(r.Source))
		up(&e.must.HighestTarget, int64(r.Target))
		if p := [2]uint64{r.Source, r.Target}; !k.pairs[p] {
			k.pairs[p] = true
			k.nPairs++
		}
	} else {
		up(&e.must.HighestSlot, int64(r.Slot))
		k.pairs[[2]uint64{^uint64(0), r.Slot}] = true
	}
	upN(&e.must.Attestations, k.nPairs)
	upN(&e.must.Blocks, len(k.pairs)-k.nPairs)
}

// less says in what a digest is behind a demand. No digest is no history.
func less(d, must *wire.Digest) string {
	if d == nil {
		return "the signer did not say what history it has"
	}
	switch {
	case d.HighestSlot < must.HighestSlot:
		return fmt.Sprintf("highest block slot %d, had %d", d.HighestSlot, must.HighestSlot)
	case d.HighestSource < must.HighestSource:
		return fmt.Sprintf("highest source %d, had %d", d.HighestSource, must.HighestSource)
	case d.HighestTarget < must.HighestTarget:
		return fmt.Sprintf("highest target %d, had %d", d.HighestTarget, must.HighestTarget)
	case d.Pruned: // it was told to forget old records; the highest ones are what protects it
	case d.Attestations < must.Attestations:
		return fmt.Sprintf("%d attestations, had %d", d.Attestations, must.Attestations)
	case d.Blocks < must.Blocks:
		return fmt.Sprintf("%d blocks, had %d", d.Blocks, must.Blocks)
	}
	return ""
}

// KeyReport is what the judge says of one key.
type KeyReport struct {
	Attestations int      `json:"attestations"`
	Blocks       int      `json:"blocks"`
	LastSlot     uint64   `json:"last_slot"`
	LastSource   uint64   `json:"last_source"`
	LastTarget   uint64   `json:"last_target"`
	LastAt       float64  `json:"last_at"`
	LastClient   string   `json:"last_client"`
	Clients      []string `json:"clients"`
}

// Report is the answer to GET /judge.
type Report struct {
	Signatures int                   `json:"signatures"`
	Rejected   int                   `json:"rejected"`
	Keys       map[string]*KeyReport `json:"keys"`
	Offences   []*Offence            `json:"offences"`
}

// Report sums up.
func (j *Judge) Report() *Report {
	rep := &Report{
		Signatures: j.good, Rejected: len(j.records) - j.good,
		Keys: map[string]*KeyReport{}, Offences: append([]*Offence{}, j.offences...),
	}
	for key, k := range j.keys {
		kr := &KeyReport{
			Attestations: k.atts, Blocks: k.blks, LastSlot: k.lastSlot, LastSource: k.lastSource,
			LastTarget: k.lastTarget, Clients: append([]string{}, k.order...),
		}
		if n := len(k.entries); n > 0 {
			kr.LastAt, kr.LastClient = k.entries[n-1].rec.At, k.entries[n-1].rec.Client
		}
		rep.Keys[key] = kr
	}
	return rep
}

// Signatures lists records of one key (or all) from a number on.
func (j *Judge) Signatures(key string, since int) []*Record {
	out := []*Record{}
	for _, r := range j.records {
		if r.ID >= since && (key == "" || r.Key == key) {
			out = append(out, r)
		}
	}
	return out
}

// Live tells whether a key signed an attestation with the given target.
func (j *Judge) Live(key string, epoch uint64) bool {
	k := j.keys[key]
	if k == nil {
		return false
	}
	return len(k.votes[epoch]) > 0
}
