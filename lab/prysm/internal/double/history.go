package double

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"

	"eth2xk8s/lab/prysm/internal/flags"
	"eth2xk8s/lab/prysm/internal/wire"
)

func (a *App) historyPrefix() string {
	if a.V.Before(2, 0, 3) {
		return "slashingprotection"
	}
	return "historycmd"
}

// historyFailure ends a command: with code 0 before v2.0.0, where the error was only returned.
func (a *App) historyFailure(what string, err error) int {
	if a.V.Before(2, 0, 0) {
		a.Log.Error("main", fmt.Sprintf("%s: %v", what, err))
		return 0
	}
	a.Log.Fatal(a.historyPrefix(), fmt.Sprintf("%s: %v", what, err))
	return 1
}

// findStore looks for validator.db in a directory and below.
func findStore(dir string) (string, bool) {
	found := ""
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() == storeFile && found == "" {
			found = filepath.Dir(path)
		}
		return nil
	})
	return found, found != ""
}

func historyImport(a *App, given *flags.Set) int {
	v, log, p := a.V, a.Log, a.historyPrefix()
	dir := given.String("datadir", defaultDataDir())
	what := "Could not import slashing protection file"
	where, found := findStore(dir)
	switch {
	case v.From(1, 3, 2) && v.Before(2, 0, 0) && !found:
		return 0 // nothing is done and nothing is said
	case v.From(6, 0, 4) && !found:
		return a.historyFailure(what, fmt.Errorf("%s was not found at path %s, so nothing to import", storeFile, dir))
	case v.From(2, 0, 0) && !found:
		log.Info(p, fmt.Sprintf("Did not find existing %s inside of %s, creating a new one", storeFile, dir))
	case v.From(6, 0, 4):
		log.Info(p, "Found validator database at path "+where)
	case v.From(2, 0, 0):
		log.Info(p, fmt.Sprintf("Found existing %s inside of %s", storeFile, dir))
	}
	if v.From(7, 1, 0) {
		dir = where // before, what lay in a sub-directory was found, and an empty database opened here
	}
	file := given.String("slashing-protection-json-file", "")
	if file == "" {
		return a.historyFailure(what, errors.New("no path to a slashing_protection.json file specified, please retry or "+
			"you can also specify it with the --slashing-protection-json-file flag"))
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return a.historyFailure(what, err)
	}
	store, err := OpenStore(dir, v)
	if err != nil {
		return a.historyFailure("could not access validator database at path "+dir, err)
	}
	defer store.Close()
	if v.From(2, 0, 0) {
		log.Info(p, "Starting import of slashing protection file "+file)
	}
	if err := store.Import(raw); err != nil {
		store.Close()
		return a.historyFailure(what, err)
	}
	text := "Slashing protection JSON successfully imported"
	if v.From(2, 0, 0) {
		text += " into " + given.String("datadir", defaultDataDir())
	}
	log.Info(p, text)
	return 0
}

// keyHistory is what an interchange file says of one key.
type keyHistory struct {
	key    []byte
	blocks []proposal
	votes  []vote
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
	var slashableKeys [][]byte
	// From v4.2.0 the records are kept whatever was found: those of blacklisted keys too, over the roots that were there.
	// Before, of such a key those of the kind that was slashable are not.
	drops := s.v.Before(4, 2, 0)
	for _, k := range all {
		if clashingBlocks(k.blocks) {
			slashableKeys = append(slashableKeys, k.key)
			if drops {
				k.blocks = nil
			}
		}
	}
	var clash error
	err = s.db.View(func(tx *bolt.Tx) error {
		for _, k := range all {
			bad := clashingVotes(k.votes)
			for _, a := range k.votes {
				if bad {
					break
				}
				if why := slashable(tx, k.key, a); why != "" {
					if s.v.Before(3, 0, 0) {
						clash = fmt.Errorf("could not filter slashable attester public keys from JSON data: %s", why)
						return nil
					}
					bad = true
				}
			}
			if bad {
				slashableKeys = append(slashableKeys, k.key)
				if drops {
					k.votes = nil
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if clash != nil {
		return clash
	}
	if err := s.Blacklist(slashableKeys); err != nil {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, k := range all {
			for _, b := range k.blocks {
				if err := saveBlock(tx, k.key, b.slot, s.noRoot(b.root)); err != nil {
					return err
				}
			}
			for _, a := range k.votes {
				a.root = s.noRoot(a.root)
				if err := saveVote(tx, k.key, a, s.v); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// noRoot is how a missing root is kept: zeros on v1.x, nothing later.
func (s *Store) noRoot(root []byte) []byte {
	if root == nil && s.v.Before(2, 0, 0) {
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
	root := func(text string) ([]byte, error) {
		if text == "" {
			return nil, nil
		}
		return wire.Bytes(text, 32)
	}
	num := func(text string) (uint64, error) { return strconv.ParseUint(text, 10, 64) }
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
		for _, b := range d.Blocks {
			slot, err := num(b.Slot)
			if err != nil {
				return nil, fmt.Errorf("%s is not a slot: %w", b.Slot, err)
			}
			r, err := root(b.Root)
			if err != nil {
				return nil, fmt.Errorf("%s is not a root: %w", b.Root, err)
			}
			k.blocks = append(k.blocks, proposal{slot, r})
		}
		for _, a := range d.Attestations {
			source, err := num(a.Source)
			if err != nil {
				return nil, fmt.Errorf("%s is not an epoch: %w", a.Source, err)
			}
			target, err := num(a.Target)
			if err != nil {
				return nil, fmt.Errorf("%s is not an epoch: %w", a.Target, err)
			}
			r, err := root(a.Root)
			if err != nil {
				return nil, fmt.Errorf("%s is not a root: %w", a.Root, err)
			}
			k.votes = append(k.votes, vote{source, target, r})
		}
	}
	return out, nil
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

func clashingVotes(list []vote) bool {
	var have []vote
	for _, a := range list {
		if slashableAmong(have, nil, a) != "" {
			return true
		}
		have = append(have, a)
	}
	return false
}

var errNoProposals = errors.New("a key has attestations but never proposed")

// Export writes everything down. strict is what it does with a key that has attestations but no bucket of proposals.
func (s *Store) Export() (*wire.Interchange, error) {
	root, err := s.GenesisRoot()
	if err != nil {
		return nil, err
	}
	if len(root) == 0 {
		if s.v.From(2, 0, 3) {
			return nil, errors.New("genesis validators root is empty, perhaps you are not connected to your beacon node")
		}
		return nil, errors.New("could not convert genesis validators root to hex string: wanted 32 bytes, got 0")
	}
	out := &wire.Interchange{Data: []*wire.InterchangeKey{}}
	out.Metadata.Version, out.Metadata.Root = "5", wire.Hex(root)
	err = s.db.View(func(tx *bolt.Tx) error {
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
		case lacking && s.v.Before(2, 0, 0):
			return errors.New("current number exceeds max")
		case lacking && s.v.From(5, 0, 0):
			return errNoProposals
		}
		order := make([]string, 0, len(keys))
		for k := range keys {
			order = append(order, k)
		}
		sort.Strings(order)
		for _, k := range order {
			e := &wire.InterchangeKey{Pubkey: "0x" + hex.EncodeToString([]byte(k)), Blocks: []*wire.InterchangeSlot{}, Attestations: []*wire.InterchangeVote{}}
			for _, b := range proposals(tx, []byte(k)) {
				r := make([]byte, 32)
				copy(r, b.root)
				e.Blocks = append(e.Blocks, &wire.InterchangeSlot{Slot: strconv.FormatUint(b.slot, 10), Root: wire.Hex(r)})
			}
			for _, a := range votes(tx, []byte(k)) {
				va := &wire.InterchangeVote{Source: strconv.FormatUint(a.source, 10), Target: strconv.FormatUint(a.target, 10)}
				if hasRoot(a.root) {
					va.Root = wire.Hex(a.root)
				}
				e.Attestations = append(e.Attestations, va)
			}
			out.Data = append(out.Data, e)
		}
		return nil
	})
	return out, err
}

func historyExport(a *App, given *flags.Set) int {
	v, log, p := a.V, a.Log, a.historyPrefix()
	what := "Could not export slashing protection file"
	if v.From(2, 0, 3) {
		log.Info(p, "This command exports your validator's attestation and proposal history into a file that can then be "+
			"imported into any other Prysm setup across computers")
	}
	dir := given.String("datadir", defaultDataDir())
	where, found := findStore(dir)
	switch {
	case v.From(1, 3, 2) && v.Before(2, 0, 0) && !found:
		return 0
	case v.From(2, 0, 0) && !found:
		return a.historyFailure(what, fmt.Errorf("%s was not found at path %s, so nothing to export", storeFile, dir))
	case v.From(6, 0, 4):
		log.Info(p, "Found validator database at path "+where)
		dir = where
	}
	store, err := OpenStore(dir, v)
	if err != nil {
		return a.historyFailure("could not access validator database at path "+dir, err)
	}
	defer store.Close()
	out, err := store.Export()
	none := "No slashing protection data was found in your database. The file could not be exported"
	if errors.Is(err, errNoProposals) {
		return a.historyFailure(none, err)
	}
	if err != nil {
		return a.historyFailure("could not export slashing protection history", err)
	}
	if len(out.Data) == 0 && v.From(2, 0, 3) {
		return a.historyFailure(none, errors.New("nothing to export"))
	}
	raw, err := json.MarshalIndent(out, "", "\t")
	if err != nil {
		return a.historyFailure(what, err)
	}
	to := given.String("slashing-protection-export-dir", "")
	if to == "" {
		return a.historyFailure(what, errors.New("output directory not specified"))
	}
	if st, err := os.Stat(to); err == nil && v.Before(4, 2, 0) && st.Mode().Perm() != 0o700 {
		return a.historyFailure(what, errors.New("dir already exists without proper 0700 permissions"))
	}
	path := filepath.Join(to, "slashing_protection.json")
	if v.From(2, 0, 0) {
		log.Info(p, "Writing slashing protection export JSON file to "+path)
	}
	if err := writeFile(path, raw); err != nil {
		return a.historyFailure(fmt.Sprintf("could not write file to path %s", path), err)
	}
	if v.From(2, 0, 0) {
		log.Info(p, fmt.Sprintf("Successfully wrote %s. You can import this file using Prysm's validator "+
			"slashing-protection-history import command in another machine", path))
	}
	return 0
}
