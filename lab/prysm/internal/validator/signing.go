package validator

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/wallet"
	"eth2xk8s/lab/prysm/internal/wire"
)

// signing makes signatures, in one order only.
type signing struct{ *session }

// attest makes and sends the attestation of a key in a slot.
func (s *signing) attest(ctx context.Context, pub string, slot uint64) {
	ok := s.duty(ctx, pub, slot, "attestation", func(key wallet.Key, sub *wire.Submission) error {
		var data wire.AttestationData
		if err := s.beacons.ask(ctx, "GET", s.query("/lab/attestation", slot), nil, &data); err != nil {
			return fmt.Errorf("could not request attestation to sign at slot: %w", err)
		}
		sub.Kind, sub.Source, sub.Target, sub.Root = wire.KindAttestation, data.Source, data.Target, data.Root
		root, err := s.signingRoot(sub)
		if err != nil {
			return err
		}
		return s.store.CheckAndSaveVote(key.Public, database.Vote{Source: data.Source, Target: data.Target, Root: root})
	})
	if !ok {
		s.meter.count("validator_failed_attestations", pub)
		return
	}
	s.meter.count("validator_successful_attestations", pub)
	shown := slot
	// As the beacon node's own slots: those of the network that the chain stands in for.
	if genesis := params.Genesis(s.network); genesis != 0 {
		shown = params.PublicSlot(genesis)
	}
	s.meter.attested(pub, shown)
	slotName := "slot"
	if s.cli.Release.Before(4, 2, 0) {
		slotName = "Slot"
	}
	s.cli.Log.Info(s.prefix, "Submitted new attestations", slotName, slot, "pubkeys", pub[:14])
}

// propose makes and sends the block of a slot.
func (s *signing) propose(ctx context.Context, pub string, slot uint64) {
	ok := s.duty(ctx, pub, slot, "block", func(key wallet.Key, sub *wire.Submission) error {
		var b struct {
			Root string `json:"root"`
		}
		if err := s.beacons.ask(ctx, "GET", s.query("/lab/block", slot), nil, &b); err != nil {
			return fmt.Errorf("failed to request block from beacon node: %w", err)
		}
		sub.Kind, sub.Root, sub.Graffiti = wire.KindBlock, b.Root, s.cli.Flags.String("graffiti", "")
		sub.Fee = s.cli.Flags.String("suggested-fee-recipient", "")
		root, err := s.signingRoot(sub)
		if err != nil {
			return err
		}
		return s.store.CheckAndSaveBlock(key.Public, slot, root)
	})
	if !ok {
		s.meter.count("validator_failed_proposals", pub)
		return
	}
	s.meter.count("validator_successful_proposals", pub)
	s.cli.Log.Info(s.prefix, "Submitted new block", "slot", slot, "pubkey", pub[:14])
}

func (s *signing) signingRoot(sub *wire.Submission) ([]byte, error) {
	text, err := sub.ComputeRoot(s.config.GenesisValidatorsRoot)
	if err != nil {
		return nil, err
	}
	return wire.Bytes(text, 32)
}

func (s *signing) query(path string, slot uint64) string {
	return path + "?slot=" + strconv.FormatUint(slot, 10) + "&client=" + url.QueryEscape(s.id)
}

// duty is the one way to a signature: read the history, let the database check and keep the record (synced), and only
// then sign and send. Any failure before that leaves no signature.
func (s *signing) duty(ctx context.Context, pub string, slot uint64, what string, keep func(wallet.Key, *wire.Submission) error) bool {
	signer := s.keys.Take(pub)
	if signer == nil {
		return false
	}
	defer signer.Release()
	if ctx.Err() != nil {
		return false
	}
	digest, err := s.store.Digest(signer.Key.Public)
	if err != nil {
		s.storeFailure(err)
		return false
	}
	flags := s.cli.Flags
	digest.Pruned = flags.Bool("enable-slashing-protection-history-pruning") || flags.Bool("enable-slashing-protection-pruning")
	sub := &wire.Submission{
		Key: pub, Slot: slot, Digest: digest, Client: s.id, Version: s.cli.Release.Text, Network: s.network,
	}
	if err := keep(signer.Key, sub); err != nil {
		s.notKept(err, what, slot, pub)
		return false
	}
	if ctx.Err() != nil {
		return false // kept but not signed: a missed duty, never a second vote
	}
	if err := sub.Sign(signer.Key.Secret, s.config.GenesisValidatorsRoot); err != nil {
		s.cli.Log.Error(s.prefix, "Could not sign "+what, "error", err)
		return false
	}
	// The signature exists: sending it is not given up before the process ends.
	send, cancel := context.WithTimeout(context.WithoutCancel(ctx), 1400*time.Millisecond)
	defer cancel()
	if err := s.beacons.ask(send, "POST", "/lab/submit", sub, nil); err != nil {
		s.cli.Log.Error(s.prefix, "Could not submit "+what+" to beacon node", "error", err, "slot", slot, "pubkey", pub[:14])
		return false
	}
	return true
}

// notKept says why a duty ends without a record, and so without a signature.
func (s *signing) notKept(err error, what string, slot uint64, pub string) {
	var no database.Refusal
	switch {
	case errors.As(err, &no):
		s.cli.Log.Error(s.prefix, "Failed "+what+" slashing protection check", "error", err, "slot", slot, "pubkey", pub[:14])
	case isStoreError(err):
		s.storeFailure(err)
	case isUnknownCall(err) && what != "block":
		s.keys.Touch() // its duties are asked for anew, in vain
	default:
		s.cli.Log.Error(s.prefix, "Could not perform "+what, "error", err, "slot", slot, "pubkey", pub[:14])
	}
}

// isStoreError tells a failing disk from a failing beacon.
func isStoreError(err error) bool {
	var pathErr *os.PathError
	var errno syscall.Errno
	var urlErr *url.Error
	return !errors.As(err, &urlErr) && (errors.As(err, &pathErr) || errors.As(err, &errno))
}

// storeFailure is what a database does that can no longer be written. A lost NFS lock shows itself as EIO; then real
// Prysm signs nothing and dies with code 2.
func (s *signing) storeFailure(err error) {
	s.cli.Log.Error("db", "Failed to batch save attestation records", "error", err)
	s.cli.Log.Error(s.prefix, "Failed attestation slashing protection check", "error", err)
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ESTALE) || errors.Is(err, syscall.EBADF) {
		os.Exit(2)
	}
}
