// Package args reads MicroK8s' arguments files: one flag a line, # for comments, variables of the environment expanded,
// quotes that enclose a whole flag or a whole value removed.
package args

import (
	"bufio"
	"os"
	"strings"
)

// Read gives the flags of a file.
func Read(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var flags []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, hasValue := strings.Cut(unquote(os.ExpandEnv(line)), "=")
		if hasValue {
			name += "=" + unquote(value)
		}
		flags = append(flags, name)
	}
	return flags, lines.Err()
}

// Value is what a flag of the file is set to; the last one counts.
func Value(path, name, otherwise string) (string, error) {
	flags, err := Read(path)
	if err != nil {
		return "", err
	}
	for _, flag := range flags {
		if value, ok := strings.CutPrefix(flag, name+"="); ok {
			otherwise = value
		}
	}
	return otherwise, nil
}

func unquote(s string) string {
	for _, q := range []string{`"`, `'`} {
		if len(s) >= 2 && strings.HasPrefix(s, q) && strings.HasSuffix(s, q) {
			return s[1 : len(s)-1]
		}
	}
	return s
}
