// Package database is validator.db, the history of a client's signatures: what may be signed, Prysm's buckets and their
// migrations, and the interchange file (EIP-3076). Bucket names, layouts and every fault are those that the real releases
// were measured with (tests/fixtures/prysm, prysm-live).
package database

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/kv"
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

// File is the name of the database in its directory.
const File = "validator.db"

// Store is a validator.db, open and locked.
type Store struct {
	db      *bolt.DB
	release version.Release
}

// Open opens or makes validator.db in a directory and takes its lock, for which it waits one second.
func Open(dir string, v version.Release) (*Store, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	db, err := kv.Open(filepath.Join(dir, File), bolt.Options{InitialMmapSize: 512 << 20, FreelistType: bolt.FreelistArrayType})
	if err != nil {
		return nil, err
	}
	if err := db.Update(func(tx *bolt.Tx) error { return makeBuckets(tx, v) }); err != nil {
		db.Close()
		return nil, err
	}
	return New(db, v), nil
}

// New is a store over a file that is open already and has its buckets.
func New(db *bolt.DB, release version.Release) *Store { return &Store{db, release} }

// makeBuckets makes what a release wants to find in its database.
func makeBuckets(tx *bolt.Tx, v version.Release) error {
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
	for _, b := range buckets {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
	}
	if v.Before(1, 3, 4) {
		return nil
	}
	g := tx.Bucket(graffitiBucket)
	if g.Get([]byte("graffiti-ordered-index")) != nil {
		return nil
	}
	if err := g.Put([]byte("graffiti-ordered-index"), make([]byte, 8)); err != nil {
		return err
	}
	return g.Put([]byte("graffiti-file-hash"), make([]byte, 32))
}

// Find looks for validator.db in a directory and below.
func Find(dir string) (string, bool) {
	found := ""
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() == File && found == "" {
			found = filepath.Dir(path)
		}
		return nil
	})
	return found, found != ""
}

// Close gives the lock back.
func (s *Store) Close() error { return s.db.Close() }

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
