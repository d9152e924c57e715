package beacon

import (
	"fmt"
	"net"
	"strconv"

	"eth2xk8s/lab/prysm/internal/cli"
)

// takePorts takes the ports that real Prysm would take for its peers; there is nobody to talk to.
func takePorts(c *cli.Context) {
	host := c.Flags.String("p2p-local-ip", "0.0.0.0")
	port := c.Flags.Int("p2p-tcp-port", 13000)
	if ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
		c.Log.Error("p2p", "Failed to create p2p host", "error", err)
	} else {
		go hangUp(ln)
		c.Log.Info("p2p", "Node started p2p server", "multiAddr", fmt.Sprintf("/ip4/%s/tcp/%d", host, port))
	}
	udp := []int{c.Flags.Int("p2p-udp-port", 12000)}
	if c.Release.From(5, 2, 0) && !c.Flags.Bool("disable-quic") || c.Flags.Bool("enable-quic") {
		udp = append(udp, c.Flags.Int("p2p-quic-port", 13000))
	}
	for i, port := range udp {
		if i == 0 && c.Flags.Bool("no-discovery") {
			continue
		}
		if _, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
			c.Log.Error("p2p", "could not listen", "error", err)
		}
	}
}

// hangUp takes calls and ends them at once.
func hangUp(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		conn.Close()
	}
}
