package database

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// The old form of a key's attestations (before v1.1.0) is one blob: the latest epoch written (8 bytes, little endian),
// then for each target epoch from 0 on 48 bytes: source (little endian), signing root, 8 unused bytes.
const (
	oldHead  = 8
	oldEntry = 48
	farAway  = ^uint64(0)
)

// MigrateUp brings an older schema up to this version's. Every start of the client does it.
func (s *Store) MigrateUp() error {
	if err := s.db.Update(optimalUp); err != nil {
		return err
	}
	if s.release.Before(1, 3, 0) {
		return nil
	}
	return s.db.Update(targetsUp)
}

// MigrateDown takes the schema back, with all that real Prysm loses on the way: votes of all keys are pooled, so for a
// source or target that several keys have, one key's record is written for each of them.
func (s *Store) MigrateDown() error {
	if err := s.db.Update(optimalDown); err != nil {
		return err
	}
	if s.release.Before(1, 3, 0) {
		return nil // this version knows nothing of the newer bucket and leaves it behind
	}
	return s.db.Update(targetsDown)
}

func optimalUp(tx *bolt.Tx) error {
	done := tx.Bucket(migrationsBucket)
	if bytes.Equal(done.Get(migrationOptimal), migrationDone) {
		return nil
	}
	type item struct{ key, blob []byte }
	var all []item
	if err := tx.Bucket(oldAttestationBucket).ForEach(func(k, v []byte) error {
		all = append(all, item{bytes.Clone(k), bytes.Clone(v)})
		return nil
	}); err != nil {
		return err
	}
	for _, it := range all {
		if len(it.blob) < oldHead {
			continue
		}
		if err := spread(tx, it.key, it.blob); err != nil {
			return err
		}
	}
	return done.Put(migrationOptimal, migrationDone)
}

// spread writes the votes of an old blob into the buckets of its key.
func spread(tx *bolt.Tx, key, blob []byte) error {
	pk, err := tx.Bucket(pubkeysBucket).CreateBucketIfNotExists(key)
	if err != nil {
		return err
	}
	roots, err := pk.CreateBucketIfNotExists(rootsBucket)
	if err != nil {
		return err
	}
	sources, err := pk.CreateBucketIfNotExists(sourcesBucket)
	if err != nil {
		return err
	}
	latest := binary.LittleEndian.Uint64(blob)
	for target := uint64(0); target <= latest; target++ {
		at := oldHead + target*oldEntry
		if uint64(len(blob)) < at+oldEntry {
			break
		}
		source := binary.LittleEndian.Uint64(blob[at:])
		if source == farAway {
			continue
		}
		// A put, not an append: of several targets with one source the last one stays, and targets
		// that were never voted for become votes with source 0. That is how it really is.
		if err := sources.Put(be(source), be(target)); err != nil {
			return err
		}
		if err := roots.Put(be(target), blob[at+8:at+40]); err != nil {
			return err
		}
	}
	return nil
}

func targetsUp(tx *bolt.Tx) error {
	done := tx.Bucket(migrationsBucket)
	if bytes.Equal(done.Get(migrationTargets), migrationDone) {
		return nil
	}
	for _, key := range keysOf(tx.Bucket(pubkeysBucket)) {
		pk := tx.Bucket(pubkeysBucket).Bucket(key)
		sources := pk.Bucket(sourcesBucket)
		if sources == nil {
			continue
		}
		byTarget := map[uint64][]byte{}
		if err := sources.ForEach(func(source, targets []byte) error {
			for i := 0; i+8 <= len(targets); i += 8 {
				t := unbe(targets[i : i+8])
				byTarget[t] = append(byTarget[t], source...)
			}
			return nil
		}); err != nil {
			return err
		}
		b, err := pk.CreateBucketIfNotExists(targetsBucket)
		if err != nil {
			return err
		}
		for t, list := range byTarget {
			if err := b.Put(be(t), append(bytes.Clone(b.Get(be(t))), list...)); err != nil {
				return err
			}
		}
	}
	return done.Put(migrationTargets, migrationDone)
}

func optimalDown(tx *bolt.Tx) error {
	done := tx.Bucket(migrationsBucket)
	if done.Get(migrationOptimal) == nil {
		return nil
	}
	keys := keysOf(tx.Bucket(pubkeysBucket))
	bySource, roots, err := pool(tx, keys)
	if err != nil {
		return err
	}
	blob := pack(bySource, roots)
	for _, key := range keys {
		if err := tx.Bucket(oldAttestationBucket).Put(key, blob); err != nil {
			return err
		}
	}
	return done.Delete(migrationOptimal)
}

// pool throws the votes of all keys together: targets by source, roots by target.
func pool(tx *bolt.Tx, keys [][]byte) (bySource, roots map[uint64][]byte, err error) {
	bySource, roots = map[uint64][]byte{}, map[uint64][]byte{}
	for _, key := range keys {
		pk := tx.Bucket(pubkeysBucket).Bucket(key)
		sources, signing := pk.Bucket(sourcesBucket), pk.Bucket(rootsBucket)
		if sources == nil || signing == nil {
			return nil, nil, errors.New("bucket not found")
		}
		sources.ForEach(func(source, targets []byte) error {
			bySource[unbe(source)] = bytes.Clone(targets) // the last key wins
			return nil
		})
		signing.ForEach(func(target, root []byte) error {
			roots[unbe(target)] = bytes.Clone(root)
			return nil
		})
	}
	return bySource, roots, nil
}

// pack makes the old blob of pooled votes.
func pack(bySource, roots map[uint64][]byte) []byte {
	blob := make([]byte, oldHead+oldEntry)
	binary.LittleEndian.PutUint64(blob[oldHead:], farAway)
	latest := uint64(0)
	for _, source := range slices.Sorted(maps.Keys(bySource)) {
		targets := bySource[source]
		for i := 0; i+8 <= len(targets); i += 8 {
			t := unbe(targets[i : i+8])
			at := int(oldHead + t*oldEntry)
			if need := at + oldEntry; len(blob) < need {
				blob = append(blob, make([]byte, need-len(blob))...)
			}
			binary.LittleEndian.PutUint64(blob[at:], source)
			copy(blob[at+8:at+40], make([]byte, 32))
			copy(blob[at+8:at+40], roots[t])
			latest = max(latest, t)
		}
	}
	binary.LittleEndian.PutUint64(blob, latest)
	return blob
}

func targetsDown(tx *bolt.Tx) error {
	for _, key := range keysOf(tx.Bucket(pubkeysBucket)) {
		if err := tx.Bucket(pubkeysBucket).Bucket(key).DeleteBucket(targetsBucket); err != nil {
			return errors.New("bucket not found")
		}
	}
	return tx.Bucket(migrationsBucket).Delete(migrationTargets)
}
