// Package monitor is the port of metrics and health that both of Prysm's programs have: /metrics in Prometheus' text form,
// /healthz with one line for each service, /goroutinez. Names and labels are those of the real programs.
package monitor

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sort"
	"strings"
	"sync"

	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/version"
)

// Metrics are gauges with labels, written in Prometheus' text form.
type Metrics struct {
	mu   sync.Mutex
	help map[string][2]string // name -> type, help
	vals map[string]map[string]float64
}

// NewMetrics makes an empty set.
func NewMetrics() *Metrics {
	return &Metrics{help: map[string][2]string{}, vals: map[string]map[string]float64{}}
}

// Define names a metric.
func (m *Metrics) Define(name, kind, help string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.help[name] = [2]string{kind, help}
	if m.vals[name] == nil {
		m.vals[name] = map[string]float64{}
	}
}

func labels(kv []string) string {
	var parts []string
	for i := 0; i+1 < len(kv); i += 2 {
		parts = append(parts, fmt.Sprintf("%s=%q", kv[i], kv[i+1]))
	}
	sort.Strings(parts)
	return strings.Join(parts, ",")
}

// Set sets a gauge; kv are names and values of labels.
func (m *Metrics) Set(name string, v float64, kv ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vals[name][labels(kv)] = v
}

// Add counts.
func (m *Metrics) Add(name string, v float64, kv ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vals[name][labels(kv)] += v
}

func (m *Metrics) write(w http.ResponseWriter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, len(m.vals))
	for n := range m.vals {
		names = append(names, n)
	}
	sort.Strings(names)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	for _, n := range names {
		if len(m.vals[n]) == 0 {
			continue
		}
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", n, m.help[n][1], n, m.help[n][0])
		sets := make([]string, 0, len(m.vals[n]))
		for l := range m.vals[n] {
			sets = append(sets, l)
		}
		sort.Strings(sets)
		for _, l := range sets {
			if l != "" {
				l2 := "{" + l + "}"
				fmt.Fprintf(w, "%s%s %s\n", n, l2, number(m.vals[n][l]))
			} else {
				fmt.Fprintf(w, "%s %s\n", n, number(m.vals[n][l]))
			}
		}
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	fmt.Fprintf(w, "# HELP go_goroutines Number of goroutines that currently exist.\n# TYPE go_goroutines gauge\ngo_goroutines %d\n",
		runtime.NumGoroutine())
	fmt.Fprintf(w, "# HELP go_memstats_sys_bytes Number of bytes obtained from system.\n# TYPE go_memstats_sys_bytes gauge\ngo_memstats_sys_bytes %d\n",
		ms.Sys)
}

func number(f float64) string { return fmt.Sprintf("%g", f) }

// DefineVersion publishes prysm_version as this release does: not before v1.3.3, buildDate not on v1.3.
func (m *Metrics) DefineVersion(v version.Release) {
	if v.Before(1, 3, 3) {
		return
	}
	m.Define("prysm_version", "gauge", "Version information")
	kv := []string{"version", v.Text, "commit", v.Commit()}
	if v.From(2, 0, 0) {
		kv = append(kv, "buildDate", "Moments ago")
	}
	m.Set("prysm_version", 1, kv...)
}

// Check is one service in /healthz.
type Check struct {
	Name string
	Err  func() error
}

// Serve answers /metrics and /healthz. A port in use is only a warning, as with Prysm.
func Serve(log *logging.Logger, host string, port int, m *Metrics, checks []Check) {
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { m.write(w) })
	mux.HandleFunc("/goroutinez", func(w http.ResponseWriter, _ *http.Request) {
		buf := make([]byte, 1<<20)
		w.Write(buf[:runtime.Stack(buf, true)])
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) { health(w, r, checks) })
	addr := net.JoinHostPort(host, fmt.Sprint(port))
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		log.Warn("prometheus", "Port already in use; cannot start prometheus service", "address", addr)
		return
	}
	log.Debug("prometheus", "Starting prometheus service", "address", addr)
	go http.Serve(ln, mux)
}

// health answers /healthz: 503 if one service has an error.
func health(w http.ResponseWriter, r *http.Request, checks []Check) {
	type status struct {
		Name   string `json:"service"`
		Status bool   `json:"status"`
		Err    string `json:"error"`
	}
	var all []status
	code := http.StatusOK
	for _, c := range checks {
		st := status{Name: c.Name, Status: true}
		if err := c.Err(); err != nil {
			st.Status, st.Err = false, err.Error()
			code = http.StatusServiceUnavailable
		}
		all = append(all, st)
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(map[string]any{"error": "", "data": all})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	for _, s := range all {
		if s.Status {
			fmt.Fprintf(w, "%s: OK\n", s.Name)
		} else {
			fmt.Fprintf(w, "%s: ERROR, %s\n", s.Name, s.Err)
		}
	}
}
