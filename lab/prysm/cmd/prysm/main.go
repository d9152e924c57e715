// Command prysm plays beacon-chain or validator, by the name it is called with.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"eth2xk8s/lab/prysm/internal/double"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name != "beacon-chain" && name != "validator" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if name != "beacon-chain" && name != "validator" {
		fmt.Fprintln(os.Stderr, "usage: PRYSM_VERSION=v7.1.6 PRYSM_CHAIN=http://host:port prysm beacon-chain|validator ...")
		os.Exit(64)
	}
	os.Exit(double.Main(name, args))
}
