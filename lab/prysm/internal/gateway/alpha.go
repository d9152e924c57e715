package gateway

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"eth2xk8s/lab/prysm/internal/jsonhttp"
	"eth2xk8s/lab/prysm/internal/wire"
)

// alpha is the gRPC gateway of the old releases.
type alpha struct{ *Gateway }

// Alpha is what the gRPC gateway of the old releases serves.
func (g *Gateway) Alpha(mux *http.ServeMux) {
	a := alpha{g}
	mux.HandleFunc("GET /eth/v1alpha1/node/syncing", func(w http.ResponseWriter, _ *http.Request) {
		jsonhttp.Answer(w, 200, map[string]bool{"syncing": !g.chain.Sync().Ready()})
	})
	mux.HandleFunc("GET /eth/v1alpha1/node/version", func(w http.ResponseWriter, _ *http.Request) {
		jsonhttp.Answer(w, 200, map[string]string{"version": g.cli.Release.Full(), "metadata": ""})
	})
	mux.HandleFunc("GET /eth/v1alpha1/node/genesis", a.genesis)
	mux.HandleFunc("GET /eth/v1alpha1/node/peers", func(w http.ResponseWriter, _ *http.Request) {
		jsonhttp.Answer(w, 200, map[string]any{"peers": []any{}})
	})
	mux.HandleFunc("GET /eth/v1alpha1/beacon/chainhead", a.chainHead)
	mux.HandleFunc("GET /eth/v1alpha1/beacon/config", a.config)
	mux.HandleFunc("GET /eth/v1alpha1/validators", a.validators)
	mux.HandleFunc("GET /eth/v1alpha1/validator/statuses", a.statuses)
}

func (a alpha) genesis(w http.ResponseWriter, _ *http.Request) {
	c := a.chain.Config()
	jsonhttp.Answer(w, 200, map[string]string{
		"genesisTime":            time.Unix(c.GenesisTime, 0).UTC().Format(time.RFC3339),
		"depositContractAddress": b64("0x00000000219ab540356cbb839cbe05303d7705fa"),
		"genesisValidatorsRoot":  b64(c.GenesisValidatorsRoot),
	})
}

func (a alpha) chainHead(w http.ResponseWriter, _ *http.Request) {
	h, c := a.chain.Head(), a.chain.Config()
	prev := previous(h.Justified)
	root := b64(h.Root)
	jsonhttp.Answer(w, 200, map[string]string{
		"headSlot": number(h.Slot), "headEpoch": number(h.Epoch), "headBlockRoot": root,
		"justifiedSlot": number(h.Justified * c.SlotsPerEpoch), "justifiedEpoch": number(h.Justified), "justifiedBlockRoot": root,
		"finalizedSlot": number(h.Finalized * c.SlotsPerEpoch), "finalizedEpoch": number(h.Finalized), "finalizedBlockRoot": root,
		"previousJustifiedSlot": number(prev * c.SlotsPerEpoch), "previousJustifiedEpoch": number(prev),
		"previousJustifiedBlockRoot": root,
	})
}

func (a alpha) config(w http.ResponseWriter, _ *http.Request) {
	c := a.chain.Config()
	jsonhttp.Answer(w, 200, map[string]any{"config": map[string]string{
		"SecondsPerSlot": number(c.SecondsPerSlot), "SlotsPerEpoch": number(c.SlotsPerEpoch),
	}})
}

// asked are the keys of a request (all, if it names none) and what the chain knows of them. It answers what it cannot read.
func (a alpha) asked(w http.ResponseWriter, r *http.Request) (keys []string, states map[string]wire.State, ok bool) {
	query := r.URL.Query()
	for _, text := range append(query["public_keys"], query["publicKeys"]...) {
		raw, err := unb64(text)
		if err != nil || len(raw) != 48 {
			jsonhttp.Answer(w, 400, map[string]any{"error": "illegal base64 data", "code": 3, "message": "illegal base64 data"})
			return nil, nil, false
		}
		keys = append(keys, wire.Hex(raw))
	}
	list, err := a.states(r, keys)
	if err != nil {
		jsonhttp.Answer(w, 500, map[string]any{"error": err.Error(), "code": 13, "message": err.Error()})
		return nil, nil, false
	}
	states = map[string]wire.State{}
	for _, s := range list {
		states[s.Key] = s
	}
	if len(keys) == 0 {
		for _, s := range list {
			keys = append(keys, s.Key)
		}
	}
	return keys, states, true
}

// alphaName are the standard API's names of epochs, as the old interface spells them.
var alphaName = map[string]string{
	"activation_eligibility_epoch": "activationEligibilityEpoch", "activation_epoch": "activationEpoch",
	"exit_epoch": "exitEpoch", "withdrawable_epoch": "withdrawableEpoch",
}

func (a alpha) validators(w http.ResponseWriter, r *http.Request) {
	keys, states, ok := a.asked(w, r)
	if !ok {
		return
	}
	list := []any{}
	for _, key := range keys {
		s, known := states[key]
		if !known {
			continue
		}
		v := map[string]any{
			"publicKey": b64(key), "withdrawalCredentials": b64("0x" + strings.Repeat("00", 32)),
			"effectiveBalance": "32000000000", "slashed": s.Status == "slashing",
		}
		for name, at := range a.epochs(s.Status) {
			v[alphaName[name]] = at
		}
		list = append(list, map[string]any{"index": number(s.Index), "validator": v})
	}
	jsonhttp.Answer(w, 200, map[string]any{
		"epoch": number(a.chain.Epoch()), "validatorList": list, "nextPageToken": "", "totalSize": len(list),
	})
}

func (a alpha) statuses(w http.ResponseWriter, r *http.Request) {
	keys, states, ok := a.asked(w, r)
	if !ok {
		return
	}
	pubkeys, statuses, indices := []string{}, []any{}, []string{}
	for _, key := range keys {
		status, index := "UNKNOWN_STATUS", wire.NoIndex
		if s, known := states[key]; known {
			status, index = strings.ToUpper(s.Status), s.Index
		}
		pubkeys, indices = append(pubkeys, b64(key)), append(indices, number(index))
		statuses = append(statuses, map[string]string{
			"status": status, "eth1DepositBlockNumber": "0", "depositInclusionSlot": "0",
			"activationEpoch": a.epochs(strings.ToLower(status))["activation_epoch"], "positionInActivationQueue": "0",
		})
	}
	jsonhttp.Answer(w, 200, map[string]any{"publicKeys": pubkeys, "statuses": statuses, "indices": indices})
}

// b64 is how gRPC gateways write bytes.
func b64(hexText string) string {
	raw, _ := hex.DecodeString(strings.TrimPrefix(hexText, "0x"))
	return base64.StdEncoding.EncodeToString(raw)
}

func unb64(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(text)
	return base64.StdEncoding.DecodeString(text)
}
