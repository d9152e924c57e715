// Package flags is Prysm's command line: which flags each release of each program knows, and how they are read. The
// table flags.txt says from which release to which a flag is there; parsing, mistakes and the help text are those of
// urfave/cli, which Prysm uses.
package flags

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"eth2xk8s/lab/prysm/internal/version"
)

//go:embed flags.txt
var table string

// Flag is a flag that one version of one program (or of a sub-command) knows.
type Flag struct {
	Name    string
	Kind    string // bool, str, int, dur, float, list
	Noop    bool   // accepted, has no effect
	Aliases []string
}

// Set is what one level of the command line knows and was given. A sub-command looks into its parents for flags that
// it does not have itself.
type Set struct {
	known  map[string]*Flag // by name and alias
	list   []*Flag
	values map[string][]string // by canonical name
	parent *Set
}

// inInterval tells whether v lies in "first..last" (NEW means: still there).
func inInterval(v version.Release, s string) bool {
	first, last, ok := strings.Cut(s, "..")
	if !ok {
		return false
	}
	f, err := version.Parse(first)
	if err != nil || v.Compare(f) < 0 {
		return false
	}
	if last == "NEW" {
		return true
	}
	l, err := version.Parse(last)
	return err == nil && v.Compare(l) <= 0
}

// Global are the flags of the program itself.
func Global(binary string, v version.Release) *Set {
	set := NewSet(nil)
	which := binary[:1]
	for _, line := range strings.Split(table, "\n") {
		row := strings.Fields(line)
		if len(row) != 6 || row[0] != which {
			continue
		}
		if f := rowAt(row, v); f != nil {
			set.Add(f)
		}
	}
	return set
}

// rowAt is the flag of a row of the table as one release knows it, or nil if it does not.
func rowAt(row []string, v version.Release) *Flag {
	name, kind, known, noopFrom, aliases := row[1], row[2], row[3], row[4], row[5]
	if !slices.ContainsFunc(strings.Split(known, ","), func(interval string) bool { return inInterval(v, interval) }) {
		return nil
	}
	f := &Flag{Name: name, Kind: kind}
	if noopFrom != "-" {
		f.Noop = inInterval(v, noopFrom+"..NEW")
	}
	if aliases != "-" {
		for _, group := range strings.Split(aliases, ";") {
			names, since, _ := strings.Cut(group, "@")
			if inInterval(v, since+"..NEW") {
				f.Aliases = append(f.Aliases, strings.Split(names, ",")...)
			}
		}
	}
	return f
}

// NewSet makes an empty set. It always knows help.
func NewSet(parent *Set) *Set {
	s := &Set{known: map[string]*Flag{}, values: map[string][]string{}, parent: parent}
	s.Add(&Flag{Name: "help", Kind: "bool", Aliases: []string{"h"}})
	return s
}

// Add makes a flag known, unless an older name of it is in the way.
func (s *Set) Add(f *Flag) {
	if s.known[f.Name] != nil {
		return
	}
	s.known[f.Name] = f
	for _, a := range f.Aliases {
		if s.known[a] == nil {
			s.known[a] = f
		}
	}
	s.list = append(s.list, f)
}

// usageError is a mistake on the command line.
type usageError struct{ Msg string }

func (e *usageError) Error() string { return e.Msg }

// Parse reads flags up to the first argument that is none and returns the rest, as Go's flag package does.
func (s *Set) Parse(args []string) ([]string, error) {
	for len(args) > 0 {
		arg := args[0]
		if len(arg) < 2 || arg[0] != '-' {
			return args, nil
		}
		args = args[1:]
		if arg == "--" {
			return args, nil
		}
		name := strings.TrimPrefix(arg[1:], "-")
		if name == "" || name[0] == '-' || name[0] == '=' {
			return nil, &usageError{"bad flag syntax: " + arg}
		}
		name, value, has := strings.Cut(name, "=")
		f := s.known[name]
		if f == nil {
			return nil, &usageError{"flag provided but not defined: -" + name}
		}
		if f.Kind == "bool" {
			if !has {
				value = "true"
			}
			if _, err := strconv.ParseBool(value); err != nil {
				return nil, &usageError{fmt.Sprintf("invalid boolean value %q for -%s: parse error", value, name)}
			}
		} else {
			if !has {
				if len(args) == 0 {
					return nil, &usageError{"flag needs an argument: -" + name}
				}
				value, args = args[0], args[1:]
			}
			if err := f.check(value); err != nil {
				return nil, &usageError{fmt.Sprintf("invalid value %q for flag -%s: parse error", value, name)}
			}
		}
		s.values[f.Name] = append(s.values[f.Name], value)
	}
	return nil, nil
}

func (f *Flag) check(value string) error {
	var err error
	switch f.Kind {
	case "int":
		_, err = strconv.ParseInt(value, 0, 64)
	case "dur":
		if _, err = time.ParseDuration(value); err != nil {
			_, err = strconv.ParseInt(value, 0, 64)
		}
	case "float":
		_, err = strconv.ParseFloat(value, 64)
	}
	return err
}

// Lookup is the flag of that name or alias on this level, or nil.
func (s *Set) Lookup(name string) *Flag { return s.known[name] }

// IsSet tells whether a flag was given, on the level that has it.
func (s *Set) IsSet(name string) bool { return len(s.All(name)) > 0 }

// Has tells whether the flag exists here.
func (s *Set) Has(name string) bool { return s.known[name] != nil }

// All returns every value given on the innermost level that has the flag: what was given further out, before a
// sub-command that has it too, is not seen there.
func (s *Set) All(name string) []string {
	for ; s != nil; s = s.parent {
		if s.known[name] != nil {
			return s.values[name]
		}
	}
	return nil
}

// String returns the last value given, or the default.
func (s *Set) String(name, dflt string) string {
	if v := s.All(name); len(v) > 0 {
		return v[len(v)-1]
	}
	return dflt
}

// Bool tells whether a switch is on.
func (s *Set) Bool(name string) bool {
	on, _ := strconv.ParseBool(s.String(name, "false"))
	return on
}

// Int returns a number, or the default.
func (s *Set) Int(name string, dflt int) int {
	n, err := strconv.ParseInt(s.String(name, ""), 0, 64)
	if err != nil {
		return dflt
	}
	return int(n)
}

// Noops lists the flags given that have no effect in this version.
func (s *Set) Noops() []string {
	var out []string
	for _, f := range s.list {
		if f.Noop && len(s.values[f.Name]) > 0 {
			out = append(out, f.Name)
		}
	}
	return out
}

// LoadConfigFile fills in what a YAML file says and the command line does not.
func (s *Set) LoadConfigFile(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("Unable to create input source with context: inner error: \n'%s'", err)
	}
	var m map[string]any
	if err := yaml.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("Unable to create input source with context: inner error: \n'%s'", err)
	}
	for name, value := range m {
		f := s.known[name]
		if f == nil || len(s.values[f.Name]) > 0 {
			continue // an unknown key is not looked at
		}
		values := []any{value}
		if l, ok := value.([]any); ok && f.Kind == "list" {
			values = l
		}
		for _, v := range values {
			text := fmt.Sprint(v)
			if f.Kind == "bool" {
				if _, err := strconv.ParseBool(text); err != nil {
					return errors.New("Mismatched type for flag '" + name + "'. Expected 'bool' but actual is '" + fmt.Sprintf("%T", v) + "'")
				}
			}
			if err := f.check(text); err != nil {
				return errors.New("Mismatched type for flag '" + name + "'")
			}
			s.values[f.Name] = append(s.values[f.Name], text)
		}
	}
	return nil
}

// Help lists the flags, as the programs do after a mistake.
func (s *Set) Help(name, usage string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "NAME:\n   %s - %s\n\nUSAGE:\n   %s [options] command [command options] [arguments...]\n\nOPTIONS:\n", name, usage, name)
	list := append([]*Flag{}, s.list...)
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	for _, f := range list {
		line := "   --" + f.Name
		for _, a := range f.Aliases {
			dash := ", --"
			if len(a) == 1 {
				dash = ", -"
			}
			line += dash + a
		}
		if f.Kind != "bool" {
			line += " value"
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
