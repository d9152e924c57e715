package chain

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What a site finds outside: an execution client, and public providers of checkpoints.

// Network is a public network by what tells it apart.
type Network struct {
	ChainID uint64
	Genesis int64
	Root    string
}

const (
	secondsPerSlot = 12
	slotsPerEpoch  = 32
)

// Hoodi is the network that the shipped test inventory follows.
var Hoodi = Network{560048, 1742213400, "0x212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f"}

func (n Network) epoch() int64 {
	return (time.Now().Unix() - n.Genesis) / (secondsPerSlot * slotsPerEpoch)
}

func (n Network) block(slot int64) string {
	sum := sha256.Sum256([]byte(fmt.Sprint("block of ", n.Root, slot)))
	return "0x" + hex.EncodeToString(sum[:])
}

// Provider serves as much of a beacon API as providers of checkpoints do.
func (n Network) Provider() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /eth/v1/beacon/genesis", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"data": map[string]string{
			"genesis_time": strconv.FormatInt(n.Genesis, 10), "genesis_validators_root": n.Root,
		}})
	})
	mux.HandleFunc("GET /eth/v1/beacon/states/head/finality_checkpoints", func(w http.ResponseWriter, _ *http.Request) {
		at := func(back int64) map[string]string {
			epoch := n.epoch() - back
			return map[string]string{"epoch": strconv.FormatInt(epoch, 10), "root": n.block(epoch * slotsPerEpoch)}
		}
		reply(w, map[string]any{"data": map[string]any{"finalized": at(2), "current_justified": at(1)}})
	})
	mux.HandleFunc("GET /eth/v1/beacon/blocks/{slot}/root", func(w http.ResponseWriter, r *http.Request) {
		slot, err := strconv.ParseInt(r.PathValue("slot"), 10, 64)
		if err != nil || slot > (n.epoch()+1)*slotsPerEpoch {
			http.NotFound(w, r)
			return
		}
		reply(w, map[string]any{"data": map[string]string{"root": n.block(slot)}})
	})
	mux.HandleFunc("GET /eth/v2/debug/beacon/states/{state}", func(w http.ResponseWriter, r *http.Request) {
		slot := int64(0)
		switch r.PathValue("state") {
		case "genesis":
		case "finalized":
			slot = (n.epoch() - 2) * slotsPerEpoch
		default:
			http.NotFound(w, r)
			return
		}
		root, _ := hex.DecodeString(n.Root[2:])
		state := binary.LittleEndian.AppendUint64(nil, uint64(n.Genesis))
		state = binary.LittleEndian.AppendUint64(append(state, root...), uint64(slot))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(append(state, make([]byte, 1<<20)...))
	})
	return mux
}

// Engine is an execution client's engine API: it gives nothing without a token made from the secret.
func (c *Chain) Engine(secret []byte, chainID uint64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.executes(w) {
			return
		}
		if why := checkToken(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), secret); why != "" {
			http.Error(w, why, http.StatusUnauthorized)
			return
		}
		execute(w, r, chainID, true)
	})
}

// Open is an execution client's open port, which needs no token and has no engine API.
func (c *Chain) Open(chainID uint64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.executes(w) {
			execute(w, r, chainID, false)
		}
	}
}

// executes tells whether there is an execution client; where there is none, the connection ends without an answer.
func (c *Chain) executes(w http.ResponseWriter) bool {
	c.mu.Lock()
	gone := c.faults.ELDead || c.faults.ELOffline
	c.mu.Unlock()
	if gone {
		if hijacker, ok := w.(http.Hijacker); ok {
			if conn, _, err := hijacker.Hijack(); err == nil {
				conn.Close()
			}
		}
	}
	return !gone
}

func checkToken(token string, secret []byte) string {
	if token == "" {
		return "missing token"
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "token is malformed"
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !hmac.Equal(signature, mac.Sum(nil)) {
		return "signature is invalid"
	}
	var claims struct {
		Iat *int64 `json:"iat"`
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &claims) != nil || claims.Iat == nil {
		return "missing issued-at"
	}
	if age := time.Since(time.Unix(*claims.Iat, 0)); age > time.Minute || age < -time.Minute {
		return "stale token"
	}
	return ""
}

// question is one call of an execution client's JSON-RPC; a request may hold several.
type question struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params []any           `json:"params"`
}

func execute(w http.ResponseWriter, r *http.Request, chainID uint64, engine bool) {
	var asked json.RawMessage
	if err := json.NewDecoder(io.LimitReader(r.Body, 8<<20)).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var several []question
	if json.Unmarshal(asked, &several) == nil {
		answers := make([]map[string]any, 0, len(several))
		for _, one := range several {
			answers = append(answers, one.answer(chainID, engine))
		}
		reply(w, answers)
		return
	}
	var one question
	if err := json.Unmarshal(asked, &one); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, one.answer(chainID, engine))
}

func (q question) answer(chainID uint64, engine bool) map[string]any {
	answer := map[string]any{"jsonrpc": "2.0", "id": q.ID}
	newest := time.Now().Unix() / secondsPerSlot
	switch {
	case q.Method == "eth_chainId":
		answer["result"] = hexed(int64(chainID))
	case q.Method == "net_version":
		answer["result"] = strconv.FormatUint(chainID, 10)
	case q.Method == "eth_syncing":
		answer["result"] = false
	case q.Method == "eth_blockNumber":
		answer["result"] = hexed(newest)
	case q.Method == "eth_getBlockByNumber" && len(q.Params) > 0:
		number := newest
		if text, ok := q.Params[0].(string); ok && strings.HasPrefix(text, "0x") {
			number, _ = strconv.ParseInt(text[2:], 16, 64)
		}
		answer["result"] = executionBlock(number)
	case q.Method == "eth_getBlockByHash":
		answer["result"] = executionBlock(newest)
	case q.Method == "eth_getLogs":
		answer["result"] = []any{}
	case q.Method == "eth_call":
		answer["result"] = q.depositContract()
	case engine && q.Method == "engine_exchangeCapabilities":
		answer["result"] = []string{"engine_newPayloadV4", "engine_forkchoiceUpdatedV3"}
	default:
		answer["error"] = map[string]any{
			"code": -32601, "message": "the method " + q.Method + " does not exist/is not available",
		}
	}
	return answer
}

// depositContract answers for a contract without deposits: get_deposit_count() gives eight bytes, with their place and
// length before them; get_deposit_root() a root.
func (q question) depositContract() string {
	if len(q.Params) > 0 {
		call, _ := q.Params[0].(map[string]any)
		for _, name := range []string{"data", "input"} {
			if data, _ := call[name].(string); strings.HasPrefix(data, "0x621fd130") {
				return fmt.Sprintf("0x%064x%064x%064x", 32, 8, 0)
			}
		}
	}
	return zeros(32)
}

func hexed(n int64) string { return "0x" + strconv.FormatInt(n, 16) }

func zeros(bytes int) string { return "0x" + strings.Repeat("00", bytes) }

// executionBlock has all that real Prysm reads of a header: v1.x all of it, v7 number, hash and timestamp, without which
// its /healthz is 503.
func executionBlock(number int64) map[string]any {
	hash := func(n int64) string {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(n)))
		return "0x" + hex.EncodeToString(sum[:])
	}
	return map[string]any{
		"number": hexed(number), "hash": hash(number), "parentHash": hash(number - 1),
		"timestamp": hexed(number * secondsPerSlot), "difficulty": "0x1", "gasLimit": "0x1c9c380", "gasUsed": "0x0",
		"extraData": "0x", "miner": zeros(20), "nonce": zeros(8), "logsBloom": zeros(256), "mixHash": zeros(32),
		"receiptsRoot": zeros(32), "sha3Uncles": zeros(32), "stateRoot": zeros(32), "transactionsRoot": zeros(32),
		"transactions": []any{}, "uncles": []any{},
	}
}

// Authority makes a certificate for names, and the certificate of the authority that vouches for it, as PEM.
func Authority(names []string) (tls.Certificate, []byte, error) {
	var none tls.Certificate
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, nil, err
	}
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Rehearsal"}, NotBefore: from,
		NotAfter: from.AddDate(30, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return none, nil, err
	}
	parent, err := x509.ParseCertificate(root)
	if err != nil {
		return none, nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, nil, err
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, NotBefore: from,
		NotAfter: from.AddDate(30, 0, 0), DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}, parent, &leafKey.PublicKey, key)
	if err != nil {
		return none, nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root})
	return tls.Certificate{Certificate: [][]byte{leaf, root}, PrivateKey: leafKey}, text, nil
}
