// Package labtest is for tests that run the double as the program it is: the test binary plays it, alone or as beacon and
// clients on a chain of their own. It stands above every package of the double, so only their external tests can use it.
package labtest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/double"
	"eth2xk8s/lab/prysm/internal/freeport"
)

// Main makes a test binary also the program: started with PRYSM_TEST_PLAY it plays that binary.
func Main(m *testing.M) {
	if name := os.Getenv("PRYSM_TEST_PLAY"); name != "" {
		os.Exit(double.Main(name, os.Args[1:]))
	}
	// Most tests wait for slots to pass, not for the processor.
	flag.Parse()
	flag.Set("test.parallel", "12")
	os.Exit(m.Run())
}

// Result is what a command left behind.
type Result struct {
	Code     int
	Out, Err string
}

func (r Result) String() string { return fmt.Sprintf("exit %d\n%s\n%s", r.Code, r.Out, r.Err) }

// All is everything that it wrote.
func (r Result) All() string { return r.Out + r.Err }

// Program is a program of a version, on a chain.
func Program(version, binary, chain, home string, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = []string{"PRYSM_TEST_PLAY=" + binary, "PRYSM_VERSION=" + version, "PRYSM_CHAIN=" + chain, "HOME=" + home}
	return c
}

// Play runs a command to its end.
func Play(t *testing.T, version, binary string, args ...string) Result {
	t.Helper()
	c := Program(version, binary, "http://127.0.0.1:1", t.TempDir(), args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		c.Process.Kill()
		t.Fatalf("%s %v did not end: %s", version, args, errs.String())
	}
	return Result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// Validator runs a command of the validator client to its end.
func Validator(t *testing.T, version string, args ...string) Result {
	t.Helper()
	return Play(t, version, "validator", args...)
}

// Process is a daemon that a test started.
type Process struct {
	Log  bytes.Buffer
	Done chan struct{}
	t    *testing.T
	cmd  *exec.Cmd
}

// Daemon starts a program, and ends it with the test.
func Daemon(t *testing.T, c *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: c, Done: make(chan struct{})}
	c.Stdout, c.Stderr = &p.Log, &p.Log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.Wait(); close(p.Done) }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-p.Done
		if t.Failed() {
			t.Logf("%s\n%s", c.Args, p.Log.String())
		}
	})
	return p
}

// End sends a signal and waits; it returns the exit code.
func (p *Process) End(sig syscall.Signal, limit time.Duration) int {
	p.t.Helper()
	p.cmd.Process.Signal(sig)
	return p.Wait(limit)
}

// Wait waits for the end and returns the exit code.
func (p *Process) Wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.Done:
	case <-time.After(limit):
		p.t.Fatalf("%v is still running\n%s", p.cmd.Args, p.Log.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Short runs a daemon that is expected to end by itself.
func Short(t *testing.T, version, binary, chain string, args ...string) (int, string) {
	t.Helper()
	p := Daemon(t, Program(version, binary, chain, t.TempDir(), append([]string{
		"--accept-terms-of-use", fmt.Sprint("--monitoring-port=", freeport.Find(t)),
	}, args...)...))
	code := p.Wait(20 * time.Second)
	return code, p.Log.String()
}
