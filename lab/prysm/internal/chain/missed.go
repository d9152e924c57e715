package chain

import (
	"encoding/binary"

	"eth2xk8s/lab/prysm/internal/wire"
)

// Miss is a duty whose slot is over, and for which nobody has signed.
type Miss struct {
	Slot uint64 `json:"slot"`
	At   int64  `json:"at"` // when the slot began, in seconds of Unix
	Kind string `json:"kind"`
	Key  string `json:"key"`
}

// attesterSlot is the slot of an epoch in which a key attests.
func (c *Chain) attesterSlot(key string, epoch uint64) uint64 {
	spe := c.Config.SlotsPerEpoch
	return epoch*spe + binary.BigEndian.Uint64(hash("attester", key, epoch))%spe
}

// proposer is the key whose turn a slot is; empty when there is none. The turns are those of the keys there are now.
func (c *Chain) proposer(slot uint64) string {
	if slot == 0 || len(c.sorted) == 0 {
		return ""
	}
	return c.sorted[slot%uint64(len(c.sorted))]
}

// Missed are the duties of the slots from since on that were missed, by keys that are active now, each from the first
// slot on that it has signed in here. The slot that runs, and the one before it, may still be signed for.
func (c *Chain) Missed(since uint64) []Miss {
	now, _ := c.Slot()
	out := []Miss{}
	c.mu.Lock()
	defer c.mu.Unlock()
	miss := func(kind, key string, slot uint64) {
		at := c.Config.GenesisTime + int64(slot*c.Config.SecondsPerSlot)
		out = append(out, Miss{Slot: slot, At: at, Kind: kind, Key: key})
	}
	first := c.judge.first()
	for slot := since; slot+1 < now; slot++ {
		epoch := slot / c.Config.SlotsPerEpoch
		for _, key := range c.sorted {
			if began, ok := first[key]; !ok || slot < began {
				continue
			}
			k := c.judge.keys[key]
			if c.attesterSlot(key, epoch) == slot && len(k.votes[epoch]) == 0 {
				miss(wire.KindAttestation, key, slot)
			}
			if c.proposer(slot) == key && len(k.blocks[slot]) == 0 {
				miss(wire.KindBlock, key, slot)
			}
		}
	}
	return out
}

// first is the first slot that each key has signed in here.
func (j *Judge) first() map[string]uint64 {
	found := map[string]uint64{}
	for _, r := range j.records {
		if !r.Verified || r.Elsewhere {
			continue
		}
		if slot, ok := found[r.Key]; !ok || r.Slot < slot {
			found[r.Key] = r.Slot
		}
	}
	return found
}
