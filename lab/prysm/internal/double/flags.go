package double

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

//go:embed flags.txt
var flagTable string

// Flag is a flag that one version of one program (or of a sub-command) knows.
type Flag struct {
	Name    string
	Kind    string // bool, str, int, dur, float, list
	Noop    bool   // accepted, has no effect
	Aliases []string
}

// FlagSet is what one level of the command line knows and was given. A sub-command looks into its parents for flags that
// it does not have itself.
type FlagSet struct {
	known  map[string]*Flag // by name and alias
	list   []*Flag
	values map[string][]string // by canonical name
	parent *FlagSet
}

// Interval tells whether v lies in "first..last" (NEW means: still there).
func inInterval(v Version, s string) bool {
	first, last, ok := strings.Cut(s, "..")
	if !ok {
		return false
	}
	f, err := ParseVersion(first)
	if err != nil || v.cmp(f) < 0 {
		return false
	}
	if last == "NEW" {
		return true
	}
	l, err := ParseVersion(last)
	return err == nil && v.cmp(l) <= 0
}

// GlobalFlags are the flags of the program itself.
func GlobalFlags(binary string, v Version) *FlagSet {
	set := NewFlagSet(nil)
	which := binary[:1]
	for _, line := range strings.Split(flagTable, "\n") {
		f := strings.Fields(line)
		if len(f) != 6 || f[0] != which {
			continue
		}
		for _, iv := range strings.Split(f[3], ",") {
			if !inInterval(v, iv) {
				continue
			}
			fl := &Flag{Name: f[1], Kind: f[2]}
			if f[4] != "-" {
				fl.Noop = inInterval(v, f[4]+"..NEW")
			}
			if f[5] != "-" {
				for _, group := range strings.Split(f[5], ";") {
					names, since, _ := strings.Cut(group, "@")
					if inInterval(v, since+"..NEW") {
						fl.Aliases = append(fl.Aliases, strings.Split(names, ",")...)
					}
				}
			}
			set.Add(fl)
			break
		}
	}
	return set
}

// NewFlagSet makes an empty set. It always knows help.
func NewFlagSet(parent *FlagSet) *FlagSet {
	s := &FlagSet{known: map[string]*Flag{}, values: map[string][]string{}, parent: parent}
	s.Add(&Flag{Name: "help", Kind: "bool", Aliases: []string{"h"}})
	return s
}

// Add makes a flag known, unless an older name of it is in the way.
func (s *FlagSet) Add(f *Flag) {
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

// UsageError is a mistake on the command line.
type UsageError struct{ Msg string }

func (e *UsageError) Error() string { return e.Msg }

// Parse reads flags up to the first argument that is none and returns the rest, as Go's flag package does.
func (s *FlagSet) Parse(args []string) ([]string, error) {
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
			return nil, &UsageError{"bad flag syntax: " + arg}
		}
		name, value, has := strings.Cut(name, "=")
		f := s.known[name]
		if f == nil {
			return nil, &UsageError{"flag provided but not defined: -" + name}
		}
		if f.Kind == "bool" {
			if !has {
				value = "true"
			}
			if _, err := strconv.ParseBool(value); err != nil {
				return nil, &UsageError{fmt.Sprintf("invalid boolean value %q for -%s: parse error", value, name)}
			}
		} else {
			if !has {
				if len(args) == 0 {
					return nil, &UsageError{"flag needs an argument: -" + name}
				}
				value, args = args[0], args[1:]
			}
			if err := f.check(value); err != nil {
				return nil, &UsageError{fmt.Sprintf("invalid value %q for flag -%s: parse error", value, name)}
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

// IsSet tells whether a flag was given, on the level that has it.
func (s *FlagSet) IsSet(name string) bool { return len(s.All(name)) > 0 }

// Has tells whether the flag exists here.
func (s *FlagSet) Has(name string) bool { return s.known[name] != nil }

// All returns every value given on the innermost level that has the flag: what was given further out, before a
// sub-command that has it too, is not seen there.
func (s *FlagSet) All(name string) []string {
	for ; s != nil; s = s.parent {
		if s.known[name] != nil {
			return s.values[name]
		}
	}
	return nil
}

// String returns the last value given, or the default.
func (s *FlagSet) String(name, dflt string) string {
	if v := s.All(name); len(v) > 0 {
		return v[len(v)-1]
	}
	return dflt
}

// Bool tells whether a switch is on.
func (s *FlagSet) Bool(name string) bool {
	on, _ := strconv.ParseBool(s.String(name, "false"))
	return on
}

// Int returns a number, or the default.
func (s *FlagSet) Int(name string, dflt int) int {
	n, err := strconv.ParseInt(s.String(name, ""), 0, 64)
	if err != nil {
		return dflt
	}
	return int(n)
}

// Noops lists the flags given that have no effect in this version.
func (s *FlagSet) Noops() []string {
	var out []string
	for _, f := range s.list {
		if f.Noop && len(s.values[f.Name]) > 0 {
			out = append(out, f.Name)
		}
	}
	return out
}

// LoadConfigFile fills in what a YAML file says and the command line does not.
func (s *FlagSet) LoadConfigFile(path string) error {
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
func (s *FlagSet) Help(name, usage string) string {
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
