package database

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/wire"
)

// keyHistory is what an interchange file says of one key.
type keyHistory struct {
	key    []byte
	blocks []proposal
	votes  []Vote
}

// Import takes in an interchange file as this version does.
func (s *Store) Import(raw []byte) error {
	var in wire.Interchange
	if err := json.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("could not unmarshal slashing protection JSON file: %w", err)
	}
	if in.Data == nil {
		return nil
	}
	if err := s.checkMetadata(&in); err != nil {
		return fmt.Errorf("slashing protection JSON metadata was incorrect: %w", err)
	}
	all, err := s.parse(&in)
	if err != nil {
		return err
	}
	bad, err := s.dropSlashable(all)
	if err != nil {
		return err
	}
	if err := s.Blacklist(bad); err != nil {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, k := range all {
			if err := s.save(tx, k); err != nil {
				return err
			}
		}
		return nil
	})
}

// dropSlashable finds the keys whose records contradict each other, or what is in the database already. From v4.2.0 the
// records are kept whatever was found: those of blacklisted keys too, over the roots that were there. Before, of such a
// key those of the kind that was slashable are not.
func (s *Store) dropSlashable(all []*keyHistory) (keys [][]byte, err error) {
	drops := s.release.Before(4, 2, 0)
	for _, k := range all {
		if clashingBlocks(k.blocks) {
			keys = append(keys, k.key)
			if drops {
				k.blocks = nil
			}
		}
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		for _, k := range all {
			bad, err := s.clashes(tx, k)
			if err != nil {
				return err
			}
			if bad {
				keys = append(keys, k.key)
				if drops {
					k.votes = nil
				}
			}
		}
		return nil
	})
	return keys, err
}

// clashes tells whether votes of a key contradict each other or the database; before v3.0.0 the latter is an error.
func (s *Store) clashes(tx *bolt.Tx, k *keyHistory) (bool, error) {
	if clashingVotes(k.votes) {
		return true, nil
	}
	for _, a := range k.votes {
		why := slashable(tx, k.key, a)
		switch {
		case why == "":
		case s.release.Before(3, 0, 0):
			return false, fmt.Errorf("could not filter slashable attester public keys from JSON data: %s", why)
		default:
			return true, nil
		}
	}
	return false, nil
}

func (s *Store) save(tx *bolt.Tx, k *keyHistory) error {
	for _, b := range k.blocks {
		if err := saveBlock(tx, k.key, b.slot, s.noRoot(b.root)); err != nil {
			return err
		}
	}
	for _, a := range k.votes {
		a.Root = s.noRoot(a.Root)
		if err := saveVote(tx, k.key, a, s.release); err != nil {
			return err
		}
	}
	return nil
}

// noRoot is how a missing root is kept: zeros on v1.x, nothing later.
func (s *Store) noRoot(root []byte) []byte {
	if root == nil && s.release.Before(2, 0, 0) {
		return make([]byte, 32)
	}
	return root
}

func (s *Store) checkMetadata(in *wire.Interchange) error {
	if in.Metadata.Version != "5" {
		return fmt.Errorf("slashing protection JSON version '%s' is not supported, wanted '5'", in.Metadata.Version)
	}
	root, err := wire.Bytes(in.Metadata.Root, 32)
	if err != nil || !strings.HasPrefix(in.Metadata.Root, "0x") {
		return fmt.Errorf("%#x is not a valid root: %v", in.Metadata.Root, err)
	}
	have, err := s.GenesisRoot()
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return s.SaveGenesisRoot(root)
	}
	if !bytes.Equal(have, root) {
		return errors.New("genesis validators root doesn't match the one that is stored in slashing protection db. " +
			"Please make sure you import the protection data that is relevant to the chain you are on")
	}
	return nil
}

// parse puts together what the file says of each key; a key may come more than once.
func (s *Store) parse(in *wire.Interchange) ([]*keyHistory, error) {
	var out []*keyHistory
	byKey := map[string]*keyHistory{}
	for _, d := range in.Data {
		key, err := wire.Bytes(d.Pubkey, 48)
		if err != nil || !strings.HasPrefix(d.Pubkey, "0x") {
			return nil, fmt.Errorf("could not parse unique entries for blocks by public key: %s is not a valid public key: %v", d.Pubkey, err)
		}
		k := byKey[string(key)]
		if k == nil {
			k = &keyHistory{key: key}
			byKey[string(key)] = k
			out = append(out, k)
		}
		if err := k.add(d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// add takes in one entry of the file.
func (k *keyHistory) add(d *wire.InterchangeKey) error {
	for _, b := range d.Blocks {
		slot, err := strconv.ParseUint(b.Slot, 10, 64)
		if err != nil {
			return fmt.Errorf("%s is not a slot: %w", b.Slot, err)
		}
		root, err := parseRoot(b.Root)
		if err != nil {
			return err
		}
		k.blocks = append(k.blocks, proposal{slot, root})
	}
	for _, a := range d.Attestations {
		source, err := strconv.ParseUint(a.Source, 10, 64)
		if err != nil {
			return fmt.Errorf("%s is not an epoch: %w", a.Source, err)
		}
		target, err := strconv.ParseUint(a.Target, 10, 64)
		if err != nil {
			return fmt.Errorf("%s is not an epoch: %w", a.Target, err)
		}
		root, err := parseRoot(a.Root)
		if err != nil {
			return err
		}
		k.votes = append(k.votes, Vote{source, target, root})
	}
	return nil
}

// parseRoot reads a signing root, which a file may leave out.
func parseRoot(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	root, err := wire.Bytes(text, 32)
	if err != nil {
		return nil, fmt.Errorf("%s is not a root: %w", text, err)
	}
	return root, nil
}

func clashingBlocks(list []proposal) bool {
	seen := map[uint64][]byte{}
	for _, b := range list {
		if old, ok := seen[b.slot]; ok && rootsDiffer(old, b.root) {
			return true
		}
		seen[b.slot] = b.root
	}
	return false
}

func clashingVotes(list []Vote) bool {
	var have []Vote
	for _, a := range list {
		if slashableAmong(have, nil, a) != "" {
			return true
		}
		have = append(have, a)
	}
	return false
}

// ErrNoProposals ends an export from v5.0.0 on.
var ErrNoProposals = errors.New("a key has attestations but never proposed")

// Export writes everything down.
func (s *Store) Export() (*wire.Interchange, error) {
	root, err := s.GenesisRoot()
	if err != nil {
		return nil, err
	}
	if len(root) == 0 {
		if s.release.From(2, 0, 3) {
			return nil, errors.New("genesis validators root is empty, perhaps you are not connected to your beacon node")
		}
		return nil, errors.New("could not convert genesis validators root to hex string: wanted 32 bytes, got 0")
	}
	out := &wire.Interchange{Data: []*wire.InterchangeKey{}}
	out.Metadata.Version, out.Metadata.Root = "5", wire.Hex(root)
	err = s.db.View(func(tx *bolt.Tx) error {
		keys, err := s.exportable(tx)
		for _, k := range keys {
			out.Data = append(out.Data, exportKey(tx, k))
		}
		return err
	})
	return out, err
}

// exportable are the keys with records, in order.
func (s *Store) exportable(tx *bolt.Tx) ([]string, error) {
	keys := map[string]bool{}
	lacking := false
	for _, k := range keysOf(tx.Bucket(proposalsBucket)) {
		keys[string(k)] = true
	}
	for _, k := range keysOf(tx.Bucket(pubkeysBucket)) {
		lacking = lacking || !keys[string(k)]
		keys[string(k)] = true
	}
	switch {
	case lacking && s.release.Before(2, 0, 0):
		return nil, errors.New("current number exceeds max")
	case lacking && s.release.From(5, 0, 0):
		return nil, ErrNoProposals
	}
	return slices.Sorted(maps.Keys(keys)), nil
}

func exportKey(tx *bolt.Tx, key string) *wire.InterchangeKey {
	e := &wire.InterchangeKey{Pubkey: wire.Hex([]byte(key)), Blocks: []*wire.InterchangeSlot{}, Attestations: []*wire.InterchangeVote{}}
	for _, b := range proposals(tx, []byte(key)) {
		r := make([]byte, 32)
		copy(r, b.root)
		e.Blocks = append(e.Blocks, &wire.InterchangeSlot{Slot: strconv.FormatUint(b.slot, 10), Root: wire.Hex(r)})
	}
	for _, a := range votes(tx, []byte(key)) {
		va := &wire.InterchangeVote{Source: strconv.FormatUint(a.Source, 10), Target: strconv.FormatUint(a.Target, 10)}
		if hasRoot(a.Root) {
			va.Root = wire.Hex(a.Root)
		}
		e.Attestations = append(e.Attestations, va)
	}
	return e
}
