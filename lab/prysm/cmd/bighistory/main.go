// Bighistory writes a validator.db of many keys and epochs with the library Prysm itself uses: bbolt, one transaction
// for some epochs at a time, as a validator client would over the years. For benchmarks.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"log"

	bolt "go.etcd.io/bbolt"
)

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func sum(what string, numbers ...int) []byte {
	root := sha256.Sum256([]byte(fmt.Sprint(what, numbers)))
	return root[:]
}

func pubkey(n int) []byte {
	return append(sum("key", n), sum("rest", n)[:16]...)
}

var names = [][]byte{
	[]byte("attestation-history-bucket-interchange"), []byte("genesis-info-bucket"),
	[]byte("highest-signed-proposals-bucket"), []byte("lowest-signed-proposals-bucket"),
	[]byte("lowest-signed-source-bucket"), []byte("lowest-signed-target-bucket"), []byte("migrations"),
	[]byte("proposal-history-bucket-interchange"), []byte("pubkeys-bucket"), []byte("slashable-public-keys"),
}

func main() {
	path := flag.String("path", "", "the file to write")
	keys := flag.Int("keys", 10000, "keys")
	epochs := flag.Int("epochs", 512, "epochs that every key has voted in")
	batch := flag.Int("batch", 32, "epochs in a transaction")
	flag.Parse()
	log.SetFlags(0)
	db, err := bolt.Open(*path, 0o600, &bolt.Options{NoSync: true, NoGrowSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		log.Fatal(err)
	}
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	check(db.Update(func(tx *bolt.Tx) error {
		for _, name := range names {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		done := tx.Bucket([]byte("migrations"))
		check(done.Put([]byte("optimal_attester_protection_0"), []byte("done")))
		check(done.Put([]byte("source_target_epochs_bucket_0"), []byte("done")))
		return tx.Bucket([]byte("genesis-info-bucket")).Put([]byte("genesis-val-root"), sum("network"))
	}))
	for first := 0; first < *epochs; first += *batch {
		check(db.Update(func(tx *bolt.Tx) error {
			for key := range *keys {
				name := pubkey(key)
				parts := make([]*bolt.Bucket, 3)
				top, err := tx.Bucket([]byte("pubkeys-bucket")).CreateBucketIfNotExists(name)
				check(err)
				for i, part := range []string{"att-signing-roots-bucket", "att-source-epochs-bucket", "att-target-epochs-bucket"} {
					parts[i], err = top.CreateBucketIfNotExists([]byte(part))
					check(err)
				}
				for epoch := first; epoch < min(first+*batch, *epochs); epoch++ {
					source, target := be(uint64(300000+epoch)), be(uint64(300001+epoch))
					check(parts[0].Put(target, sum("vote", key, epoch)))
					check(parts[1].Put(source, target))
					check(parts[2].Put(target, source))
					if epoch == 0 {
						check(tx.Bucket([]byte("lowest-signed-source-bucket")).Put(name, source))
						check(tx.Bucket([]byte("lowest-signed-target-bucket")).Put(name, target))
					}
					if (epoch+key)%150 != 0 {
						continue
					}
					blocks, err := tx.Bucket([]byte("proposal-history-bucket-interchange")).CreateBucketIfNotExists(name)
					check(err)
					slot := be(uint64(32 * (300001 + epoch)))
					check(blocks.Put(slot, sum("block", key, epoch)))
					if low := tx.Bucket([]byte("lowest-signed-proposals-bucket")); low.Get(name) == nil {
						check(low.Put(name, slot))
					}
					check(tx.Bucket([]byte("highest-signed-proposals-bucket")).Put(name, slot))
				}
			}
			return nil
		}))
	}
	check(db.Sync())
	check(db.Close())
}
