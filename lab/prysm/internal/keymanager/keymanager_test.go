package keymanager_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/labtest"
	"eth2xk8s/lab/prysm/internal/wallet"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestHotReload(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v1.3.4")
	data, w := t.TempDir(), labtest.SmallWallet(t, 1)
	p, _ := l.Validator("v1.3.4", data, w)
	l.More(2)
	opened, _ := wallet.Find(w, fixture.Release(t, "v1.3.4"))
	opened.Password = string(fixture.Read(t, fixture.Password(t)))
	if err := opened.Write(labtest.SomeKeys(t, 3)); err != nil {
		t.Fatal(err)
	}
	labtest.Until(t, "new keys sign", func() bool { return len(l.Judge().Keys) == 3 })
	// A key taken away stops, and its label stays.
	if err := opened.Write(labtest.SomeKeys(t, 1)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond)
	gone := labtest.SomeKeys(t, 2)[1].Pub()
	n := *l.Judge().Keys[gone]
	l.More(4)
	if m := *l.Judge().Keys[gone]; m.Attestations != n.Attestations || m.Blocks != n.Blocks {
		t.Error("a key that was taken away signed")
	}
	// Replacing the file by a rename ends the watch.
	path := opened.Path()
	os.Rename(path, path+".old")
	if err := opened.Write(labtest.SomeKeys(t, 3)); err != nil {
		t.Fatal(err)
	}
	p.End(syscall.SIGTERM, 10*time.Second)
	if !strings.Contains(p.Log.String(), "Reloaded validator keys into keymanager") {
		t.Error(p.Log.String())
	}
	l.NoOffence()
}
