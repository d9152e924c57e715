// Package version knows the releases of Prysm that the double plays: their order, their names and which of them work
// together. What a release can do stands where it is done, as From and Before; the calls that one release misses in
// another were found by running validator and beacon of both, as measured in lab/prysm/README.md.
package version

import (
	"fmt"
	"regexp"
	"strconv"
)

// Release is one release of Prysm.
type Release struct {
	Major, Minor, Patch int
	Text                string
}

var form = regexp.MustCompile(`^v(\d+)\.(\d+)\.(\d+)([-+].*)?$`)

// Parse reads v1.3.4 (with or without a suffix).
func Parse(s string) (Release, error) {
	m := form.FindStringSubmatch(s)
	if m == nil {
		return Release{}, fmt.Errorf("PRYSM_VERSION %q is not of the form v1.2.3", s)
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	return Release{n(1), n(2), n(3), s}, nil
}

// Oldest and newest release that this program plays.
const (
	Oldest = "v1.2.2"
	Newest = "v7.1.8"
)

// Compare is negative if this release is older than the other, 0 if it is the same and positive if it is newer.
func (v Release) Compare(o Release) int {
	for _, d := range [3]int{v.Major - o.Major, v.Minor - o.Minor, v.Patch - o.Patch} {
		if d != 0 {
			return d
		}
	}
	return 0
}

// From tells whether this is the given release or a later one.
func (v Release) From(major, minor, patch int) bool {
	return v.Compare(Release{Major: major, Minor: minor, Patch: patch}) >= 0
}

// Before is the opposite of From.
func (v Release) Before(major, minor, patch int) bool { return !v.From(major, minor, patch) }

// UnknownCall is what a validator client of this version asks for and a beacon node of that one does not have: a call
// without which it attests nothing, or (blocks) only proposes nothing. Empty: they work together.
func (v Release) UnknownCall(beacon Release) (attest, blocks string) {
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

// Commit is the commit that the program says it was built from: the real one where it is known.
func (v Release) Commit() string {
	if v.Text == "v7.1.6" {
		return "1fc46453cf"
	}
	return "0000000000"
}

// Full is what --version and the log print.
func (v Release) Full() string {
	return fmt.Sprintf("Prysm/%s/%s. Built at: Moments ago", v.Text, v.Commit())
}
