package double

import (
	"fmt"
	"regexp"
	"strconv"
)

// Version is a release of Prysm.
type Version struct {
	Major, Minor, Patch int
	Text                string
}

var versionForm = regexp.MustCompile(`^v(\d+)\.(\d+)\.(\d+)([-+].*)?$`)

// ParseVersion reads v1.3.4 (with or without a suffix).
func ParseVersion(s string) (Version, error) {
	m := versionForm.FindStringSubmatch(s)
	if m == nil {
		return Version{}, fmt.Errorf("PRYSM_VERSION %q is not of the form v1.2.3", s)
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	return Version{n(1), n(2), n(3), s}, nil
}

// Oldest and newest release that this program plays.
const (
	OldestVersion = "v1.2.2"
	NewestVersion = "v7.1.8"
)

func (v Version) cmp(o Version) int {
	for _, d := range [3]int{v.Major - o.Major, v.Minor - o.Minor, v.Patch - o.Patch} {
		if d != 0 {
			return d
		}
	}
	return 0
}

// From tells whether this is the given release or a later one.
func (v Version) From(major, minor, patch int) bool {
	return v.cmp(Version{Major: major, Minor: minor, Patch: patch}) >= 0
}

// Before is the opposite of From.
func (v Version) Before(major, minor, patch int) bool { return !v.From(major, minor, patch) }

// unknownCall is what a validator client of this version asks for and a beacon node of that one does not have: a call
// without which it attests nothing, or (blocks) only proposes nothing. Empty: they work together.
func (v Version) unknownCall(beacon Version) (attest, blocks string) {
	const alpha = "ethereum.eth.v1alpha1."
	switch {
	case v.Before(2, 0, 0):
		if beacon.From(3, 0, 0) {
			blocks = "unknown method GetBlock for service " + alpha + "BeaconNodeValidator"
		}
		if beacon.From(5, 0, 0) {
			attest = "unknown method StreamBlocks for service " + alpha + "BeaconChain"
		}
	case v.Before(4, 2, 0):
		if beacon.Before(2, 0, 0) {
			attest = "unknown method StreamBlocksAltair for service " + alpha + "BeaconNodeValidator"
		}
	case v.From(5, 0, 2) && beacon.Before(5, 0, 2):
		attest = "unknown method GetHealth for service " + alpha + "Node"
	case beacon.Before(4, 2, 0):
		attest = "unknown method StreamSlots for service " + alpha + "BeaconNodeValidator"
	}
	return attest, blocks
}

// commit is the commit that the program says it was built from: the real one where it is known.
func (v Version) commit() string {
	if v.Text == "v7.1.6" {
		return "1fc46453cf"
	}
	return "0000000000"
}

// full is what --version and the log print.
func (v Version) full() string {
	return fmt.Sprintf("Prysm/%s/%s. Built at: Moments ago", v.Text, v.commit())
}
