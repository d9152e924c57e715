package rpc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/freeport"
	"eth2xk8s/lab/prysm/internal/labtest"
	"eth2xk8s/lab/prysm/internal/wire"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestKeymanagerAPI(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "v7.1.6")
	data, w := t.TempDir(), labtest.SmallWallet(t, 1)
	apiPort := freeport.Find(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	p, _ := l.Validator("v7.1.6", data, w, "--rpc", fmt.Sprint("--http-port=", apiPort), "--keymanager-token-file="+tokenFile)
	token := ""
	call := func(method string, in any) (int, map[string]any) {
		t.Helper()
		raw, _ := json.Marshal(in)
		req, _ := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d/eth/v1/keystores", apiPort), bytes.NewReader(raw))
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil
		}
		defer res.Body.Close()
		var out map[string]any
		json.NewDecoder(res.Body).Decode(&out)
		return res.StatusCode, out
	}
	status := func(out map[string]any, i int) string {
		t.Helper()
		list, _ := out["data"].([]any)
		if len(list) <= i {
			t.Fatalf("%v", out)
		}
		s, _ := list[i].(map[string]any)["status"].(string)
		return s
	}
	labtest.Until(t, "the API answers", func() bool { code, _ := call("GET", nil); return code == 401 })
	token = "wrong"
	if code, _ := call("GET", nil); code != 403 {
		t.Errorf("wrong token: %d", code)
	}
	raw := fixture.Read(t, tokenFile)
	if st, _ := os.Stat(tokenFile); st.Mode().Perm() != 0o600 || strings.Count(strings.TrimSpace(string(raw)), "\n") != 0 {
		t.Errorf("token file: %o %q", st.Mode().Perm(), raw)
	}
	token = strings.TrimSpace(string(raw))
	labtest.Until(t, "ready", func() bool { code, _ := call("GET", nil); return code == 200 })

	keys := labtest.SomeKeys(t, 3)
	stores := []string{string(fixture.Keystore(t, 0, "", "")), string(fixture.Keystore(t, 1, "", "")), string(fixture.Keystore(t, 2, "", ""))}
	pass := "Fixture-pass-1!"
	code, out := call("POST", map[string]any{"keystores": stores, "passwords": []string{pass, pass, "wrong"}})
	if code != 200 || status(out, 0) != "duplicate" || status(out, 1) != "imported" || status(out, 2) != "error" {
		t.Errorf("%d %v", code, out)
	}
	root := l.Chain.Config.GenesisValidatorsRoot
	wrongRoot := fmt.Sprintf(`{"metadata":{"interchange_format_version":"5","genesis_validators_root":"%s"},"data":[]}`, fixture.GenesisRoot)
	code, out = call("POST", map[string]any{"keystores": stores[2:], "passwords": []string{pass}, "slashing_protection": wrongRoot})
	if code != 200 || status(out, 0) != "error" || !strings.Contains(fmt.Sprint(out), "could not import slashing protection: <nil>") {
		t.Errorf("%d %v", code, out)
	}
	_ = root
	labtest.Until(t, "the new key signs", func() bool { return l.Judge().Keys[keys[1].Pub()] != nil })
	unknown := "0x" + strings.Repeat("ab", 48)
	code, out = call("DELETE", map[string]any{"pubkeys": []string{keys[1].Pub(), unknown}})
	if code != 200 || status(out, 0) != "deleted" || status(out, 1) != "not_found" {
		t.Errorf("%d %v", code, out)
	}
	var moved wire.Interchange
	text, _ := out["slashing_protection"].(string)
	if err := json.Unmarshal([]byte(text), &moved); err != nil || len(moved.Data) != 1 || moved.Data[0].Pubkey != keys[1].Pub() {
		t.Errorf("%v %s", err, text)
	}
	n := l.Judge().Keys[keys[1].Pub()]
	if got := len(moved.Data[0].Attestations) + len(moved.Data[0].Blocks); got < n.Attestations+n.Blocks {
		t.Errorf("the history has %d records for %d signatures", got, n.Attestations+n.Blocks)
	}
	code, out = call("DELETE", map[string]any{"pubkeys": []string{keys[1].Pub()}})
	if code != 200 || status(out, 0) != "not_active" || !strings.Contains(fmt.Sprint(out["slashing_protection"]), keys[1].Pub()) {
		t.Errorf("%d %v", code, out)
	}
	l.More(4)
	if after := l.Judge().Keys[keys[1].Pub()]; after.Attestations != n.Attestations || after.Blocks != n.Blocks {
		t.Error("a deleted key signed")
	}
	l.NoOffence()
	p.End(syscall.SIGTERM, 10*time.Second)
}
