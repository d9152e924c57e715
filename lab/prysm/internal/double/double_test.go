package double_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/freeport"
	"eth2xk8s/lab/prysm/internal/kv"
	"eth2xk8s/lab/prysm/internal/labtest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestMistakesOnTheCommandLine(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		r := labtest.Validator(t, v, "--no-such-flag")
		if r.Code != 0 || !strings.Contains(r.Out, "flag provided but not defined: -no-such-flag") || !strings.Contains(r.Out, "Incorrect Usage") {
			t.Errorf("unknown flag: %s", r)
		}
		r = labtest.Validator(t, v, "accounts", "list", "--no-such-flag")
		if r.Code != 0 || !strings.Contains(r.Out, "Incorrect Usage: flag provided but not defined") {
			t.Errorf("unknown flag of a sub-command: %s", r)
		}
		dir := t.TempDir()
		r = labtest.Validator(t, v, "db", "migrate", "down", "--datadir="+dir, "--accept-terms-of-use")
		if r.Code != 0 || !strings.Contains(r.All(), "not defined: -accept-terms-of-use") {
			t.Errorf("terms after db migrate: %s", r)
		}
		r = labtest.Validator(t, v, "accounts", "list", "--wallet-dir="+dir)
		if r.Code != 0 || !strings.Contains(r.Err, "could not scan text input") {
			t.Errorf("terms not accepted: %s", r)
		}
		// A sub-command that has a flag itself does not see what was given before it.
		r = labtest.Validator(t, v, "--accept-terms-of-use", "accounts", "list", "--wallet-dir="+dir)
		if r.Code != 0 || !strings.Contains(r.Err, "could not scan text input") {
			t.Errorf("terms before the sub-command: %s", r)
		}
		if fixture.Release(t, v).From(1, 4, 1) {
			r = labtest.Validator(t, v, "--accept-terms-of-use", "--datadir="+dir, "stray")
			if r.Code != 0 || !strings.Contains(r.Err, "unrecognized argument: stray") {
				t.Errorf("stray argument: %s", r)
			}
		}
		if fixture.Release(t, v).From(5, 3, 2) {
			r = labtest.Validator(t, v, "--accept-terms-of-use", "--datadir="+dir, "--hoodi", "--sepolia")
			if r.Code != 0 || !strings.Contains(r.Err, "cannot use more than one network flag") {
				t.Errorf("two networks: %s", r)
			}
		}
	})
}

func TestConfigFileThatIsMissing(t *testing.T) {
	r := labtest.Validator(t, "v7.1.6", "--config-file="+filepath.Join(t.TempDir(), "c.yaml"))
	if r.Code != 0 || !strings.Contains(r.Err, "Unable to create input source") {
		t.Fatal(r)
	}
}

func TestStartsThatFail(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		late := 0 // errors of the start
		if fixture.Release(t, v).From(3, 2, 1) {
			late = 1
		}
		dir := t.TempDir()
		common := []string{"--accept-terms-of-use", "--datadir=" + dir, "--monitoring-port=0", "--beacon-rpc-provider=127.0.0.1:1"}
		w := fixture.Wallet(t, v)
		with := func(args ...string) []string { return append(append([]string{}, common...), args...) }
		if fixture.Release(t, v).Before(6, 0, 0) {
			r := labtest.Validator(t, v, with("--wallet-dir="+dir+"/none")...)
			if r.Code != late || !strings.Contains(r.Err, "no wallet found") {
				t.Errorf("no wallet: %s", r)
			}
		}
		r := labtest.Validator(t, v, with("--wallet-dir="+w, "--wallet-password-file="+dir+"/none")...)
		if r.Code != late || !strings.Contains(r.Err, "no such file") {
			t.Errorf("no password file: %s", r)
		}
		s := labtest.Open(t, dir, v)
		defer s.Close()
		r = labtest.Validator(t, v, with("--wallet-dir="+w, "--wallet-password-file="+fixture.Password(t))...)
		if r.Code != late || !strings.Contains(r.Err, kv.ErrLocked.Error()) {
			t.Errorf("locked: %s", r)
		}
		r = labtest.Play(t, v, "beacon-chain", "--accept-terms-of-use", "--datadir="+dir, "--chain-config-file="+dir+"/none")
		if want := max(late, map[bool]int{true: 1}[fixture.Release(t, v).Before(3, 0, 0)]); r.Code != want {
			t.Errorf("no chain config: %s", r)
		}
		if fixture.Release(t, v).From(2, 1, 0) {
			r = labtest.Play(t, v, "beacon-chain", "--accept-terms-of-use", "--datadir="+dir, "--jwt-secret="+dir+"/none")
			if r.Code != late || !strings.Contains(r.Err, "JWT secret") {
				t.Errorf("no JWT: %s", r)
			}
		}
	})
}

func TestADebugLogLiesBesideTheDatabase(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6")
	for _, c := range []struct {
		version string
		flags   []string
		written bool
	}{
		{"v7.1.2", nil, false}, {"v7.1.3", nil, true}, {"v7.1.6", nil, true}, {"v7.1.6", []string{"--disable-ephemeral-log-file"}, false},
	} {
		data := t.TempDir()
		p, _ := l.Validator(c.version, data, labtest.SmallWallet(t, 1), c.flags...)
		labtest.Until(t, "it runs", func() bool { return fixture.Exists(filepath.Join(data, database.File)) })
		p.End(syscall.SIGTERM, 10*time.Second)
		if fixture.Exists(filepath.Join(data, "logs", "validator.log")) != c.written {
			t.Errorf("%s %v", c.version, c.flags)
		}
	}
	if !fixture.Exists(filepath.Join(l.BeaconData, "logs", "beacon-chain.log")) {
		t.Error("no log of the beacon")
	}
}

// A program that is exec'd with a lock in an inherited descriptor keeps it for as long as it lives.
func TestAnInheritedLockIsKept(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6")
	for _, binary := range []string{"validator", "beacon-chain"} {
		path := filepath.Join(t.TempDir(), ".validator-lock")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		data := t.TempDir()
		c := labtest.Program("v7.1.6", binary, l.URL, data, "--accept-terms-of-use", "--datadir="+data, "--wallet-dir="+labtest.SmallWallet(t, 1),
			"--wallet-password-file="+fixture.Password(t), fmt.Sprint("--beacon-rpc-provider=127.0.0.1:", l.RPC),
			fmt.Sprint("--monitoring-port=", freeport.Find(t)))
		if binary == "beacon-chain" {
			c.Args = append(c.Args[:1], "--accept-terms-of-use", "--datadir="+data, fmt.Sprint("--rpc-port=", freeport.Find(t)),
				fmt.Sprint("--http-port=", freeport.Find(t)), fmt.Sprint("--monitoring-port=", freeport.Find(t)),
				"--p2p-local-ip=127.0.0.1", fmt.Sprint("--p2p-tcp-port=", freeport.Find(t)), fmt.Sprint("--p2p-udp-port=", freeport.Find(t)))
		}
		c.ExtraFiles = []*os.File{f}
		p := labtest.Daemon(t, c)
		f.Close()
		free := func() bool {
			g, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			return syscall.Flock(int(g.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
		}
		for range 30 {
			if free() {
				t.Fatalf("%s let the lock go", binary)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if code := p.End(syscall.SIGTERM, 10*time.Second); code != 0 || !free() {
			t.Errorf("%s: exit %d, lock free %v", binary, code, free())
		}
	}
}
