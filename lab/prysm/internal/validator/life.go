package validator

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/wire"
)

// live is the life of the client; it ends by itself only by a failure.
func (cl *client) live(ctx context.Context) (code int, end bool) {
	v, log := cl.cli.Release, cl.cli.Log
	if v.Before(6, 0, 0) && cl.noWallet == nil {
		if err := cl.keys.Load(cl.interop); err != nil {
			return cl.startFailure("Wallet is not ready", err), true
		}
	}
	log.Info(cl.prefix, "Waiting for beacon chain start log from the ETH 2.0 deposit contract")
	if !cl.waitForBeacon(ctx) {
		return 0, ctx.Err() == nil
	}
	log.Info(cl.prefix, "Beacon chain started", "genesisTime", time.Unix(cl.config.GenesisTime, 0).UTC().Format(time.RFC3339))
	if what, err := cl.checkGenesis(); err != nil {
		return cl.startFailure(what, err), true
	}
	switch {
	case cl.noWallet == nil && v.From(6, 0, 0):
		if err := cl.keys.Load(cl.interop); err != nil {
			return cl.startFailure("Wallet is not ready", err), true
		}
	case cl.noWallet != nil && v.From(6, 0, 0) && hasAPI(cl.cli):
		if !cl.waitForWallet(ctx) {
			return 0, false
		}
	case cl.noWallet != nil:
		return cl.startFailure("Wallet is not ready", cl.noWallet), true
	}
	if !cl.interop && cl.keys.Wallet() != nil {
		cl.start(func() { cl.keys.Watch(ctx) })
	}
	if err := cl.keys.ReadBlacklist(); err != nil {
		return cl.startFailure("Could not read slashable public keys from disk", err), true
	}
	keys := cl.keys.Public()
	if len(keys) == 0 {
		log.Warn(cl.prefix, "No validating keys in the wallet; waiting for some")
	}
	if slot, _ := params.SlotAt(cl.config, time.Now()); v.From(1, 4, 1) && cl.cli.Flags.Bool("enable-doppelganger") &&
		slot/cl.config.SlotsPerEpoch >= cl.chain.altair {
		if err := cl.doppelganger(ctx, keys); err != nil {
			return cl.startFailure("Could not succeed with doppelganger check", err), true
		}
	}
	newSchedule(cl.session).run(ctx)
	return 0, false
}

// startFailure is an error after the node was built, which every version ends in its own way.
func (cl *client) startFailure(what string, err error) int {
	if cl.cli.Release.From(7, 0, 0) {
		cl.cli.Log.Error(cl.prefix, "Could not create validator runner", "error", err)
		return 0
	}
	cl.cli.Log.LastWords(cl.prefix, what, "error", err)
	return 1
}

// checkGenesis holds the chain against the one that the database was made for, and keeps that one for ever.
func (cl *client) checkGenesis() (what string, err error) {
	root, err := wire.Bytes(cl.config.GenesisValidatorsRoot, 32)
	if err != nil {
		return "Could not determine if beacon chain started", err
	}
	have, err := cl.store.GenesisRoot()
	if err == nil && len(have) > 0 && string(have) != string(root) {
		text := fmt.Sprintf("The genesis validators root received from the beacon node does not match what is in your validator database. "+
			"This could indicate that this is a database meant for another network. If you were previously running this validator "+
			"database on another network, please run --clear-db to clear the database. If not, please file an issue at "+
			"https://github.com/prysmaticlabs/prysm/issues: genesis validators root from beacon node (%#x) does not match "+
			"root saved in validator db (%#x)", root, have)
		return "Could not determine if beacon chain started", errors.New(text)
	}
	if err == nil {
		err = cl.store.SaveGenesisRoot(root)
	}
	return "Could not save genesis validators root", err
}

// waitForWallet waits for a wallet that somebody makes over the API. It says false when it gives up.
func (cl *client) waitForWallet(ctx context.Context) bool {
	cl.cli.Log.Info(cl.prefix, "Waiting for keymanager to initialize validator client with web UI or /v2/validator/wallet/create REST api")
	for cl.keys.Wallet() == nil {
		select {
		case <-ctx.Done():
			return false
		case <-cl.keys.Changed():
		}
	}
	return true
}

// waitForBeacon waits until a beacon is there, past genesis and in sync. It says false when it gives up.
func (cl *client) waitForBeacon(ctx context.Context) bool {
	log := cl.cli.Log
	limit := cl.cli.Flags.Int("max-health-checks", 0)
	failed, told := 0, ""
	for {
		var st wire.BeaconStatus
		err := cl.beacons.ask(ctx, "GET", "/lab/status", nil, &st)
		say, pause := cl.waitsFor(&st), 500*time.Millisecond
		switch {
		case err != nil:
			failed++
			pause = time.Second
			say = "Could not reach the beacon node: " + err.Error()
			if cl.cli.Release.From(6, 1, 0) {
				say = "Validator service health check failed, waiting for a healthy beacon node"
				if limit > 0 {
					pause = 6 * time.Second
				}
			}
		case say == "":
			cl.config = st.Config
			cl.reached.Store(true)
			return true
		default:
			failed = 0
			if st.Started && !st.Synced {
				cl.beacons.unsynced()
			}
		}
		if say != told {
			log.Warn(cl.prefix, say)
			told = say
		}
		if limit > 0 && failed > limit {
			log.Error(cl.prefix, "Reached maximum number of health checks, shutting down", "maxHealthChecks", limit)
			return false
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// waitsFor is what a beacon that answers lacks, or "".
func (cl *client) waitsFor(st *wire.BeaconStatus) string {
	switch {
	case st.Network != cl.network || cl.chain.slotLen != "" && cl.chain.slotLen != strconv.FormatUint(st.Config.SecondsPerSlot, 10):
		// Real ones do not notice: they sign for another fork version, or at other times, and nothing is accepted.
		return fmt.Sprintf("This client's network (%s) is not its beacon node's (%s)", cl.network, st.Network)
	case !st.Started:
		return "Waiting for the genesis of the chain"
	case !st.Synced:
		return "Waiting for beacon node to sync to latest chain head"
	}
	return ""
}

// doppelganger ends the client if somebody else was seen signing with its keys.
func (cl *client) doppelganger(ctx context.Context, keys []string) error {
	log := cl.cli.Log
	log.Info(cl.prefix, "Running doppelganger check")
	slot, _ := params.SlotAt(cl.config, time.Now())
	epoch := slot / cl.config.SlotsPerEpoch
	var ask []string
	for _, pub := range keys {
		raw, _ := wire.Bytes(pub, 48)
		d, err := cl.store.Digest(raw)
		if err != nil {
			return err
		}
		if d.HighestTarget >= 0 && uint64(d.HighestTarget)+2 >= epoch {
			continue // it signed here a moment ago
		}
		ask = append(ask, pub)
	}
	var found []string
	for back := uint64(0); back <= 2 && back <= epoch && len(ask) > 0; back++ {
		live := map[string]bool{}
		for {
			err := cl.beacons.ask(ctx, "POST", "/lab/liveness", wire.LivenessRequest{Epoch: epoch - back, Keys: ask}, &live)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			time.Sleep(500 * time.Millisecond)
		}
		for _, pub := range ask {
			if live[pub] {
				found = append(found, pub)
			}
		}
	}
	if len(found) > 0 {
		sort.Strings(found)
		return fmt.Errorf("Duplicate instances exists in the network for validator keys: %s", strings.Join(found, ", "))
	}
	log.Info(cl.prefix, "Doppelganger check complete")
	return nil
}

// sleep waits; it says false when the client is to end.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
