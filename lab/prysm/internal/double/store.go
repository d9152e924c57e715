package double

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"eth2xk8s/lab/prysm/internal/version"
	"eth2xk8s/lab/prysm/internal/wire"
)

// The buckets of validator.db, by Prysm's own names.
var (
	genesisBucket        = []byte("genesis-info-bucket")
	genesisRootKey       = []byte("genesis-val-root")
	proposalsBucket      = []byte("proposal-history-bucket-interchange")
	oldAttestationBucket = []byte("attestation-history-bucket-interchange")
	lowestSourceBucket   = []byte("lowest-signed-source-bucket")
	lowestTargetBucket   = []byte("lowest-signed-target-bucket")
	lowestBlockBucket    = []byte("lowest-signed-proposals-bucket")
	highestBlockBucket   = []byte("highest-signed-proposals-bucket")
	blacklistBucket      = []byte("slashable-public-keys")
	pubkeysBucket        = []byte("pubkeys-bucket")
	rootsBucket          = []byte("att-signing-roots-bucket")
	sourcesBucket        = []byte("att-source-epochs-bucket")
	targetsBucket        = []byte("att-target-epochs-bucket")
	migrationsBucket     = []byte("migrations")
	graffitiBucket       = []byte("graffiti")
	settingsBucket       = []byte("proposer-settings-bucket")

	migrationOptimal = []byte("optimal_attester_protection_0")
	migrationTargets = []byte("source_target_epochs_bucket_0")
	migrationDone    = []byte("done")
)

const storeFile = "validator.db"

var errLocked = errors.New("cannot obtain database lock, database may be in use by another process")

// Store is a validator.db, open and locked.
type Store struct {
	db *bolt.DB
	v  version.Release
}

// OpenStore opens or makes validator.db in a directory and takes its lock, for which it waits one second.
func OpenStore(dir string, v version.Release) (*Store, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	db, err := bolt.Open(filepath.Join(dir, storeFile), 0o600, &bolt.Options{
		Timeout: time.Second, InitialMmapSize: 512 << 20, FreelistType: bolt.FreelistArrayType,
	})
	if err != nil {
		if errors.Is(err, berrors.ErrTimeout) {
			return nil, errLocked
		}
		return nil, err
	}
	s := &Store{db, v}
	buckets := [][]byte{
		genesisBucket, oldAttestationBucket, proposalsBucket, lowestSourceBucket, lowestTargetBucket,
		lowestBlockBucket, highestBlockBucket, blacklistBucket, pubkeysBucket, migrationsBucket,
	}
	if v.From(1, 3, 4) {
		buckets = append(buckets, graffitiBucket)
	}
	if v.From(4, 0, 5) {
		buckets = append(buckets, settingsBucket)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		if v.From(1, 3, 4) {
			g := tx.Bucket(graffitiBucket)
			if g.Get([]byte("graffiti-ordered-index")) == nil {
				if err := g.Put([]byte("graffiti-ordered-index"), make([]byte, 8)); err != nil {
					return err
				}
				return g.Put([]byte("graffiti-file-hash"), make([]byte, 32))
			}
		}
		return nil
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

// Close gives the lock back.
func (s *Store) Close() error { return s.db.Close() }

func be(n uint64) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint64(b, n)
	return b
}

func unbe(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// GenesisRoot is the saved genesis validators root, or nil.
func (s *Store) GenesisRoot() ([]byte, error) {
	var out []byte
	err := s.db.View(func(tx *bolt.Tx) error {
		out = bytes.Clone(tx.Bucket(genesisBucket).Get(genesisRootKey))
		return nil
	})
	return out, err
}

// SaveGenesisRoot keeps the root for ever; another one is refused.
func (s *Store) SaveGenesisRoot(root []byte) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(genesisBucket)
		if old := b.Get(genesisRootKey); len(old) > 0 && !bytes.Equal(old, root) {
			return fmt.Errorf("cannot overwrite existing genesis validators root: %#x", old)
		}
		return b.Put(genesisRootKey, root)
	})
}

// AddPublicKeys makes a bucket of proposals for each key, as the running client does when it has duties for it.
func (s *Store) AddPublicKeys(keys [][]byte) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, k := range keys {
			if _, err := tx.Bucket(proposalsBucket).CreateBucketIfNotExists(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// Blacklisted lists the keys that an import found slashable.
func (s *Store) Blacklisted() (map[string]bool, error) {
	out := map[string]bool{}
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(blacklistBucket).ForEach(func(k, _ []byte) error {
			out[wire.Hex(k)] = true
			return nil
		})
	})
	return out, err
}

// Blacklist refuses duties to keys from now on; nothing ever takes them off again.
func (s *Store) Blacklist(keys [][]byte) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, k := range keys {
			if err := tx.Bucket(blacklistBucket).Put(k, []byte{1}); err != nil {
				return err
			}
		}
		return nil
	})
}

// vote is one attestation record. root is nil or zero where none was given.
type vote struct {
	source, target uint64
	root           []byte
}

// proposal is one block record.
type proposal struct {
	slot uint64
	root []byte
}

func hasRoot(r []byte) bool { return len(r) == 32 && !bytes.Equal(r, make([]byte, 32)) }

// rootsDiffer is Prysm's rule: a missing root differs from everything.
func rootsDiffer(a, b []byte) bool { return !hasRoot(a) || !bytes.Equal(a, b) }

// votes reads the attestations of a key, in the order of the source buckets, repeats included.
func votes(tx *bolt.Tx, key []byte) []vote {
	pk := tx.Bucket(pubkeysBucket).Bucket(key)
	if pk == nil {
		return nil
	}
	sources := pk.Bucket(sourcesBucket)
	if sources == nil {
		return nil
	}
	roots := pk.Bucket(rootsBucket)
	var out []vote
	sources.ForEach(func(k, v []byte) error {
		for i := 0; i+8 <= len(v); i += 8 {
			a := vote{source: unbe(k), target: unbe(v[i : i+8])}
			if roots != nil {
				a.root = bytes.Clone(roots.Get(v[i : i+8]))
			}
			out = append(out, a)
		}
		return nil
	})
	return out
}

func proposals(tx *bolt.Tx, key []byte) []proposal {
	b := tx.Bucket(proposalsBucket).Bucket(key)
	if b == nil {
		return nil
	}
	var out []proposal
	b.ForEach(func(k, v []byte) error {
		out = append(out, proposal{unbe(k), bytes.Clone(v)})
		return nil
	})
	return out
}

// votesByTarget reads the same from the buckets by target, which v1.3.0 and later keep besides. A database that an older
// version signed with lacks its votes there.
func votesByTarget(tx *bolt.Tx, key []byte) []vote {
	pk := tx.Bucket(pubkeysBucket).Bucket(key)
	if pk == nil || pk.Bucket(targetsBucket) == nil {
		return nil
	}
	var out []vote
	pk.Bucket(targetsBucket).ForEach(func(k, v []byte) error {
		for i := 0; i+8 <= len(v); i += 8 {
			out = append(out, vote{source: unbe(v[i : i+8]), target: unbe(k)})
		}
		return nil
	})
	return out
}

// Digest sums up the history of a key, as far as this version looks at it.
func (s *Store) Digest(key []byte) (*wire.Digest, error) {
	d := &wire.Digest{HighestSlot: -1, HighestSource: -1, HighestTarget: -1}
	err := s.db.View(func(tx *bolt.Tx) error {
		bySource := votes(tx, key)
		known := map[[2]uint64]bool{}
		for _, a := range bySource {
			d.HighestSource = max(d.HighestSource, int64(a.source))
			known[[2]uint64{a.source, a.target}] = true
		}
		if s.v.From(1, 3, 0) {
			// A vote counts that both its buckets have.
			both := map[[2]uint64]bool{}
			for _, a := range votesByTarget(tx, key) {
				d.HighestTarget = max(d.HighestTarget, int64(a.target))
				if p := [2]uint64{a.source, a.target}; known[p] {
					both[p] = true
				}
			}
			known = both
		} else {
			for _, a := range bySource {
				d.HighestTarget = max(d.HighestTarget, int64(a.target))
			}
		}
		d.Attestations = len(known)
		d.Votes = []wire.Vote{}
		for p := range known {
			if int64(p[1]) > d.HighestTarget-wire.RecentEpochs {
				d.Votes = append(d.Votes, wire.Vote{Source: p[0], Target: p[1], Root: wire.Start(rootAt(tx, key, p[1]))})
			}
		}
		sort.Slice(d.Votes, func(i, j int) bool { return d.Votes[i].Target < d.Votes[j].Target })
		blocks := proposals(tx, key)
		for _, p := range blocks {
			d.Blocks++
			d.HighestSlot = max(d.HighestSlot, int64(p.slot))
		}
		for _, p := range blocks[max(0, len(blocks)-wire.RecentBlocks):] {
			d.Slots = append(d.Slots, wire.Block{Slot: p.slot, Root: wire.Start(p.root)})
		}
		return nil
	})
	return d, err
}

// slashable says why a vote must not be signed, or "".
func slashable(tx *bolt.Tx, key []byte, a vote) string {
	if why := slashableAmong(votes(tx, key), rootAt(tx, key, a.target), a); why != "" {
		return why
	}
	for _, o := range votesByTarget(tx, key) {
		if o.source < a.source && o.target > a.target {
			return surroundedText(a, o)
		}
	}
	return ""
}

func surroundedText(a, o vote) string {
	return fmt.Sprintf("attestation with (source %d, target %d) is surrounded by another with (source %d, target %d)",
		a.source, a.target, o.source, o.target)
}

func rootAt(tx *bolt.Tx, key []byte, target uint64) []byte {
	pk := tx.Bucket(pubkeysBucket).Bucket(key)
	if pk == nil || pk.Bucket(rootsBucket) == nil {
		return nil
	}
	v := pk.Bucket(rootsBucket).Get(be(target))
	if v == nil {
		return nil
	}
	// An empty value is a record without a root, which is not the same as no record.
	return append([]byte{}, v...)
}

func slashableAmong(have []vote, existing []byte, a vote) string {
	if existing != nil && rootsDiffer(existing, a.root) {
		return fmt.Sprintf("double vote found, existing attestation at target epoch %d with conflicting signing root %#x",
			a.target, existing)
	}
	for _, o := range have {
		if o.target == a.target && existing == nil && rootsDiffer(o.root, a.root) {
			return fmt.Sprintf("double vote found, existing attestation at target epoch %d with conflicting signing root %#x",
				a.target, o.root)
		}
		if a.source < o.source && a.target > o.target {
			return fmt.Sprintf("attestation with (source %d, target %d) surrounds another with (source %d, target %d)",
				a.source, a.target, o.source, o.target)
		}
		if o.source < a.source && o.target > a.target {
			return surroundedText(a, o)
		}
	}
	return ""
}

// refusal is a duty that the client's own protection does not let through.
type refusal struct{ msg string }

func (r refusal) Error() string { return r.msg }

// CheckAndSaveVote refuses a slashable vote and otherwise keeps it, synced, before it may be signed.
func (s *Store) CheckAndSaveVote(key []byte, a vote) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if low := tx.Bucket(lowestSourceBucket).Get(key); low != nil && a.source < unbe(low) {
			return refusal{fmt.Sprintf("could not sign attestation lower than lowest source epoch in db, %d < %d", a.source, unbe(low))}
		}
		differ := rootsDiffer(rootAt(tx, key, a.target), a.root)
		if low := tx.Bucket(lowestTargetBucket).Get(key); low != nil && differ && a.target <= unbe(low) {
			return refusal{fmt.Sprintf("could not sign attestation lower than or equal to lowest target epoch in db, %d <= %d",
				a.target, unbe(low))}
		}
		if why := slashable(tx, key, a); why != "" {
			return refusal{"attempted to make slashable attestation, rejected by local slashing protection: " + why}
		}
		return saveVote(tx, key, a, s.v)
	})
}

// saveVote writes a vote as every version does: roots by target, targets by source, from v1.3.0 also sources by target.
func saveVote(tx *bolt.Tx, key []byte, a vote, v version.Release) error {
	pk, err := tx.Bucket(pubkeysBucket).CreateBucketIfNotExists(key)
	if err != nil {
		return err
	}
	roots, err := pk.CreateBucketIfNotExists(rootsBucket)
	if err != nil {
		return err
	}
	if err := roots.Put(be(a.target), a.root); err != nil {
		return err
	}
	if err := appendTo(pk, sourcesBucket, a.source, a.target); err != nil {
		return err
	}
	if v.From(1, 3, 0) {
		if err := appendTo(pk, targetsBucket, a.target, a.source); err != nil {
			return err
		}
	}
	if err := lower(tx.Bucket(lowestSourceBucket), key, a.source); err != nil {
		return err
	}
	return lower(tx.Bucket(lowestTargetBucket), key, a.target)
}

func appendTo(pk *bolt.Bucket, name []byte, k, v uint64) error {
	b, err := pk.CreateBucketIfNotExists(name)
	if err != nil {
		return err
	}
	return b.Put(be(k), append(bytes.Clone(b.Get(be(k))), be(v)...))
}

func lower(b *bolt.Bucket, key []byte, n uint64) error {
	if old := b.Get(key); old != nil && unbe(old) <= n {
		return nil
	}
	return b.Put(key, be(n))
}

// CheckAndSaveBlock is the same for blocks.
func (s *Store) CheckAndSaveBlock(key []byte, slot uint64, root []byte) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		var old []byte
		exists := false
		if b := tx.Bucket(proposalsBucket).Bucket(key); b != nil {
			old = b.Get(be(slot))
			exists = old != nil
		}
		differ := rootsDiffer(old, root)
		if exists && differ {
			return refusal{"attempted to sign a double proposal, block rejected by local protection"}
		}
		if low := tx.Bucket(lowestBlockBucket).Get(key); low != nil && differ && unbe(low) >= slot {
			return refusal{fmt.Sprintf("could not sign block with slot <= lowest signed slot in db, lowest signed slot: %d >= block slot: %d",
				unbe(low), slot)}
		}
		return saveBlock(tx, key, slot, root)
	})
}

func saveBlock(tx *bolt.Tx, key []byte, slot uint64, root []byte) error {
	b, err := tx.Bucket(proposalsBucket).CreateBucketIfNotExists(key)
	if err != nil {
		return err
	}
	if err := b.Put(be(slot), root); err != nil {
		return err
	}
	if err := lower(tx.Bucket(lowestBlockBucket), key, slot); err != nil {
		return err
	}
	high := tx.Bucket(highestBlockBucket)
	if old := high.Get(key); old == nil || unbe(old) < slot {
		return high.Put(key, be(slot))
	}
	return nil
}
