// Package freeport finds ports for the daemons of tests.
package freeport

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// Below the range from which Linux takes the ports of outgoing connections (ip_local_port_range): one from there can be
// taken again before the daemon listens.
const lowest, count = 20000, 12000

var next atomic.Uint32

// Find is a port that nobody has and that this process has not found before.
func Find(t testing.TB) int {
	t.Helper()
	for range count {
		port := lowest + (uint32(os.Getpid())*997+next.Add(1))%count
		address := fmt.Sprintf("127.0.0.1:%d", port)
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		tcp.Close()
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		udp.Close()
		return int(port)
	}
	t.Fatal("no port is free")
	return 0
}
