// Package wire holds what the chain, the beacon double and the validator double say to each other:
// the messages, and the signing roots and signatures by which the judge tells who signed what.
package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	blst "github.com/supranational/blst/bindings/go"
)

// Kinds of signatures.
const (
	KindAttestation = "attestation"
	KindBlock       = "block"
)

// Config is what everybody has to know about the chain.
type Config struct {
	GenesisTime           int64  `json:"genesis_time"`
	GenesisValidatorsRoot string `json:"genesis_validators_root"`
	SecondsPerSlot        uint64 `json:"seconds_per_slot"`
	SlotsPerEpoch         uint64 `json:"slots_per_epoch"`
}

// Head is the chain as it stands now.
type Head struct {
	Slot      uint64 `json:"slot"`
	Epoch     uint64 `json:"epoch"`
	Root      string `json:"root"`
	Justified uint64 `json:"justified_epoch"`
	Finalized uint64 `json:"finalized_epoch"`
	Started   bool   `json:"started"`
	Validator int    `json:"validators"`
	Faults    Faults `json:"faults"`
}

// Faults are troubles that a test asks the chain to show to every beacon.
type Faults struct {
	Syncing    bool `json:"syncing"`
	ELOffline  bool `json:"el_offline"` // beacons say so, and go on
	ELDead     bool `json:"el_dead"`    // heads stop, and beacons say nothing
	Optimistic bool `json:"optimistic"` // heads are not checked by any execution client
	// Only is the release, as in v1.3.4, whose beacons alone show them; empty means all.
	Only string `json:"only,omitempty"`
}

// Statuses of keys, by the names of Prysm's enum in lower case, with the numbers that its metrics show.
var Statuses = map[string]int{
	"unknown": 0, "deposited": 1, "pending": 2, "active": 3, "exiting": 4, "slashing": 5, "exited": 6,
	"partially_deposited": 8,
}

// OnDuty tells whether a key of that status has duties.
func OnDuty(status string) bool { return status == "active" || status == "exiting" }

// NoIndex is the index of a key that is not in the chain's state; NoSlot the slot of a duty that there is not.
const (
	NoIndex = ^uint64(0)
	NoSlot  = ^uint64(0)
)

// BeaconStatus is what a validator wants to know of its beacon before anything else.
type BeaconStatus struct {
	Config  Config `json:"config"`
	Started bool   `json:"started"`
	Synced  bool   `json:"synced"`
	Version string `json:"version"`
	Network string `json:"network"`
}

// State is what the chain knows of one key.
type State struct {
	Key    string `json:"key"`
	Index  uint64 `json:"index"`
	Status string `json:"status"`
}

// StatesRequest asks what the chain knows of some keys; of all when none is given.
type StatesRequest struct {
	Keys []string `json:"keys"`
}

// DutiesRequest asks for the duties of some keys in one epoch.
type DutiesRequest struct {
	Epoch uint64   `json:"epoch"`
	Keys  []string `json:"keys"`
}

// Duty is what one key has to do in one epoch.
type Duty struct {
	Key           string   `json:"key"`
	Index         uint64   `json:"index"`
	Status        string   `json:"status"`
	AttesterSlot  uint64   `json:"attester_slot"`
	ProposerSlots []uint64 `json:"proposer_slots"`
}

// AttestationData is what an attester votes for.
type AttestationData struct {
	Slot   uint64 `json:"slot"`
	Source uint64 `json:"source"`
	Target uint64 `json:"target"`
	Root   string `json:"root"`
}

// Digest is what a signer knows of the history of one key, before the signature it comes with.
// -1 means that the signer has no record of that sort.
type Digest struct {
	HighestSlot   int64 `json:"highest_slot"`
	HighestSource int64 `json:"highest_source"`
	HighestTarget int64 `json:"highest_target"`
	Attestations  int   `json:"attestations"`
	Blocks        int   `json:"blocks"`
	Pruned        bool  `json:"pruned,omitempty"`
	// The newest records themselves: every vote with a target in the last RecentEpochs up to the highest one, and the
	// last RecentBlocks blocks.
	Votes []Vote  `json:"votes,omitempty"`
	Slots []Block `json:"slots,omitempty"`
}

// How much of its newest history a signer shows.
const (
	RecentEpochs = 32
	RecentBlocks = 16
)

// Vote is a record of an attestation, with the start of its signing root (empty if there is none).
type Vote struct {
	Source uint64 `json:"s"`
	Target uint64 `json:"t"`
	Root   string `json:"r,omitempty"`
}

// Block is a record of a block.
type Block struct {
	Slot uint64 `json:"s"`
	Root string `json:"r,omitempty"`
}

// Start is the start of a signing root, as records show it.
func Start(root []byte) string {
	if len(root) != 32 {
		return ""
	}
	for _, b := range root {
		if b != 0 {
			return hex.EncodeToString(root[:4])
		}
	}
	return ""
}

// Forgotten says which of the signatures made before is not in the history shown any more, or has become another one.
func (d *Digest) Forgotten(s *Submission) string {
	root, _ := Bytes(s.SigningRoot, 32)
	start := Start(root)
	if s.Kind == KindAttestation {
		if d.Votes == nil || int64(s.Target) <= d.HighestTarget-RecentEpochs || int64(s.Target) > d.HighestTarget {
			return ""
		}
		for _, v := range d.Votes {
			if v.Source == s.Source && v.Target == s.Target {
				if v.Root != "" && s.SigningRoot != "" && v.Root != start {
					return fmt.Sprintf("the vote %d->%d has become another one", s.Source, s.Target)
				}
				return ""
			}
		}
		return fmt.Sprintf("the vote %d->%d is not there any more", s.Source, s.Target)
	}
	if len(d.Slots) == 0 || s.Slot < d.Slots[0].Slot {
		return ""
	}
	for _, b := range d.Slots {
		if b.Slot == s.Slot {
			if b.Root != "" && s.SigningRoot != "" && b.Root != start {
				return fmt.Sprintf("the block of slot %d has become another one", s.Slot)
			}
			return ""
		}
	}
	return fmt.Sprintf("the block of slot %d is not there any more", s.Slot)
}

// Submission is one signature on its way to the chain.
type Submission struct {
	Kind        string  `json:"kind"`
	Key         string  `json:"key"`
	Slot        uint64  `json:"slot"`
	Source      uint64  `json:"source"`
	Target      uint64  `json:"target"`
	Root        string  `json:"root"`
	SigningRoot string  `json:"signing_root"`
	Signature   string  `json:"signature"`
	Graffiti    string  `json:"graffiti,omitempty"`
	Fee         string  `json:"fee_recipient,omitempty"`
	Digest      *Digest `json:"digest,omitempty"`
	Client      string  `json:"client"`
	Version     string  `json:"version"`
	Network     string  `json:"network,omitempty"`
	Address     string  `json:"address,omitempty"`
	Beacon      string  `json:"beacon,omitempty"`
}

// The EIP-3076 interchange file.
type Interchange struct {
	Metadata struct {
		Version string `json:"interchange_format_version"`
		Root    string `json:"genesis_validators_root"`
	} `json:"metadata"`
	Data []*InterchangeKey `json:"data"`
}

// InterchangeKey is what one key has signed.
type InterchangeKey struct {
	Pubkey       string             `json:"pubkey"`
	Blocks       []*InterchangeSlot `json:"signed_blocks"`
	Attestations []*InterchangeVote `json:"signed_attestations"`
}

// InterchangeSlot is a block.
type InterchangeSlot struct {
	Slot string `json:"slot"`
	Root string `json:"signing_root,omitempty"`
}

// InterchangeVote is an attestation.
type InterchangeVote struct {
	Source string `json:"source_epoch"`
	Target string `json:"target_epoch"`
	Root   string `json:"signing_root,omitempty"`
}

// LivenessRequest asks which keys were seen signing in an epoch.
type LivenessRequest struct {
	Epoch uint64   `json:"epoch"`
	Keys  []string `json:"keys"`
}

// Root computes the signing root of a submission on the chain with the given genesis validators root (0x hex).
// It is the SHA-256 of a domain word, that root and everything that two different votes would differ in.
func (s *Submission) ComputeRoot(genesisRoot string) (string, error) {
	gvr, err := Bytes(genesisRoot, 32)
	if err != nil {
		return "", fmt.Errorf("genesis validators root: %w", err)
	}
	root, err := Bytes(s.Root, 32)
	if err != nil {
		return "", fmt.Errorf("root: %w", err)
	}
	h := sha256.New()
	num := func(n uint64) {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], n)
		h.Write(b[:])
	}
	switch s.Kind {
	case KindAttestation:
		h.Write([]byte("eth2xk8s lab attestation"))
		h.Write(gvr)
		num(s.Slot)
		num(s.Source)
		num(s.Target)
		h.Write(root)
	case KindBlock:
		h.Write([]byte("eth2xk8s lab block"))
		h.Write(gvr)
		num(s.Slot)
		h.Write(root)
		g := sha256.Sum256([]byte(s.Graffiti))
		h.Write(g[:])
	default:
		return "", fmt.Errorf("unknown kind %q", s.Kind)
	}
	return "0x" + hex.EncodeToString(h.Sum(nil)), nil
}

// Bytes decodes 0x hex of a known length.
func Bytes(s string, n int) ([]byte, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil {
		return nil, err
	}
	if len(b) != n {
		return nil, fmt.Errorf("%d bytes wanted, %d given", n, len(b))
	}
	return b, nil
}

// Hex writes bytes as 0x hex.
func Hex(b []byte) string { return "0x" + hex.EncodeToString(b) }

var dst = []byte("BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_")

// PublicKey derives the compressed public key of a secret key (32 bytes, big endian).
func PublicKey(secret []byte) ([]byte, error) {
	sk, err := secretKey(secret)
	if err != nil {
		return nil, err
	}
	return new(blst.P1Affine).From(sk).Compress(), nil
}

func secretKey(secret []byte) (*blst.SecretKey, error) {
	if len(secret) != 32 {
		return nil, fmt.Errorf("a secret key has 32 bytes, not %d", len(secret))
	}
	sk := new(blst.SecretKey).Deserialize(secret)
	if sk == nil {
		return nil, errors.New("could not unmarshal bytes into secret key")
	}
	return sk, nil
}

// Sign fills in the signing root and the signature.
func (s *Submission) Sign(secret []byte, genesisRoot string) error {
	sk, err := secretKey(secret)
	if err != nil {
		return err
	}
	if s.SigningRoot, err = s.ComputeRoot(genesisRoot); err != nil {
		return err
	}
	msg, err := Bytes(s.SigningRoot, 32)
	if err != nil {
		return err
	}
	s.Signature = Hex(new(blst.P2Affine).Sign(sk, msg, dst).Compress())
	return nil
}

// Verify checks that the signature is the key's, over what the submission says.
func (s *Submission) Verify(genesisRoot string) error {
	want, err := s.ComputeRoot(genesisRoot)
	if err != nil {
		return err
	}
	if want != strings.ToLower(s.SigningRoot) {
		return fmt.Errorf("signing root is %s, not %s", want, s.SigningRoot)
	}
	pub, err := Bytes(s.Key, 48)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	sig, err := Bytes(s.Signature, 96)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	msg, _ := Bytes(want, 32)
	if !new(blst.P2Affine).VerifyCompressed(sig, true, pub, true, msg, dst) {
		return errors.New("the signature is not this key's over this signing root")
	}
	return nil
}
