package params

import (
	"time"

	"eth2xk8s/lab/prysm/internal/wire"
)

// genesisOf says when the public test networks began. Without a flag a program stays on the chain's own slots.
var genesisOf = map[string]int64{"sepolia": 1655733600, "hoodi": 1742213400}

// Genesis is when a public network began, or 0 for one whose slots are not played.
func Genesis(network string) int64 { return genesisOf[network] }

// PublicSlot is the slot that a public network has now.
func PublicSlot(genesis int64) uint64 { return uint64(time.Now().Unix()-genesis) / 12 }

// SlotAt is the slot of a chain at some time; false before its genesis.
func SlotAt(c wire.Config, t time.Time) (uint64, bool) {
	d := t.Sub(time.Unix(c.GenesisTime, 0))
	if d < 0 || c.SecondsPerSlot == 0 {
		return 0, false
	}
	return uint64(d/time.Second) / c.SecondsPerSlot, true
}

// IsAddress tells whether a text is an address of the execution layer, such as a fee recipient.
func IsAddress(s string) bool {
	_, err := wire.Bytes(s, 20)
	return err == nil
}
