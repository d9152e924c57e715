package beacon

import (
	"errors"

	"eth2xk8s/lab/prysm/internal/blockchain"
	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/monitor"
)

// checks are the services that /healthz lists, in its order.
func checks(c *cli.Context, chain *blockchain.Follower) []monitor.Check {
	ok := func() error { return nil }
	execution := monitor.Check{Name: "*execution.Service", Err: ok}
	if c.Release.Before(3, 0, 0) {
		execution = monitor.Check{Name: "*powchain.Service", Err: chain.Eth1}
	}
	return []monitor.Check{
		{Name: "*p2p.Service", Err: ok},
		execution,
		{Name: "*blockchain.Service", Err: func() error {
			if chain.Optimistic() {
				return errors.New("service is optimistic, and only limited service functionality is provided " +
					"please check if execution layer is fully synced")
			}
			if !chain.Sync().Started {
				return errors.New("genesis state has not been created")
			}
			return nil
		}},
		{Name: "*initialsync.Service", Err: func() error {
			if s := chain.Sync(); s.Started && s.Syncing {
				return errors.New("syncing")
			}
			return nil
		}},
		{Name: "*sync.Service", Err: ok},
		{Name: "*rpc.Service", Err: func() error {
			if chain.Optimistic() {
				return errors.New("service is optimistic, validators can't perform duties " +
					"please check if execution layer is fully synced")
			}
			if !chain.Sync().Ready() {
				return errors.New("syncing")
			}
			return nil
		}},
	}
}
