package database

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

func hasRoot(r []byte) bool { return len(r) == 32 && !bytes.Equal(r, make([]byte, 32)) }

// rootsDiffer is Prysm's rule: a missing root differs from everything.
func rootsDiffer(a, b []byte) bool { return !hasRoot(a) || !bytes.Equal(a, b) }

// slashable says why a vote must not be signed, or "".
func slashable(tx *bolt.Tx, key []byte, a Vote) string {
	if why := slashableAmong(votes(tx, key), rootAt(tx, key, a.Target), a); why != "" {
		return why
	}
	for _, o := range votesByTarget(tx, key) {
		if o.Source < a.Source && o.Target > a.Target {
			return surroundedText(a, o)
		}
	}
	return ""
}

func surroundedText(a, o Vote) string {
	return fmt.Sprintf("attestation with (source %d, target %d) is surrounded by another with (source %d, target %d)",
		a.Source, a.Target, o.Source, o.Target)
}

func slashableAmong(have []Vote, existing []byte, a Vote) string {
	if existing != nil && rootsDiffer(existing, a.Root) {
		return fmt.Sprintf("double vote found, existing attestation at target epoch %d with conflicting signing root %#x",
			a.Target, existing)
	}
	for _, o := range have {
		if o.Target == a.Target && existing == nil && rootsDiffer(o.Root, a.Root) {
			return fmt.Sprintf("double vote found, existing attestation at target epoch %d with conflicting signing root %#x",
				a.Target, o.Root)
		}
		if a.Source < o.Source && a.Target > o.Target {
			return fmt.Sprintf("attestation with (source %d, target %d) surrounds another with (source %d, target %d)",
				a.Source, a.Target, o.Source, o.Target)
		}
		if o.Source < a.Source && o.Target > a.Target {
			return surroundedText(a, o)
		}
	}
	return ""
}

// Refusal is a duty that the client's own protection does not let through.
type Refusal struct{ msg string }

func (r Refusal) Error() string { return r.msg }

// CheckAndSaveVote refuses a slashable vote and otherwise keeps it, synced, before it may be signed.
func (s *Store) CheckAndSaveVote(key []byte, a Vote) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if low := tx.Bucket(lowestSourceBucket).Get(key); low != nil && a.Source < unbe(low) {
			return Refusal{fmt.Sprintf("could not sign attestation lower than lowest source epoch in db, %d < %d", a.Source, unbe(low))}
		}
		differ := rootsDiffer(rootAt(tx, key, a.Target), a.Root)
		if low := tx.Bucket(lowestTargetBucket).Get(key); low != nil && differ && a.Target <= unbe(low) {
			return Refusal{fmt.Sprintf("could not sign attestation lower than or equal to lowest target epoch in db, %d <= %d",
				a.Target, unbe(low))}
		}
		if why := slashable(tx, key, a); why != "" {
			return Refusal{"attempted to make slashable attestation, rejected by local slashing protection: " + why}
		}
		return saveVote(tx, key, a, s.release)
	})
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
			return Refusal{"attempted to sign a double proposal, block rejected by local protection"}
		}
		if low := tx.Bucket(lowestBlockBucket).Get(key); low != nil && differ && unbe(low) >= slot {
			return Refusal{fmt.Sprintf("could not sign block with slot <= lowest signed slot in db, lowest signed slot: %d >= block slot: %d",
				unbe(low), slot)}
		}
		return saveBlock(tx, key, slot, root)
	})
}
