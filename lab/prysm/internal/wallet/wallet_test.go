package wallet

import (
	"fmt"
	"strings"
	"testing"

	"eth2xk8s/lab/prysm/internal/fixture"
)

func TestWalletsOfAllVersionsOpen(t *testing.T) {
	for _, v := range fixture.Versions {
		w, err := Find(fixture.Wallet(t, v), fixture.Release(t, v))
		if err != nil {
			t.Fatal(err)
		}
		w.Password = string(fixture.Read(t, fixture.Password(t)))
		keys, err := w.Keys()
		if err != nil {
			t.Fatal(err)
		}
		secrets := map[string]string{}
		for _, k := range fixture.Keys(t) {
			secrets[k.Pubkey] = k.Secret
		}
		for _, k := range keys {
			if secrets[k.Pub()[2:]] != fmt.Sprintf("%x", k.Secret) {
				t.Errorf("%s: %s has another secret", v, k.Pub())
			}
			if derived, err := NewKey(k.Secret); err != nil || derived.Pub() != k.Pub() {
				t.Errorf("%s: %s is not the key of its secret", v, k.Pub())
			}
		}
		if len(keys) != len(secrets) {
			t.Errorf("%s: %d keys", v, len(keys))
		}
		w.Password = "wrong"
		if _, err := w.Keys(); err == nil || !strings.Contains(err.Error(), "wrong password for wallet entered: invalid checksum") {
			t.Errorf("%s: wrong password: %v", v, err)
		}
	}
}
