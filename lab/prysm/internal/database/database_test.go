package database

import (
	"bytes"
	"strings"
	"testing"

	"eth2xk8s/lab/prysm/internal/fixture"
)

func open(t *testing.T, dir, v string) *Store {
	t.Helper()
	s, err := Open(dir, fixture.Release(t, v))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheBlacklistOfARealDatabase(t *testing.T) {
	dir := t.TempDir()
	fixture.Unpack(t, fixture.Path(t, "prysm-live", "blacklisted-v7.1.6.db.xz"), dir)
	s := open(t, dir, "v7.1.6")
	defer s.Close()
	if black, err := s.Blacklisted(); err != nil || len(black) != 4 {
		t.Fatalf("%d keys, %v", len(black), err)
	}
}

func TestProtectionIsEnforced(t *testing.T) {
	fixture.Each(t, func(t *testing.T, v string) {
		s := open(t, t.TempDir(), v)
		defer s.Close()
		key, a, b := bytes.Repeat([]byte{1}, 48), bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
		ok := func(x Vote) {
			t.Helper()
			if err := s.CheckAndSaveVote(key, x); err != nil {
				t.Fatalf("%+v: %v", x, err)
			}
		}
		no := func(x Vote, why string) {
			t.Helper()
			err := s.CheckAndSaveVote(key, x)
			if _, is := err.(Refusal); !is || !strings.Contains(err.Error(), why) {
				t.Errorf("%+v: %v, want %q", x, err, why)
			}
		}
		ok(Vote{2, 3, a})
		ok(Vote{3, 6, a})
		no(Vote{3, 6, b}, "double vote found")
		ok(Vote{3, 6, a}) // the same again
		no(Vote{2, 7, b}, "surrounds another")
		no(Vote{4, 5, b}, "is surrounded by another")
		no(Vote{1, 9, b}, "lower than lowest source epoch")
		no(Vote{3, 3, b}, "lower than or equal to lowest target epoch")
		if err := s.CheckAndSaveBlock(key, 10, a); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckAndSaveBlock(key, 10, b); err == nil || !strings.Contains(err.Error(), "double proposal") {
			t.Error(err)
		}
		if err := s.CheckAndSaveBlock(key, 9, b); err == nil || !strings.Contains(err.Error(), "lowest signed slot") {
			t.Error(err)
		}
		d, err := s.Digest(key)
		if err != nil || d.HighestSlot != 10 || d.HighestSource != 3 || d.HighestTarget != 6 || d.Attestations != 2 || d.Blocks != 1 {
			t.Errorf("%+v %v", d, err)
		}
	})
}

// A newer version does not look at what an older one signed into its database without a migration.
func TestAnOlderVersionsVotesAreMissingAfterwards(t *testing.T) {
	dir := t.TempDir()
	key, root := bytes.Repeat([]byte{1}, 48), bytes.Repeat([]byte{1}, 32)
	for i, v := range []string{"v1.3.4", "v1.2.2", "v1.3.4"} {
		s := open(t, dir, v)
		if err := s.MigrateUp(); err != nil {
			t.Fatal(err)
		}
		d, _ := s.Digest(key)
		if i == 2 {
			if d.HighestTarget != 1 {
				t.Errorf("%+v", d)
			}
		} else if err := s.CheckAndSaveVote(key, Vote{uint64(i), uint64(i + 1), root}); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}
