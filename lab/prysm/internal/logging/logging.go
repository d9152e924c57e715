// Package logging writes what Prysm writes to stderr and to its log files, in the form of each release: logrus text up
// to v6, Prysm's own form from v7, JSON when asked for.
package logging

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"eth2xk8s/lab/prysm/internal/version"
)

// Levels, by what is still written at each verbosity.
const (
	levelError = iota
	levelWarning
	levelInfo
	levelDebug
)

// Logger writes what Prysm writes to stderr: logrus text up to v6, Prysm's own form from v7.
type Logger struct {
	release version.Release
	out     io.Writer
	mu      sync.Mutex
	level   int
	json    bool
	debug   io.Writer // what gets everything, whatever the level
}

// New logs to stderr.
func New(release version.Release) *Logger {
	return &Logger{release: release, out: os.Stderr, level: levelInfo}
}

// ClientPrefix is what a release's validator client puts before its messages.
func ClientPrefix(release version.Release) string {
	if release.Before(4, 2, 0) {
		return "validator"
	}
	return "client"
}

// SetVerbosity takes the names of logrus' levels.
func (l *Logger) SetVerbosity(s string) error {
	switch s {
	case "", "info":
		l.level = levelInfo
	case "debug", "trace":
		l.level = levelDebug
	case "warn", "warning":
		l.level = levelWarning
	case "error", "fatal", "panic":
		l.level = levelError
	default:
		return fmt.Errorf("not a valid logrus Level: %q", s)
	}
	return nil
}

// SetFormat takes the values of --log-format.
func (l *Logger) SetFormat(format string) error {
	switch format {
	case "text", "fluentd", "journald":
	case "json":
		l.json = true
	default:
		return fmt.Errorf("unknown log format %s", format)
	}
	return nil
}

// AlsoTo writes to a file besides.
func (l *Logger) AlsoTo(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		l.out = io.MultiWriter(os.Stderr, f)
	}
	return err
}

// KeepAll keeps everything down to debug in a directory: up to 250 MB, and one older file.
func (l *Logger) KeepAll(dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	l.debug = &rotating{f: f, limit: 250 << 20}
	return nil
}

// Info, Warn, Error and Debug log a message with pairs of names and values.
func (l *Logger) Info(prefix, msg string, kv ...any) { l.write(levelInfo, "info", prefix, msg, kv) }
func (l *Logger) Warn(prefix, msg string, kv ...any) {
	l.write(levelWarning, "warning", prefix, msg, kv)
}
func (l *Logger) Error(prefix, msg string, kv ...any) { l.write(levelError, "error", prefix, msg, kv) }
func (l *Logger) Debug(prefix, msg string, kv ...any) { l.write(levelDebug, "debug", prefix, msg, kv) }

// Fatal logs and ends the process with exit code 1, as logrus does.
func (l *Logger) Fatal(prefix, msg string, kv ...any) {
	l.LastWords(prefix, msg, kv...)
	os.Exit(1)
}

// LastWords logs as Fatal does and leaves the end to the caller, who has something to close before.
func (l *Logger) LastWords(prefix, msg string, kv ...any) {
	l.write(levelError, "fatal", prefix, msg, kv)
}

func (l *Logger) write(level int, name, prefix, msg string, kv []any) {
	if level > l.level && l.debug == nil {
		return
	}
	now := time.Now()
	var line string
	switch {
	case l.json:
		line = jsonLine(now, name, prefix, msg, kv)
	case l.release.From(7, 0, 0):
		line = ownLine(now, name, prefix, msg, kv)
	default:
		stamp := "2006-01-02 15:04:05"
		if l.release.From(6, 0, 0) {
			stamp += ".00"
		}
		line = logrusLine(now.Format(stamp), name, prefix, msg, kv)
	}
	line += "\n"
	l.mu.Lock()
	if level <= l.level {
		io.WriteString(l.out, line)
	}
	if l.debug != nil {
		io.WriteString(l.debug, line)
	}
	l.mu.Unlock()
}

func jsonLine(now time.Time, name, prefix, msg string, kv []any) string {
	m := map[string]any{"level": name, "msg": msg, "prefix": prefix, "time": now.Format("2006-01-02 15:04:05")}
	for i := 0; i+1 < len(kv); i += 2 {
		m[fmt.Sprint(kv[i])] = fmt.Sprint(kv[i+1])
	}
	raw, _ := json.Marshal(m)
	return string(raw)
}

// ownLine is Prysm's own form, from v7 on.
func ownLine(now time.Time, name, prefix, msg string, kv []any) string {
	short := map[string]string{"info": " INFO", "warning": " WARN", "error": "ERROR", "fatal": "FATAL", "debug": "DEBUG"}[name]
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] %s %s: %s", now.Format("2006-01-02 15:04:05.00"), short, prefix, msg)
	for i := 0; i+1 < len(kv); i += 2 {
		fmt.Fprintf(&b, " %v=%v", kv[i], kv[i+1])
	}
	return b.String()
}

func logrusLine(stamp, name, prefix, msg string, kv []any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "time=%q level=%s msg=%s", stamp, name, strconv.Quote(msg))
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
	return b.String()
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
