package double

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/flags"
)

// The old form of a key's attestations (before v1.1.0) is one blob: the latest epoch written (8 bytes, little endian),
// then for each target epoch from 0 on 48 bytes: source (little endian), signing root, 8 unused bytes.
const (
	oldHead  = 8
	oldEntry = 48
	farAway  = ^uint64(0)
)

// MigrateUp brings an older schema up to this version's. Every start of the client does it.
func (s *Store) MigrateUp(a *App) error {
	if err := s.db.Update(optimalUp); err != nil {
		return err
	}
	if s.v.Before(1, 3, 0) {
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
	if s.v.Before(1, 3, 0) {
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
		pk, err := tx.Bucket(pubkeysBucket).CreateBucketIfNotExists(it.key)
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
		latest := binary.LittleEndian.Uint64(it.blob)
		for target := uint64(0); target <= latest; target++ {
			at := oldHead + target*oldEntry
			if uint64(len(it.blob)) < at+oldEntry {
				break
			}
			source := binary.LittleEndian.Uint64(it.blob[at:])
			if source == farAway {
				continue
			}
			// A put, not an append: of several targets with one source the last one stays, and targets
			// that were never voted for become votes with source 0. That is how it really is.
			if err := sources.Put(be(source), be(target)); err != nil {
				return err
			}
			if err := roots.Put(be(target), it.blob[at+8:at+40]); err != nil {
				return err
			}
		}
	}
	return done.Put(migrationOptimal, migrationDone)
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

func keysOf(b *bolt.Bucket) [][]byte {
	var out [][]byte
	b.ForEach(func(k, _ []byte) error {
		out = append(out, bytes.Clone(k))
		return nil
	})
	return out
}

func optimalDown(tx *bolt.Tx) error {
	done := tx.Bucket(migrationsBucket)
	if done.Get(migrationOptimal) == nil {
		return nil
	}
	keys := keysOf(tx.Bucket(pubkeysBucket))
	bySource := map[uint64][]byte{}
	roots := map[uint64][]byte{}
	for _, key := range keys {
		pk := tx.Bucket(pubkeysBucket).Bucket(key)
		sources, signing := pk.Bucket(sourcesBucket), pk.Bucket(rootsBucket)
		if sources == nil || signing == nil {
			return errors.New("bucket not found")
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
	var order []uint64
	for s := range bySource {
		order = append(order, s)
	}
	sort.Slice(order, func(i, j int) bool { return order[i] < order[j] })
	blob := make([]byte, oldHead+oldEntry)
	binary.LittleEndian.PutUint64(blob[oldHead:], farAway)
	latest := uint64(0)
	for _, source := range order {
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
	for _, key := range keys {
		if err := tx.Bucket(oldAttestationBucket).Put(key, blob); err != nil {
			return err
		}
	}
	return done.Delete(migrationOptimal)
}

func targetsDown(tx *bolt.Tx) error {
	for _, key := range keysOf(tx.Bucket(pubkeysBucket)) {
		if err := tx.Bucket(pubkeysBucket).Bucket(key).DeleteBucket(targetsBucket); err != nil {
			return errors.New("bucket not found")
		}
	}
	return tx.Bucket(migrationsBucket).Delete(migrationTargets)
}

func dbMigrate(a *App, fs *flags.Set, down bool) int {
	dir := fs.String("datadir", defaultDataDir())
	word := "up"
	if down {
		word = "down"
	}
	fatal := func(err error) int {
		a.Log.Fatal("db", fmt.Sprintf("Could not run database migration: %s: %v", word, err))
		return 1
	}
	if _, err := os.Stat(filepath.Join(dir, storeFile)); err != nil {
		return fatal(fmt.Errorf("no database file found in %s", dir))
	}
	a.Log.Info("db", "Opening DB")
	s, err := OpenStore(dir, a.V)
	if err != nil {
		return fatal(err)
	}
	defer s.Close()
	a.Log.Info("db", "Running migrations")
	if down {
		err = s.MigrateDown()
	} else {
		err = s.MigrateUp(a)
	}
	if err != nil {
		return fatal(err)
	}
	return 0
}

func dbRestore(a *App, fs *flags.Set, name string) int {
	source, dir := fs.String("restore-source-file", ""), fs.String("restore-target-dir", defaultDataDir())
	raw, err := os.ReadFile(source)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	target := filepath.Join(dir, name)
	if err == nil {
		if _, statErr := os.Stat(target); statErr == nil {
			var answer string
			fmt.Fprintf(a.Out, "A database file already exists in the target directory. Are you sure that you want to overwrite it? [Y/N]: ")
			if _, scan := fmt.Scanln(&answer); scan != nil {
				err = fmt.Errorf("could not read the answer: %w", scan)
			} else if answer != "y" && answer != "Y" {
				a.Log.Info("db", "Restore aborted")
				return 0
			}
		}
	}
	if err == nil {
		err = os.WriteFile(target, raw, 0o600)
	}
	if err != nil {
		a.Log.Fatal("db", fmt.Sprintf("Could not restore database: %v", err))
	}
	a.Log.Info("db", "Restore completed successfully")
	return 0
}
