package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/wire"
)

// standard is the standard beacon API.
type standard struct{ *Gateway }

// Standard is the part of the standard beacon API that operators look at.
func (g *Gateway) Standard(mux *http.ServeMux) {
	s := standard{g}
	mux.HandleFunc("GET /eth/v1/node/health", s.health)
	mux.HandleFunc("GET /eth/v1/node/syncing", s.syncing)
	mux.HandleFunc("GET /eth/v1/node/version", func(w http.ResponseWriter, _ *http.Request) {
		data(w, map[string]string{"version": fmt.Sprintf("Prysm/%s (linux amd64)", g.cli.Release.Text)})
	})
	mux.HandleFunc("GET /eth/v1/node/identity", s.identity)
	mux.HandleFunc("GET /eth/v1/node/peer_count", s.peerCount)
	mux.HandleFunc("GET /eth/v1/beacon/genesis", s.genesis)
	mux.HandleFunc("GET /eth/v1/config/spec", s.spec)
	mux.HandleFunc("GET /eth/v1/beacon/states/{state}/finality_checkpoints", s.finality)
	mux.HandleFunc("GET /eth/v1/beacon/states/{state}/validators", s.getValidators)
	if g.cli.Release.From(4, 2, 0) {
		mux.HandleFunc("POST /eth/v1/beacon/states/{state}/validators", s.postValidators)
	}
	if g.cli.Release.From(3, 2, 0) {
		mux.HandleFunc("POST /eth/v1/validator/liveness/{epoch}", s.liveness)
	}
}

// data answers what was asked for, as nearly every answer of this API is wrapped.
func data(w http.ResponseWriter, v any) { jsonhttp.Answer(w, 200, map[string]any{"data": v}) }

func (s standard) health(w http.ResponseWriter, r *http.Request) {
	code := 200
	if !s.chain.Sync().Ready() || s.chain.Optimistic() {
		code = 206
		if wanted := r.URL.Query().Get("syncing_status"); wanted != "" {
			n, err := strconv.Atoi(wanted)
			if err != nil || n < 100 || n > 599 {
				fail(w, 400, "syncing_status is not a valid HTTP status code")
				return
			}
			code = n
		}
	}
	w.WriteHeader(code)
}

func (s standard) syncing(w http.ResponseWriter, _ *http.Request) {
	sync := s.chain.Sync()
	shift, _ := s.chain.Public()
	out := map[string]any{
		"head_slot": number(sync.Head + shift), "sync_distance": number(sync.Distance), "is_syncing": !sync.Ready(),
	}
	if s.cli.Release.From(2, 1, 0) {
		out["is_optimistic"] = s.chain.Optimistic()
	}
	if s.cli.Release.From(4, 0, 0) {
		out["el_offline"] = sync.ELOffline
	}
	data(w, out)
}

func (s standard) identity(w http.ResponseWriter, _ *http.Request) {
	if s.cli.Flags.Bool("no-discovery") {
		fail(w, 500, "could not obtain enr: no discovery")
		return
	}
	data(w, map[string]any{"peer_id": "", "enr": "", "p2p_addresses": []string{}})
}

func (s standard) peerCount(w http.ResponseWriter, _ *http.Request) {
	n := "0"
	if s.chain.Connected() {
		n = "1"
	}
	data(w, map[string]string{"connected": n, "connecting": "0", "disconnected": "0", "disconnecting": "0"})
}

func (s standard) genesis(w http.ResponseWriter, _ *http.Request) {
	c := s.chain.Config()
	if c.GenesisTime == 0 {
		fail(w, 404, "Chain genesis info is not yet known")
		return
	}
	genesis := c.GenesisTime
	if _, known := s.chain.Public(); known != 0 {
		genesis = known
	}
	data(w, map[string]string{
		"genesis_time": strconv.FormatInt(genesis, 10), "genesis_validators_root": c.GenesisValidatorsRoot,
		"genesis_fork_version": "0x20000089",
	})
}

func (s standard) spec(w http.ResponseWriter, _ *http.Request) {
	c := s.chain.Config()
	out := map[string]string{
		"CONFIG_NAME": "eth2xk8s-lab", "SECONDS_PER_SLOT": number(c.SecondsPerSlot), "SLOTS_PER_EPOCH": number(c.SlotsPerEpoch),
	}
	if s.cli.Release.From(7, 0, 0) {
		out["SLOT_DURATION_MS"] = number(c.SecondsPerSlot) + "000"
	}
	data(w, out)
}

func (s standard) finality(w http.ResponseWriter, _ *http.Request) {
	h := s.chain.Head()
	cp := func(e uint64) map[string]string {
		return map[string]string{"epoch": number(e), "root": h.Root}
	}
	data(w, map[string]any{
		"previous_justified": cp(previous(h.Justified)), "current_justified": cp(h.Justified), "finalized": cp(h.Finalized),
	})
}

// statusName are the standard API's names of statuses.
var statusName = map[string]string{
	"deposited": "pending_initialized", "partially_deposited": "pending_initialized", "pending": "pending_queued",
	"active": "active_ongoing", "exiting": "active_exiting", "slashing": "active_slashed", "exited": "exited_unslashed",
}

func (s standard) getValidators(w http.ResponseWriter, r *http.Request) {
	var ids []string
	for _, id := range r.URL.Query()["id"] {
		ids = append(ids, strings.Split(id, ",")...)
	}
	s.validators(w, r, ids)
}

func (s standard) postValidators(w http.ResponseWriter, r *http.Request) {
	var in struct {
		IDs []string `json:"ids"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, 400, err.Error())
		return
	}
	s.validators(w, r, in.IDs)
}

// validators answers what is known of keys, by public key or index; of all when none is named.
func (s standard) validators(w http.ResponseWriter, r *http.Request, ids []string) {
	for _, id := range ids {
		if _, err := wire.Bytes(id, 48); err != nil && !isNumber(id) {
			fail(w, 400, fmt.Sprintf("Could not get validator: %q is neither a public key nor an index", id))
			return
		}
	}
	list, err := s.states(r, nil)
	if err != nil {
		fail(w, 500, err.Error())
		return
	}
	out := []any{}
	for _, state := range list {
		n := number(state.Index)
		wanted := len(ids) == 0
		for _, id := range ids {
			wanted = wanted || strings.EqualFold(id, state.Key) || id == n
		}
		if !wanted {
			continue
		}
		one := map[string]any{
			"pubkey": state.Key, "withdrawal_credentials": "0x" + strings.Repeat("00", 32),
			"effective_balance": "32000000000", "slashed": state.Status == "slashing",
		}
		for name, at := range s.epochs(state.Status) {
			one[name] = at
		}
		out = append(out, map[string]any{
			"index": n, "balance": "32000000000", "status": statusName[state.Status], "validator": one,
		})
	}
	jsonhttp.Answer(w, 200, map[string]any{"execution_optimistic": s.chain.Optimistic(), "finalized": false, "data": out})
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// liveness answers which indices were seen signing in an epoch.
func (s standard) liveness(w http.ResponseWriter, r *http.Request) {
	epoch, err := strconv.ParseUint(r.PathValue("epoch"), 10, 64)
	var ids []string
	if err == nil {
		err = json.NewDecoder(r.Body).Decode(&ids)
	}
	if err != nil {
		fail(w, 400, err.Error())
		return
	}
	slot, _ := s.chain.Slot()
	if c := s.chain.Config(); c.SlotsPerEpoch == 0 || epoch > slot/c.SlotsPerEpoch {
		fail(w, 400, "Requested epoch cannot be in the future")
		return
	}
	index := map[string]uint64{}
	if err := s.chain.Ask(r.Context(), "GET", "/validators", nil, &index); err != nil {
		fail(w, 500, err.Error())
		return
	}
	keys := map[string]string{}
	var asked []string
	for key, i := range index {
		keys[number(i)] = key
	}
	for _, id := range ids {
		if keys[id] == "" {
			fail(w, 400, "Validator index "+url.QueryEscape(id)+" is invalid")
			return
		}
		asked = append(asked, keys[id])
	}
	live := map[string]bool{}
	if err := s.chain.Ask(r.Context(), "POST", "/liveness", wire.LivenessRequest{Epoch: epoch, Keys: asked}, &live); err != nil {
		fail(w, 500, err.Error())
		return
	}
	out := []any{}
	for i, id := range ids {
		out = append(out, map[string]any{"index": id, "is_live": live[asked[i]]})
	}
	data(w, out)
}
