package database

import (
	"bytes"
	"encoding/binary"
	"sort"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/version"
	"eth2xk8s/lab/prysm/internal/wire"
)

// Vote is one attestation record. Root is nil or zero where none was given.
type Vote struct {
	Source, Target uint64
	Root           []byte
}

// proposal is one block record.
type proposal struct {
	slot uint64
	root []byte
}

// votes reads the attestations of a key, in the order of the source buckets, repeats included.
func votes(tx *bolt.Tx, key []byte) []Vote {
	pk := tx.Bucket(pubkeysBucket).Bucket(key)
	if pk == nil {
		return nil
	}
	sources := pk.Bucket(sourcesBucket)
	if sources == nil {
		return nil
	}
	roots := pk.Bucket(rootsBucket)
	var out []Vote
	sources.ForEach(func(k, v []byte) error {
		for i := 0; i+8 <= len(v); i += 8 {
			a := Vote{Source: unbe(k), Target: unbe(v[i : i+8])}
			if roots != nil {
				a.Root = bytes.Clone(roots.Get(v[i : i+8]))
			}
			out = append(out, a)
		}
		return nil
	})
	return out
}

// Votes are the attestations of a key, repeats included.
func (s *Store) Votes(key []byte) ([]Vote, error) {
	var out []Vote
	err := s.db.View(func(tx *bolt.Tx) error {
		out = votes(tx, key)
		return nil
	})
	return out, err
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
func votesByTarget(tx *bolt.Tx, key []byte) []Vote {
	pk := tx.Bucket(pubkeysBucket).Bucket(key)
	if pk == nil || pk.Bucket(targetsBucket) == nil {
		return nil
	}
	var out []Vote
	pk.Bucket(targetsBucket).ForEach(func(k, v []byte) error {
		for i := 0; i+8 <= len(v); i += 8 {
			out = append(out, Vote{Source: unbe(v[i : i+8]), Target: unbe(k)})
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
			d.HighestSource = max(d.HighestSource, int64(a.Source))
			known[[2]uint64{a.Source, a.Target}] = true
		}
		if s.release.From(1, 3, 0) {
			// A vote counts that both its buckets have.
			both := map[[2]uint64]bool{}
			for _, a := range votesByTarget(tx, key) {
				d.HighestTarget = max(d.HighestTarget, int64(a.Target))
				if p := [2]uint64{a.Source, a.Target}; known[p] {
					both[p] = true
				}
			}
			known = both
		} else {
			for _, a := range bySource {
				d.HighestTarget = max(d.HighestTarget, int64(a.Target))
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

// saveVote writes a vote as every version does: roots by target, targets by source, from v1.3.0 also sources by target.
func saveVote(tx *bolt.Tx, key []byte, a Vote, v version.Release) error {
	pk, err := tx.Bucket(pubkeysBucket).CreateBucketIfNotExists(key)
	if err != nil {
		return err
	}
	roots, err := pk.CreateBucketIfNotExists(rootsBucket)
	if err != nil {
		return err
	}
	if err := roots.Put(be(a.Target), a.Root); err != nil {
		return err
	}
	if err := appendTo(pk, sourcesBucket, a.Source, a.Target); err != nil {
		return err
	}
	if v.From(1, 3, 0) {
		if err := appendTo(pk, targetsBucket, a.Target, a.Source); err != nil {
			return err
		}
	}
	if err := lower(tx.Bucket(lowestSourceBucket), key, a.Source); err != nil {
		return err
	}
	return lower(tx.Bucket(lowestTargetBucket), key, a.Target)
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

// keysOf are the names in a bucket.
func keysOf(b *bolt.Bucket) [][]byte {
	var out [][]byte
	b.ForEach(func(k, _ []byte) error {
		out = append(out, bytes.Clone(k))
		return nil
	})
	return out
}
