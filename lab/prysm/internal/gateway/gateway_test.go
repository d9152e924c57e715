package gateway_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"eth2xk8s/lab/prysm/internal/fixture"
	"eth2xk8s/lab/prysm/internal/labtest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestBeaconInterfaces(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"v1.3.4", "v7.1.6"} {
		t.Run(v, func(t *testing.T) {
			l := labtest.New(t, v)
			labtest.Until(t, "healthy", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 200 })
			if _, m := labtest.Get(t, l.Mon, "/metrics"); !strings.Contains(m, `version="`+v+`"`) || !strings.Contains(m, "beacon_head_slot ") {
				t.Errorf("%s", m)
			}
			codes := map[string]int{
				"/eth/v1alpha1/node/syncing": 200, "/eth/v1alpha1/node/version": 200, "/eth/v1alpha1/node/genesis": 200,
				"/eth/v1alpha1/beacon/chainhead": 200, "/eth/v1/node/health": 404, "/eth/v1/node/syncing": 404,
			}
			if v == "v7.1.6" {
				codes = map[string]int{
					"/eth/v1alpha1/node/syncing": 404, "/eth/v1/node/health": 200, "/eth/v1/node/syncing": 200,
					"/eth/v1/node/version": 200, "/eth/v1/beacon/genesis": 200, "/eth/v1/config/spec": 200,
				}
			}
			for path, want := range codes {
				if code, body := labtest.Get(t, l.HTTP, path); code != want {
					t.Errorf("%s: %d %s", path, code, body)
				}
			}
			labtest.Post(t, l.URL+"/faults", map[string]bool{"syncing": true, "el_offline": true})
			labtest.Until(t, "syncing", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 503 })
			if _, body := labtest.Get(t, l.Mon, "/healthz"); !strings.Contains(body, "rpc.Service: ERROR, syncing") {
				t.Error(body)
			}
			if v == "v7.1.6" {
				if code, _ := labtest.Get(t, l.HTTP, "/eth/v1/node/health"); code != 206 {
					t.Errorf("health %d", code)
				}
				if code, _ := labtest.Get(t, l.HTTP, "/eth/v1/node/health?syncing_status=299"); code != 299 {
					t.Errorf("health %d", code)
				}
				if _, body := labtest.Get(t, l.HTTP, "/eth/v1/node/syncing"); !strings.Contains(body, `"el_offline":true`) || !strings.Contains(body, `"is_syncing":true`) {
					t.Error(body)
				}
			} else if _, body := labtest.Get(t, l.HTTP, "/eth/v1alpha1/node/syncing"); strings.TrimSpace(body) != `{"syncing":true}` {
				t.Error(body)
			}
			if code := l.Beacon.End(syscall.SIGTERM, 5*time.Second); code != 0 {
				t.Errorf("exit %d", code)
			}
		})
	}
}

// What playbooks read over port 3500.
func TestKeysAndGenesisOverTheBeaconsInterface(t *testing.T) {
	t.Parallel()
	keys := labtest.SomeKeys(t, 3)
	unknown := "0x" + strings.Repeat("ab", 48)
	for _, v := range []string{"v1.2.2", "v1.3.4", "v2.1.4", "v7.1.6"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			l := labtest.New(t, v)
			labtest.Until(t, "healthy", func() bool { code, _ := labtest.Get(t, l.Mon, "/healthz"); return code == 200 })
			l.SetStatuses(t, map[string]string{
				keys[0].Pub(): "active", keys[1].Pub(): "pending", keys[2].Pub(): "slashing",
			})
			if fixture.Release(t, v).Before(5, 1, 1) {
				code, body := labtest.Get(t, l.HTTP, "/eth/v1alpha1/node/genesis")
				if want := time.Unix(l.Chain.Config.GenesisTime, 0).UTC().Format(time.RFC3339); code != 200 || !strings.Contains(body, want) {
					t.Errorf("%d %s", code, body)
				}
				if _, body = labtest.Get(t, l.HTTP, "/eth/v1alpha1/beacon/config"); !strings.Contains(body, `"SecondsPerSlot":"1"`) {
					t.Error(body)
				}
				query := ""
				for _, k := range []string{keys[0].Pub(), keys[1].Pub(), keys[2].Pub(), unknown} {
					raw := fixture.Unhex(t, strings.TrimPrefix(k, "0x"))
					query += "&public_keys=" + url.QueryEscape(base64.StdEncoding.EncodeToString(raw))
				}
				var st struct {
					Statuses []struct {
						Status string `json:"status"`
					} `json:"statuses"`
					Indices []string `json:"indices"`
				}
				_, body = labtest.Get(t, l.HTTP, "/eth/v1alpha1/validator/statuses?"+query[1:])
				json.Unmarshal([]byte(body), &st)
				if len(st.Statuses) != 4 || st.Statuses[0].Status != "ACTIVE" || st.Statuses[1].Status != "PENDING" ||
					st.Statuses[2].Status != "SLASHING" || st.Statuses[3].Status != "UNKNOWN_STATUS" ||
					st.Indices[3] != "18446744073709551615" {
					t.Error(body)
				}
				_, body = labtest.Get(t, l.HTTP, "/eth/v1alpha1/validators?"+query[1:])
				if strings.Count(body, `"publicKey"`) != 3 || !strings.Contains(body, `"totalSize":3`) {
					t.Error(body)
				}
			}
			if fixture.Release(t, v).Before(2, 0, 0) {
				if code, _ := labtest.Get(t, l.HTTP, "/eth/v1/beacon/genesis"); code != 404 {
					t.Errorf("genesis %d", code)
				}
				return
			}
			if _, body := labtest.Get(t, l.HTTP, "/eth/v1/beacon/genesis"); !strings.Contains(body, fmt.Sprintf(`"genesis_time":"%d"`, l.Chain.Config.GenesisTime)) {
				t.Error(body)
			}
			var r struct {
				Data []struct {
					Status    string `json:"status"`
					Validator struct {
						Pubkey string `json:"pubkey"`
					} `json:"validator"`
				} `json:"data"`
			}
			_, body := labtest.Get(t, l.HTTP, "/eth/v1/beacon/states/head/validators?id="+keys[0].Pub()+"&id="+keys[1].Pub()+","+keys[2].Pub()+"&id="+unknown)
			json.Unmarshal([]byte(body), &r)
			found := map[string]string{}
			for _, one := range r.Data {
				found[one.Validator.Pubkey] = one.Status
			}
			if len(found) != 3 || found[keys[0].Pub()] != "active_ongoing" || found[keys[1].Pub()] != "pending_queued" ||
				found[keys[2].Pub()] != "active_slashed" {
				t.Error(body)
			}
			if _, body = labtest.Get(t, l.HTTP, "/eth/v1/beacon/states/head/validators?id="+unknown); !strings.Contains(body, `"data":[]`) {
				t.Error(body)
			}
			if code, _ := labtest.Get(t, l.HTTP, "/eth/v1/beacon/states/head/validators?id=0x12"); code != 400 {
				t.Errorf("%d for half a key", code)
			}
		})
	}
}
