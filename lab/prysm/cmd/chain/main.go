// Command chain runs the lab's chain and its judge.
package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"eth2xk8s/lab/prysm/internal/chain"
	"eth2xk8s/lab/prysm/internal/wire"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "address to serve on")
	dir := flag.String("dir", "", "directory that keeps the chain's state (required)")
	slot := flag.Uint64("seconds-per-slot", 2, "length of a slot, for a new chain")
	epoch := flag.Uint64("slots-per-epoch", 8, "length of an epoch, for a new chain")
	genesis := flag.Int64("genesis", 0, "genesis time in Unix seconds, for a new chain (default: now)")
	root := flag.String("genesis-validators-root", "", "0x hex, for a new chain (default: random)")
	var o outside
	flag.StringVar(&o.engine, "engine", "", "address to serve an execution client's engine API on")
	flag.StringVar(&o.secret, "engine-secret-file", "", "file with the secret that it shares with beacon nodes")
	flag.StringVar(&o.provider, "provider", "", "address to serve a provider of checkpoints on, by TLS")
	flag.StringVar(&o.names, "provider-names", "", "its names, with commas between them")
	flag.Parse()
	if err := run(*listen, *dir, wire.Config{
		GenesisTime: *genesis, GenesisValidatorsRoot: *root, SecondsPerSlot: *slot, SlotsPerEpoch: *epoch,
	}, o); err != nil {
		fmt.Fprintln(os.Stderr, "chain:", err)
		os.Exit(1)
	}
}

// outside is what a site finds beside its chain.
type outside struct{ engine, secret, provider, names string }

// serve serves it until the process ends.
func (o outside) serve(c *chain.Chain, dir string, failed chan<- error) error {
	if o.engine != "" {
		text, err := os.ReadFile(o.secret)
		if err != nil {
			return err
		}
		secret, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(text)), "0x"))
		if err != nil || len(secret) != 32 {
			return fmt.Errorf("%s does not hold 64 hexadecimal digits", o.secret)
		}
		ln, err := net.Listen("tcp", o.engine)
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: c.Engine(secret, chain.Hoodi.ChainID), ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- srv.Serve(ln) }()
	}
	if o.provider != "" {
		certificate, authority, err := chain.Authority(strings.Split(o.names, ","))
		if err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/authority.pem", authority, 0o644); err != nil {
			return err
		}
		ln, err := tls.Listen("tcp", o.provider, &tls.Config{Certificates: []tls.Certificate{certificate}})
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: chain.Hoodi.Provider(), ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- srv.Serve(ln) }()
	}
	return nil
}

func run(listen, dir string, fresh wire.Config, o outside) error {
	if dir == "" || flag.NArg() > 0 || fresh.SecondsPerSlot == 0 || fresh.SlotsPerEpoch == 0 {
		return errors.New("usage: chain --dir DIR [--listen HOST:PORT] [--seconds-per-slot N] [--slots-per-epoch N] " +
			"[--genesis UNIX] [--genesis-validators-root 0x...]")
	}
	if fresh.GenesisValidatorsRoot != "" {
		if _, err := wire.Bytes(fresh.GenesisValidatorsRoot, 32); err != nil {
			return fmt.Errorf("--genesis-validators-root: %w", err)
		}
	}
	if fresh.GenesisTime == 0 {
		fresh.GenesisTime = time.Now().Unix()
	}
	// The address first: a second chain on the same address must not touch the first one's files.
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	c, err := chain.Open(dir, fresh)
	if err != nil {
		return err
	}
	fmt.Printf("chain: listening on %s, genesis %d, genesis_validators_root %s\n",
		ln.Addr(), c.Config.GenesisTime, c.Config.GenesisValidatorsRoot)
	srv := &http.Server{Handler: c.Handler(), ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	failed := make(chan error, 3)
	if err := o.serve(c, dir, failed); err != nil {
		return err
	}
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	quick, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	srv.Shutdown(quick)
	srv.Close()
	c.Close()
	return nil
}

func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(dir+"/lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another chain is running in %s", dir)
	}
	return f, nil
}
