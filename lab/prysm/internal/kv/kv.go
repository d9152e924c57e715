// Package kv opens bbolt files as both of Prysm's programs do: with a lock, for which they wait one second.
package kv

import (
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrLocked is what both programs say when somebody else has the file.
var ErrLocked = errors.New("cannot obtain database lock, database may be in use by another process")

// Open opens or makes a file and takes its lock.
func Open(path string, options bolt.Options) (*bolt.DB, error) {
	options.Timeout = time.Second
	db, err := bolt.Open(path, 0o600, &options)
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, ErrLocked
	}
	return db, err
}
