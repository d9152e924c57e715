// Package beacon is Prysm's beacon node: what it reads and takes when it starts, its database, its ports and its health.
// Flags, ports, files, messages and ends are those of each release (lab/prysm/README.md).
package beacon

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/blockchain"
	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/gateway"
	"eth2xk8s/lab/prysm/internal/kv"
	"eth2xk8s/lab/prysm/internal/monitor"
)

// DatabaseFile is where the database is, below --datadir.
const DatabaseFile = "beaconchaindata/beaconchain.db"

// Run follows the lab's chain until it is stopped.
func Run(c *cli.Context) error {
	metrics := monitor.NewMetrics()
	metrics.DefineVersion(c.Release)
	chain := blockchain.New(c, metrics)
	if err := checkFiles(c, chain); err != nil {
		return err
	}
	db, err := openFile(c)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := openDatabase(c, chain, db); err != nil {
		return err
	}
	if err := networkKeys(c); err != nil {
		return err
	}
	if c.Release.From(2, 1, 0) && !c.Flags.IsSet("suggested-fee-recipient") {
		c.Log.Warn("node", "In order to receive transaction fees from proposing blocks, you must provide flag "+
			"--suggested-fee-recipient with a valid ethereum address when starting your beacon node. Please see our "+
			"documentation for more information on this requirement "+
			"(https://docs.prylabs.network/docs/execution-node/fee-recipient).")
	}
	takePorts(c)
	if !c.Flags.Bool("disable-monitoring") {
		monitor.Serve(c.Log, c.Flags.String("monitoring-host", "127.0.0.1"), c.Flags.Int("monitoring-port", 8080), metrics, checks(c, chain))
	}
	if c.Release.Before(2, 0, 0) {
		go watchEth1(c, chain)
	} else if c.Release.From(3, 0, 0) {
		go watchEngine(c, chain)
	}
	serveRPC(c, gateway.New(c, chain))
	serveWeb(c, gateway.New(c, chain))
	follow(c, chain)
	return nil
}

// openFile takes the database and its lock.
func openFile(c *cli.Context) (*bolt.DB, error) {
	path := filepath.Join(c.DataDir(), DatabaseFile)
	dir := filepath.Dir(path)
	if c.Flags.Bool("force-clear-db") {
		c.Log.Warn("node", "Removing database")
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	c.Log.Info("node", "Checking DB", "database-path", dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := kv.Open(path, bolt.Options{})
	if err != nil {
		return nil, fmt.Errorf("could not create database: %w", err)
	}
	return db, nil
}

// serveRPC opens the port that validators use.
func serveRPC(c *cli.Context, g *gateway.Gateway) {
	mux := http.NewServeMux()
	g.Private(mux)
	address := net.JoinHostPort(c.Flags.String("rpc-host", "127.0.0.1"), strconv.Itoa(c.Flags.Int("rpc-port", 4000)))
	ln, err := net.Listen("tcp", address)
	if err != nil {
		c.Log.Error("rpc", fmt.Sprintf("Could not listen to port in Start() %s: %v", address, err))
		return
	}
	c.Log.Info("rpc", "gRPC server listening on port", "address", address)
	go http.Serve(ln, mux)
}

// serveWeb opens the port that operators and playbooks read, with what the release has there.
func serveWeb(c *cli.Context, g *gateway.Gateway) {
	v, name := c.Release, "grpc-gateway"
	if v.From(5, 1, 1) {
		name = "http"
	} else if c.Flags.Bool("disable-grpc-gateway") {
		return
	}
	host := c.Flags.String(name+"-host", "127.0.0.1")
	mux := http.NewServeMux()
	if v.Before(5, 1, 1) {
		g.Alpha(mux)
	}
	if v.From(2, 0, 0) {
		g.Standard(mux)
	}
	if v.From(3, 2, 1) {
		g.Private(mux)
	}
	serve(c, net.JoinHostPort(host, strconv.Itoa(c.Flags.Int(name+"-port", 3500))), mux)
	if v.From(1, 4, 1) && v.Before(2, 0, 0) {
		apart := http.NewServeMux()
		g.Standard(apart)
		serve(c, net.JoinHostPort(host, strconv.Itoa(c.Flags.Int("eth-api-port", 3501))), apart)
	}
}

func serve(c *cli.Context, address string, mux http.Handler) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		c.Log.Error("gateway", "Failed to listen and serve", "error", err)
		return
	}
	c.Log.Info("gateway", "Starting gRPC gateway", "address", address)
	go http.Serve(ln, mux)
}

// follow asks the chain twice a second how it stands, until the node is stopped.
func follow(c *cli.Context, chain *blockchain.Follower) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for first := true; ; first = false {
		chain.Poll(first)
		select {
		case <-c.Stop:
			c.Log.Info("node", "Got interrupt, shutting down...")
			c.Log.Info("node", "Stopping beacon node")
			return
		case <-tick.C:
		}
	}
}
