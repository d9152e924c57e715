package wallet

import (
	"crypto/sha256"
	"encoding/hex"
	"math/big"

	"eth2xk8s/lab/prysm/internal/wire"
)

// Key is one account.
type Key struct {
	Secret []byte
	Public []byte
}

// NewKey is the key of a secret.
func NewKey(secret []byte) (Key, error) {
	pub, err := wire.PublicKey(secret)
	return Key{secret, pub}, err
}

// Pub is the public key in 0x hex.
func (k Key) Pub() string { return "0x" + hex.EncodeToString(k.Public) }

// InteropKey makes the well-known test key of a number.
func InteropKey(i uint64) (Key, error) {
	le := make([]byte, 32)
	for n := range 8 {
		le[n] = byte(i >> (8 * n))
	}
	h := sha256.Sum256(le)
	for l, r := 0, 31; l < r; l, r = l+1, r-1 {
		h[l], h[r] = h[r], h[l]
	}
	order, _ := new(big.Int).SetString("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)
	return NewKey(new(big.Int).Mod(new(big.Int).SetBytes(h[:]), order).FillBytes(make([]byte, 32)))
}
