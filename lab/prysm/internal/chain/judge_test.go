package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/wire"
)

// site is a chain behind its real HTTP interface: offences are planted as anybody could, by sending signatures.
type site struct {
	t   *testing.T
	dir string
	c   *Chain
	srv *httptest.Server
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir()}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) start() {
	s.t.Helper()
	c, err := Open(s.dir, wire.Config{GenesisTime: time.Now().Unix() - 1000, SecondsPerSlot: 2, SlotsPerEpoch: 8})
	if err != nil {
		s.t.Fatal(err)
	}
	s.c, s.srv = c, httptest.NewServer(c.Handler())
}

func (s *site) stop() {
	s.srv.Close()
	s.c.Close()
}

func (s *site) get(path string, out any) {
	s.t.Helper()
	res, err := http.Get(s.srv.URL + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) post(path string, in any) int {
	s.t.Helper()
	raw, _ := json.Marshal(in)
	res, err := http.Post(s.srv.URL+path, "application/json", bytes.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func (s *site) report() *Report {
	var r Report
	s.get("/judge", &r)
	return &r
}

func (s *site) kinds() string {
	var out []string
	for _, o := range s.report().Offences {
		out = append(out, o.Kind)
	}
	return strings.Join(out, " ")
}

// signer is an honest client: it keeps its history and says what it knows.
type signer struct {
	s      *site
	secret []byte
	key    string
	client string
	d      wire.Digest
	pairs  map[[2]uint64]bool
	slots  map[uint64]bool
	roots  map[[2]uint64]string
	show   bool // its newest records too
	forget [2]uint64
}

func newSigner(s *site, n int) *signer {
	h := sha256.Sum256([]byte(fmt.Sprint("test key ", n)))
	h[0] &= 0x3f
	pub, err := wire.PublicKey(h[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return &signer{
		s: s, secret: h[:], key: wire.Hex(pub), client: "a",
		d:     wire.Digest{HighestSlot: -1, HighestSource: -1, HighestTarget: -1},
		pairs: map[[2]uint64]bool{}, slots: map[uint64]bool{}, roots: map[[2]uint64]string{},
		forget: [2]uint64{^uint64(0), 0},
	}
}

func (k *signer) sign(sub wire.Submission) wire.Submission {
	k.s.t.Helper()
	if err := sub.Sign(k.secret, k.s.c.Config.GenesisValidatorsRoot); err != nil {
		k.s.t.Fatal(err)
	}
	return sub
}

func root(text string) string {
	h := sha256.Sum256([]byte(text))
	return wire.Hex(h[:])
}

func (k *signer) vote(slot, source, target uint64, head string) wire.Submission {
	d := k.d
	for p := range k.pairs {
		if k.show && p != k.forget {
			d.Votes = append(d.Votes, wire.Vote{Source: p[0], Target: p[1], Root: k.roots[p]})
		}
	}
	return k.sign(wire.Submission{
		Kind: wire.KindAttestation, Key: k.key, Slot: slot, Source: source, Target: target, Root: root(head),
		Client: k.client, Version: "v7.1.6", Digest: &d,
	})
}

func (k *signer) block(slot uint64, body string) wire.Submission {
	d := k.d
	return k.sign(wire.Submission{
		Kind: wire.KindBlock, Key: k.key, Slot: slot, Root: root(body), Client: k.client, Version: "v7.1.6", Digest: &d,
	})
}

// learn keeps what was signed, as an honest client does before it signs.
func (k *signer) learn(sub wire.Submission) {
	if sub.Kind == wire.KindAttestation {
		k.pairs[[2]uint64{sub.Source, sub.Target}] = true
		k.roots[[2]uint64{sub.Source, sub.Target}] = sub.SigningRoot[2:10]
		k.d.HighestSource = max(k.d.HighestSource, int64(sub.Source))
		k.d.HighestTarget = max(k.d.HighestTarget, int64(sub.Target))
	} else {
		k.slots[sub.Slot] = true
		k.d.HighestSlot = max(k.d.HighestSlot, int64(sub.Slot))
	}
	k.d.Attestations, k.d.Blocks = len(k.pairs), len(k.slots)
}

func (k *signer) send(sub wire.Submission) {
	k.s.t.Helper()
	if code := k.s.post("/submit", sub); code != 200 {
		k.s.t.Fatalf("submission answered with %d", code)
	}
	k.learn(sub)
}

func TestEveryKindOfOffenceIsCaught(t *testing.T) {
	cases := map[string]struct {
		plant func(k *signer)
		want  string
	}{
		"double vote": {func(k *signer) {
			k.send(k.vote(8, 0, 1, "x"))
			k.send(k.vote(9, 0, 1, "y"))
		}, DoubleVote},
		"surround": {func(k *signer) {
			k.send(k.vote(32, 3, 4, "x"))
			k.send(k.vote(40, 2, 5, "y"))
		}, Surround},
		"surrounded": {func(k *signer) {
			k.send(k.vote(40, 2, 6, "x"))
			k.send(k.vote(41, 3, 5, "y"))
		}, Surrounded},
		"double proposal": {func(k *signer) {
			k.send(k.block(5, "x"))
			k.send(k.block(5, "y"))
		}, DoubleProposal},
		"empty database": {func(k *signer) {
			k.send(k.vote(8, 0, 1, "x"))
			k.d = wire.Digest{HighestSlot: -1, HighestSource: -1, HighestTarget: -1}
			k.send(k.vote(16, 1, 2, "y"))
		}, LessHistory},
		"older database": {func(k *signer) {
			k.send(k.vote(8, 0, 1, "x"))
			old := k.d
			k.send(k.vote(16, 1, 2, "x"))
			k.d = old
			k.send(k.vote(24, 2, 3, "y"))
		}, LessHistory},
		"a block forgotten": {func(k *signer) {
			k.send(k.block(5, "x"))
			k.d.HighestSlot, k.d.Blocks = -1, 0
			k.send(k.vote(8, 0, 1, "y"))
		}, LessHistory},
		"fewer records": {func(k *signer) {
			k.send(k.vote(8, 0, 1, "x"))
			k.send(k.vote(16, 1, 2, "x"))
			k.d.Attestations--
			k.send(k.vote(24, 2, 3, "y"))
		}, LessHistory},
		"less than was ever known": {func(k *signer) {
			k.d = wire.Digest{HighestSlot: 900, HighestSource: 99, HighestTarget: 100, Attestations: 50, Blocks: 3}
			sub := k.vote(808, 100, 101, "x") // history from before this chain's first signature
			k.s.post("/submit", sub)
			k.d = wire.Digest{HighestSlot: -1, HighestSource: 100, HighestTarget: 101, Attestations: 51}
			k.s.post("/submit", k.vote(816, 101, 102, "y"))
		}, LessHistory},
		"a vote in the middle lost": {func(k *signer) {
			k.send(k.vote(8, 0, 1, "x"))
			k.send(k.vote(16, 1, 2, "x"))
			k.show = true
			k.forget = [2]uint64{0, 1}
			k.d.Attestations++ // made up by records of other keys
			k.send(k.vote(24, 2, 3, "y"))
		}, LessHistory},
		"a vote that has become another": {func(k *signer) {
			k.send(k.vote(8, 0, 1, "x"))
			k.send(k.vote(16, 1, 2, "x"))
			k.show = true
			k.roots[[2]uint64{0, 1}] = "deadbeef"
			k.send(k.vote(24, 2, 3, "y"))
		}, LessHistory},
		"a block in the middle lost": {func(k *signer) {
			k.send(k.block(5, "x"))
			k.send(k.block(6, "x"))
			k.d.Slots = []wire.Block{{Slot: 4}, {Slot: 6}}
			k.send(k.vote(8, 0, 1, "y"))
		}, LessHistory},
		"no digest": {func(k *signer) {
			k.send(k.vote(8, 0, 1, "x"))
			sub := k.vote(16, 1, 2, "y")
			sub.Digest = nil
			k.send(sub)
		}, LessHistory},
		"two clients by turns": {func(k *signer) {
			k.send(k.vote(8, 0, 1, "x"))
			k.client = "b"
			k.send(k.vote(16, 1, 2, "x"))
			k.client = "a"
			k.send(k.vote(24, 2, 3, "x"))
		}, TwoClients},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c.plant(newSigner(s, 1))
			if got := s.kinds(); got != c.want {
				t.Fatalf("offences: %q, want %q", got, c.want)
			}
			// The judge remembers after a restart, and does not find the same again.
			before, _ := json.Marshal(s.report())
			s.stop()
			s.start()
			after, _ := json.Marshal(s.report())
			if !bytes.Equal(before, after) {
				t.Fatalf("after a restart:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

func TestAnOffenceNamesBothSignatures(t *testing.T) {
	s := newSite(t)
	k := newSigner(s, 1)
	k.send(k.block(5, "x"))
	k.client = "b"
	k.send(k.block(5, "y"))
	o := s.report().Offences[0]
	if o.Key != k.key || o.First.Client != "a" || o.Second.Client != "b" || o.First.ID != 0 || o.Second.ID != 1 || o.At == 0 {
		t.Fatalf("%+v", o)
	}
}

func TestNoOffence(t *testing.T) {
	s := newSite(t)
	k := newSigner(s, 1)
	first := k.vote(8, 0, 1, "x")
	k.send(first)
	k.send(first) // the same message again
	k.send(k.block(9, "x"))
	k.client = "b" // one client takes over, with the history
	k.send(k.vote(16, 1, 2, "x"))
	// Another key signs the same targets.
	other := newSigner(s, 2)
	other.send(other.vote(8, 0, 1, "z"))
	if got := s.kinds(); got != "" {
		t.Fatalf("offences: %q", got)
	}
	rep := s.report()
	if rep.Signatures != 5 || rep.Keys[k.key].Attestations != 2 || rep.Keys[k.key].Blocks != 1 || rep.Keys[k.key].LastTarget != 2 ||
		strings.Join(rep.Keys[k.key].Clients, " ") != "a b" {
		t.Fatalf("%+v %+v", rep, rep.Keys[k.key])
	}
}

// What a key has signed with another program counts against all that it signs later, and is no offence by itself.
func TestWhatWasSignedElsewhereCounts(t *testing.T) {
	file := func(key string) wire.Interchange {
		return wire.Interchange{Data: []*wire.InterchangeKey{{
			Pubkey: "0x" + strings.ToUpper(key[2:]),
			Blocks: []*wire.InterchangeSlot{{Slot: "40"}},
			Attestations: []*wire.InterchangeVote{
				{Source: "3", Target: "4", Root: root("v")}, {Source: "4", Target: "5"}, {Source: "2", Target: "6"},
			},
		}}}
	}
	for name, want := range map[string]string{"knows": "", "knows nothing": LessHistory, "votes again": DoubleVote, "surrounds": Surround,
		// Its history has later slots: a block between them is none that EIP-3076 forbids, if it knows of all of them.
		"proposes between": "", "knows nothing, and proposes between": LessHistory} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			k := newSigner(s, 1)
			in := file(k.key)
			if code := s.post("/judge/elsewhere", in); code != 200 {
				t.Fatal(code)
			}
			s.stop() // what was learned survives a restart
			s.start()
			if got := s.kinds(); got != "" {
				t.Fatal(got)
			}
			if !strings.HasPrefix(name, "knows nothing") {
				for _, a := range [][2]uint64{{3, 4}, {4, 5}, {2, 6}} {
					k.learn(wire.Submission{Kind: wire.KindAttestation, Source: a[0], Target: a[1], SigningRoot: root("v")})
				}
				k.learn(wire.Submission{Kind: wire.KindBlock, Slot: 40, SigningRoot: root("b")})
				k.show = true
			}
			switch name {
			case "votes again":
				k.send(k.vote(49, 5, 6, "x"))
			case "surrounds":
				k.send(k.vote(57, 1, 7, "x"))
			case "proposes between", "knows nothing, and proposes between":
				k.send(k.block(39, "x"))
				k.send(k.block(41, "x"))
				k.send(k.vote(57, 6, 7, "x"))
			default:
				k.send(k.vote(57, 6, 7, "x"))
			}
			if got := s.kinds(); !strings.Contains(got, want) || (want == "" && got != "") {
				t.Fatalf("offences: %q", got)
			}
			if rep := s.report(); rep.Keys[k.key].Attestations != 1 ||
				(rep.Keys[k.key].Blocks == 2) != strings.HasSuffix(name, "proposes between") || len(rep.Keys[k.key].Clients) != 1 {
				t.Fatalf("%+v", rep.Keys[k.key])
			}
		})
	}
}

// A frozen machine's signature may arrive long after another client took over. It is judged by its slot.
func TestALateSignatureIsNoOffence(t *testing.T) {
	s := newSite(t)
	k := newSigner(s, 1)
	k.send(k.vote(8, 0, 1, "x"))
	late := k.vote(16, 1, 2, "x")
	k.learn(late) // kept, signed, and then the machine froze
	k.client = "b"
	k.send(k.vote(24, 2, 3, "y"))
	k.send(k.vote(32, 3, 4, "y"))
	k.send(late)
	if got := s.kinds(); got != "" {
		t.Fatalf("offences: %q", got)
	}
	// But if the one who took over did not know of it, it is one.
	s2 := newSite(t)
	k = newSigner(s2, 1)
	k.send(k.vote(8, 0, 1, "x"))
	late = k.vote(16, 1, 2, "x")
	k.client = "b"
	k.send(k.vote(24, 2, 3, "y"))
	s2.post("/submit", late)
	if got := s2.kinds(); got != LessHistory {
		t.Fatalf("offences: %q", got)
	}
}

func TestAForgedSignatureIsRefusedAndNotHeldAgainstTheKey(t *testing.T) {
	s := newSite(t)
	k, thief := newSigner(s, 1), newSigner(s, 2)
	k.send(k.vote(8, 0, 1, "x"))
	forged := thief.vote(9, 0, 1, "y")
	forged.Key = k.key
	if code := s.post("/submit", forged); code != 400 {
		t.Fatalf("answered with %d", code)
	}
	changed := k.vote(9, 0, 1, "y")
	changed.Target = 7
	if code := s.post("/submit", changed); code != 400 {
		t.Fatalf("answered with %d", code)
	}
	rep := s.report()
	if len(rep.Offences) != 0 || rep.Signatures != 1 || rep.Rejected != 2 {
		t.Fatalf("%+v", rep)
	}
	var recs []Record
	s.get("/judge/signatures?since=1", &recs)
	if len(recs) != 2 || recs[0].Verified || recs[0].Reason == "" {
		t.Fatalf("%+v", recs)
	}
}

// An honest run of three keys over 25 epochs, with a restart of the chain in the middle that tears the last line.
func TestAnHonestRunHasNoOffence(t *testing.T) {
	s := newSite(t)
	var ks []*signer
	var keys []string
	for i := range 3 {
		ks = append(ks, newSigner(s, i))
		ks[i].show = true
		keys = append(keys, ks[i].key)
	}
	proposed := map[string]int{}
	for epoch := uint64(0); epoch < 25; epoch++ {
		if epoch == 12 {
			before := s.report()
			s.stop()
			f, _ := os.OpenFile(filepath.Join(s.dir, "signatures.jsonl"), os.O_APPEND|os.O_WRONLY, 0o644)
			f.WriteString(`{"id":9999,"at":17954`)
			f.Close()
			s.start()
			if after := s.report(); after.Signatures != before.Signatures {
				t.Fatalf("%d signatures before, %d after", before.Signatures, after.Signatures)
			}
			for _, k := range ks {
				k.client = "after"
			}
		}
		duties, err := s.c.Duties(wire.DutiesRequest{Epoch: epoch, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		again, _ := s.c.Duties(wire.DutiesRequest{Epoch: epoch, Keys: keys})
		if fmt.Sprint(duties) != fmt.Sprint(again) {
			t.Fatal("duties differ from one request to the next")
		}
		for slot := epoch * 8; slot < (epoch+1)*8; slot++ {
			for i, d := range duties {
				for _, p := range d.ProposerSlots {
					if p == slot {
						ks[i].send(ks[i].block(slot, s.c.Block(slot, "a")))
						proposed[d.Key]++
					}
				}
				if d.AttesterSlot == slot {
					a := s.c.Attestation(slot, "a")
					if a.Target != epoch || a.Source > epoch || (epoch > 2 && a.Source != epoch-1) {
						t.Fatalf("%+v in epoch %d", a, epoch)
					}
					ks[i].send(ks[i].vote(slot, a.Source, a.Target, a.Root))
				}
			}
		}
	}
	if got := s.kinds(); got != "" {
		t.Fatalf("offences: %q", got)
	}
	for _, k := range ks {
		if r := s.report().Keys[k.key]; r.Attestations != 25 || r.Blocks != proposed[k.key] || proposed[k.key] == 0 {
			t.Fatalf("%+v, %d proposals", r, proposed[k.key])
		}
	}
}

func TestADamagedMemoryIsNotPassedOver(t *testing.T) {
	s := newSite(t)
	k := newSigner(s, 1)
	k.send(k.vote(8, 0, 1, "x"))
	s.srv.Close()
	s.c.Close()
	path := filepath.Join(s.dir, "signatures.jsonl")
	raw, _ := os.ReadFile(path)
	os.WriteFile(path, append([]byte("{broken\n"), raw...), 0o644)
	if _, err := Open(s.dir, wire.Config{SecondsPerSlot: 2, SlotsPerEpoch: 8}); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Fatalf("err = %v", err)
	}
	os.WriteFile(path, raw, 0o644)
	s.start()
}

func TestMissedDutiesAreThoseThatNobodySignedFor(t *testing.T) {
	s := newSite(t)
	k := newSigner(s, 1)
	if _, err := s.c.Duties(wire.DutiesRequest{Epoch: 1, Keys: []string{k.key}}); err != nil {
		t.Fatal(err)
	}
	missed := func() (got []Miss) {
		s.get("/judge/missed?since=8", &got)
		return got
	}
	if got := missed(); len(got) != 0 {
		t.Fatalf("a key that has never signed misses nothing: %v", got)
	}
	k.send(k.vote(8, 0, 1, "x"))
	now, _ := s.c.Slot()
	// Its only key proposes in every slot, and attests once an epoch; the first epoch's attestation is there.
	blocks, votes := 0, 0
	for _, one := range missed() {
		if one.Kind == wire.KindBlock {
			blocks++
		} else if votes++; one.Slot < 16 {
			t.Fatalf("%+v", one)
		}
	}
	if uint64(blocks) != now-8-1 || votes == 0 {
		t.Fatalf("%d blocks, %d votes at slot %d", blocks, votes, now)
	}
	slot := s.c.attesterSlot(k.key, 3)
	k.send(k.vote(slot, 2, 3, "x"))
	for _, one := range missed() {
		if one.Kind == wire.KindAttestation && one.Slot == slot {
			t.Fatal("signed, and missed")
		}
	}
	if res, err := http.Get(s.srv.URL + "/judge/missed?since=x"); err != nil || res.StatusCode != http.StatusBadRequest {
		t.Fatal("since=x")
	}
}

func TestTwoClientsAreNeverShownTheSameHead(t *testing.T) {
	s := newSite(t)
	if s.c.Attestation(5, "a") != s.c.Attestation(5, "a") || s.c.Attestation(5, "a").Root == s.c.Attestation(5, "b").Root {
		t.Fatal("heads")
	}
	if s.c.Block(5, "a") == s.c.Block(5, "b") {
		t.Fatal("blocks")
	}
}

func TestFaultsAreShownToBeacons(t *testing.T) {
	s := newSite(t)
	s.post("/faults", wire.Faults{Syncing: true, ELOffline: true})
	var h wire.Head
	s.get("/head", &h)
	if !h.Faults.Syncing || !h.Faults.ELOffline {
		t.Fatalf("%+v", h)
	}
	s.post("/faults", wire.Faults{})
	s.get("/head", &h)
	if h.Faults.Syncing || h.Faults.ELOffline {
		t.Fatalf("%+v", h)
	}
}

func TestKeysAreWhatWasSaidOfThem(t *testing.T) {
	s := newSite(t)
	a, b, c := newSigner(s, 1).key, newSigner(s, 2).key, newSigner(s, 3).key
	if s.post("/validators", map[string]string{a: "unknown", b: "pending"}) != 200 ||
		s.post("/validators", map[string]string{a: "gone"}) != 400 || s.post("/validators", map[string]string{"0x12": "active"}) != 400 {
		t.Fatal("statuses")
	}
	duties := func() map[string]wire.Duty {
		got, err := s.c.Duties(wire.DutiesRequest{Epoch: 9, Keys: []string{a, b, c}})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]wire.Duty{}
		for _, d := range got {
			out[d.Key] = d
		}
		return out
	}
	for range 2 {
		d := duties()
		if d[a].Status != "unknown" || d[a].Index != wire.NoIndex || d[a].AttesterSlot != wire.NoSlot || len(d[a].ProposerSlots) != 0 {
			t.Fatalf("%+v", d[a])
		}
		if d[b].Status != "pending" || d[b].Index == wire.NoIndex || d[b].AttesterSlot != wire.NoSlot || len(d[b].ProposerSlots) != 0 {
			t.Fatalf("%+v", d[b])
		}
		if d[c].Status != "active" || d[c].AttesterSlot/8 != 9 || len(d[c].ProposerSlots) != 8 {
			t.Fatalf("%+v", d[c])
		}
		if got := s.c.States(wire.StatesRequest{Keys: []string{a, b, c}}); len(got) != 2 || got[0].Key != b || got[1].Key != c {
			t.Fatalf("%+v", got)
		}
		// What was said outlives the program.
		s.stop()
		s.start()
	}
	s.post("/validators", map[string]string{a: "active", b: "active", c: "exited"})
	if d := duties(); d[a].Index == wire.NoIndex || len(d[a].ProposerSlots)+len(d[b].ProposerSlots) != 8 || len(d[c].ProposerSlots) != 0 {
		t.Fatalf("%+v", d)
	}
}
