package double

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Logger writes what Prysm writes to stderr: logrus text up to v6, Prysm's own form from v7.
type Logger struct {
	v     Version
	out   io.Writer
	mu    sync.Mutex
	level int
	json  bool
	debug io.Writer // what gets everything, whatever the level
}

// rotating is a log file that begins anew when it is full; the one before is kept.
type rotating struct {
	f     *os.File
	limit int64
}

func (r *rotating) Write(p []byte) (int, error) {
	if at, err := r.f.Seek(0, io.SeekEnd); err == nil && at > r.limit {
		name := r.f.Name()
		os.Rename(name, name+".1")
		if f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
			r.f.Close()
			r.f = f
		}
	}
	return r.f.Write(p)
}

var levels = []string{"error", "warning", "info", "debug"}

// NewLogger logs to stderr.
func NewLogger(v Version) *Logger { return &Logger{v: v, out: os.Stderr, level: 2} }

func (l *Logger) setVerbosity(s string) error {
	switch s {
	case "", "info":
		l.level = 2
	case "debug", "trace":
		l.level = 3
	case "warn", "warning":
		l.level = 1
	case "error", "fatal", "panic":
		l.level = 0
	default:
		return fmt.Errorf("not a valid logrus Level: %q", s)
	}
	return nil
}

func (l *Logger) write(level int, name, prefix, msg string, kv []any) {
	if level > l.level && l.debug == nil {
		return
	}
	now := time.Now()
	var b strings.Builder
	switch {
	case l.json:
		m := map[string]any{"level": name, "msg": msg, "prefix": prefix, "time": now.Format("2006-01-02 15:04:05")}
		for i := 0; i+1 < len(kv); i += 2 {
			m[fmt.Sprint(kv[i])] = fmt.Sprint(kv[i+1])
		}
		raw, _ := json.Marshal(m)
		b.Write(raw)
	case l.v.From(7, 0, 0):
		short := map[string]string{"info": " INFO", "warning": " WARN", "error": "ERROR", "fatal": "FATAL", "debug": "DEBUG"}[name]
		fmt.Fprintf(&b, "[%s] %s %s: %s", now.Format("2006-01-02 15:04:05.00"), short, prefix, msg)
		for i := 0; i+1 < len(kv); i += 2 {
			fmt.Fprintf(&b, " %v=%v", kv[i], kv[i+1])
		}
	default:
		stamp := "2006-01-02 15:04:05"
		if l.v.From(6, 0, 0) {
			stamp += ".00"
		}
		fmt.Fprintf(&b, "time=%q level=%s msg=%s", now.Format(stamp), name, strconv.Quote(msg))
		rest := append([]any{"prefix", prefix}, kv...)
		// logrus sorts its fields by name, with a few in front
		pairs := make([][2]string, 0, len(rest)/2)
		for i := 0; i+1 < len(rest); i += 2 {
			pairs = append(pairs, [2]string{fmt.Sprint(rest[i]), fmt.Sprint(rest[i+1])})
		}
		for i := range pairs {
			for j := i + 1; j < len(pairs); j++ {
				if pairs[j][0] < pairs[i][0] {
					pairs[i], pairs[j] = pairs[j], pairs[i]
				}
			}
		}
		for _, p := range pairs {
			fmt.Fprintf(&b, " %s=%s", p[0], quoteIfNeeded(p[1]))
		}
	}
	b.WriteByte('\n')
	l.mu.Lock()
	if level <= l.level {
		io.WriteString(l.out, b.String())
	}
	if l.debug != nil {
		io.WriteString(l.debug, b.String())
	}
	l.mu.Unlock()
}

func quoteIfNeeded(s string) string {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._/@^+", c)) {
			return strconv.Quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

// Info, Warn, Error and Debug log a message with pairs of names and values.
func (l *Logger) Info(prefix, msg string, kv ...any)  { l.write(2, "info", prefix, msg, kv) }
func (l *Logger) Warn(prefix, msg string, kv ...any)  { l.write(1, "warning", prefix, msg, kv) }
func (l *Logger) Error(prefix, msg string, kv ...any) { l.write(0, "error", prefix, msg, kv) }
func (l *Logger) Debug(prefix, msg string, kv ...any) { l.write(3, "debug", prefix, msg, kv) }

// Fatal logs and ends the process with exit code 1, as logrus does.
func (l *Logger) Fatal(prefix, msg string, kv ...any) {
	l.write(0, "fatal", prefix, msg, kv)
	os.Exit(1)
}
