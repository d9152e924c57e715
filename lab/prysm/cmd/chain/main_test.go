package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/freeport"
	"eth2xk8s/lab/prysm/internal/wire"
)

// The test binary is also the program.
func TestMain(m *testing.M) {
	if os.Getenv("CHAIN_TEST_PLAY") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), "CHAIN_TEST_PLAY=1")
	out := &bytes.Buffer{}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c, out
}

func freeAddress(t *testing.T) string {
	return fmt.Sprintf("127.0.0.1:%d", freeport.Find(t))
}

func get(t *testing.T, url string, out any) bool {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
	return true
}

func waitFor(t *testing.T, url string, out any) {
	t.Helper()
	for range 200 {
		if get(t, url, out) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not answer", url)
}

// Whatever was answered is still there after kill -9, and so are genesis and the judge's numbers.
func TestNothingAnsweredIsForgotten(t *testing.T) {
	dir, addr := t.TempDir(), freeAddress(t)
	c, _ := start(t, "--listen", addr, "--dir", dir, "--genesis", "1700000000")
	var conf, again wire.Config
	waitFor(t, "http://"+addr+"/config", &conf)
	if conf.GenesisTime != 1700000000 || conf.SecondsPerSlot != 2 || conf.SlotsPerEpoch != 8 {
		t.Fatalf("%+v", conf)
	}
	secret := sha256.Sum256([]byte("k"))
	secret[0] &= 0x3f
	pub, err := wire.PublicKey(secret[:])
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1000)
	go func() {
		defer close(answered)
		for n := 0; ; n++ {
			s := wire.Submission{
				Kind: wire.KindBlock, Key: wire.Hex(pub), Slot: uint64(n), Root: wire.Hex(bytes.Repeat([]byte{7}, 32)), Client: "c",
				Digest: &wire.Digest{HighestSlot: int64(n) - 1, HighestSource: -1, HighestTarget: -1, Blocks: n},
			}
			if s.Sign(secret[:], conf.GenesisValidatorsRoot) != nil {
				return
			}
			raw, _ := json.Marshal(s)
			res, err := http.Post("http://"+addr+"/submit", "application/json", bytes.NewReader(raw))
			if err != nil {
				return
			}
			res.Body.Close()
			if res.StatusCode == 200 {
				answered <- n
			}
		}
	}()
	time.Sleep(700 * time.Millisecond)
	c.Process.Kill()
	c.Wait()
	count := 0
	for range answered {
		count++
	}
	if count == 0 {
		t.Fatal("nothing was answered")
	}
	start(t, "--listen", addr, "--dir", dir, "--seconds-per-slot", "12")
	waitFor(t, "http://"+addr+"/config", &again)
	if again != conf {
		t.Errorf("%+v after the restart, %+v before", again, conf)
	}
	var rep struct {
		Signatures int
		Offences   []any
	}
	get(t, "http://"+addr+"/judge", &rep)
	if rep.Signatures < count || len(rep.Offences) != 0 {
		t.Errorf("%d signatures answered; after the restart %+v", count, rep)
	}
}

func TestOneChainADirectoryAndAnAddress(t *testing.T) {
	dir, addr := t.TempDir(), freeAddress(t)
	c, _ := start(t, "--listen", addr, "--dir", dir)
	var conf wire.Config
	waitFor(t, "http://"+addr+"/config", &conf)
	for want, args := range map[string][]string{
		"another chain is running in": {"--listen", freeAddress(t), "--dir", dir},
		"address already in use":      {"--listen", addr, "--dir", t.TempDir()},
		"usage: chain":                {"--listen", freeAddress(t)},
	} {
		second, out := start(t, args...)
		if err := second.Wait(); err == nil || !strings.Contains(out.String(), want) {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	c.Process.Signal(os.Interrupt)
	if err := c.Wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if fmt.Sprint(conf.GenesisValidatorsRoot) == "" {
		t.Error("no root")
	}
}
