package beacon

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/blockchain"
	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/version"
)

// What this program keeps of a beacon's database besides: which releases it has met, and how it began.
const (
	metaBucket  = "lab"
	metaBegun   = "begun by"
	metaNewest  = "newest"
	metaEpoch   = "begun in epoch"
	metaGenesis = "genesis"
	metaOrigin  = "origin"
	metaIndex   = "index repaired"
)

var errIndex = errors.New("unable to decode finalized block root container for " +
	"root=0x70726576696f75732d66696e616c697a65642d636865636b706f696e74: snappy: corrupt input")

// origin is how a database began and who had it since.
type origin struct {
	cli   *cli.Context
	chain *blockchain.Follower
	meta  map[string]string
	fresh bool
}

// openDatabase does with a database what the release does with one of another release, and begins a new one.
func openDatabase(c *cli.Context, chain *blockchain.Follower, db *bolt.DB) error {
	o := &origin{cli: c, chain: chain, meta: map[string]string{}}
	if err := o.read(db); err != nil {
		return err
	}
	if err := o.upgrade(); err != nil {
		return err
	}
	if err := o.begin(); err != nil {
		return err
	}
	return o.write(db)
}

func (o *origin) read(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		if bucket := tx.Bucket([]byte(metaBucket)); bucket != nil {
			return bucket.ForEach(func(k, val []byte) error { o.meta[string(k)] = string(val); return nil })
		}
		return nil
	})
}

// upgrade is what a release says to a database of another one.
func (o *origin) upgrade() error {
	v := o.cli.Release
	o.fresh = o.meta[metaBegun] == ""
	now := o.chain.EpochOfChain()
	if o.fresh {
		o.meta[metaBegun], o.meta[metaEpoch] = v.Text, strconv.FormatUint(now, 10)
	}
	begun, _ := version.Parse(o.meta[metaBegun])
	newest, err := version.Parse(o.meta[metaNewest])
	if err != nil {
		newest = begun
	}
	if newest.From(5, 0, 0) && v.Before(4, 2, 2) {
		if v.Before(4, 2, 0) {
			fmt.Fprint(os.Stderr, "panic: runtime error: invalid memory address or nil pointer dereference\n"+
				"[signal SIGSEGV: segmentation violation code=0x1 addr=0x28 pc=0x0]\n\ngoroutine 1 [running]:\n"+
				"github.com/prysmaticlabs/prysm/shared/trieutil.CreateTrieFromProto(...)\n"+
				"\tbeacon-chain/powchain/service.go:229\n")
			os.Exit(2)
		}
		return errors.New("trying to use old deposit trie after migration to the new trie. " +
			"Run with the --enable-eip-4881 flag to resume normal operations.")
	}
	if v.From(5, 0, 3) && begun.Before(5, 0, 3) && o.meta[metaIndex] == "" {
		// The repair reads the index of the last ten epochs, and in a young database what is beyond.
		if first, err := strconv.ParseUint(o.meta[metaEpoch], 10, 64); err != nil || now < first+10 {
			o.cli.Log.Error("db", "could not run finalized parent root index repair migration", "error", errIndex)
			return fmt.Errorf("unable to start beacon node: could not start DB: %w", errIndex)
		}
		o.meta[metaIndex] = "done"
	}
	if newest.Compare(v) < 0 || o.meta[metaNewest] == "" {
		o.meta[metaNewest] = v.Text
	}
	return nil
}

// begin is where a database gets its first state from: only mainnet's genesis comes with the program.
func (o *origin) begin() error {
	flags, log := o.cli.Flags, o.cli.Log
	given := flags.String("checkpoint-sync-url", "")
	var unreachable error
	switch {
	case o.meta[metaOrigin] != "" && given != "":
		log.Warn("node", "Origin checkpoint found in the database, ignoring checkpoint sync flags")
		given = ""
	case given != "":
		unreachable = o.reach(given)
	}
	switch params.Network(o.cli) {
	case "mainnet", "custom":
	default:
		source := flags.String("genesis-beacon-api-url", given)
		has := o.meta[metaGenesis] != "" || flags.String("genesis-state", "") != "" ||
			flags.String("checkpoint-state", "") != "" || source != "" && o.reach(source) == nil
		switch {
		case has:
		case o.cli.Release.From(6, 1, 0):
			return errors.New("unable to start beacon node: could not initialize genesis state: new genesis data: " +
				"genesis state has not been initialized")
		default:
			o.chain.NeverSyncs() // it waits for deposits in a contract that nobody reads any more
			return nil
		}
	}
	if unreachable != nil {
		log.Error("node", "Error retrieving checkpoint origin state and block", "error", unreachable)
		return fmt.Errorf("unable to start beacon node: error retrieving checkpoint origin state and block: %w", unreachable)
	}
	o.meta[metaGenesis] = "known"
	if given != "" && o.fresh {
		o.meta[metaOrigin] = given
	}
	return nil
}

// reach tells whether a beacon API answers there.
func (o *origin) reach(base string) error {
	path := "/eth/v1/beacon/genesis"
	// Public providers serve https, to which no way leads from here: the chain stands in for them.
	if strings.HasPrefix(base, "https://") {
		base, path = o.cli.Chain, "/head"
	}
	client := &http.Client{Timeout: 3 * time.Second}
	res, err := client.Get(strings.TrimRight(base, "/") + path)
	if err != nil {
		return err
	}
	res.Body.Close()
	return nil
}

func (o *origin) write(db *bolt.DB) error {
	return db.Update(func(tx *bolt.Tx) error {
		// What Prysm itself keeps of how it began.
		blocks, err := tx.CreateBucketIfNotExists([]byte("blocks"))
		if err == nil && o.meta[metaGenesis] != "" {
			err = blocks.Put([]byte("head-root"), make([]byte, 32))
		}
		if err == nil && o.meta[metaOrigin] != "" {
			err = blocks.Put([]byte("origin-checkpoint-block-root"), make([]byte, 32))
		}
		if err != nil {
			return err
		}
		bucket, err := tx.CreateBucketIfNotExists([]byte(metaBucket))
		for k, val := range o.meta {
			if err == nil {
				err = bucket.Put([]byte(k), []byte(val))
			}
		}
		return err
	})
}
