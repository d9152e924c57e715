// Package double plays Prysm's beacon node and validator client: it keeps their contract with whoever starts them
// (flags, files, ports, metrics, exit codes, by version) and follows the lab's chain.
package double

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"gopkg.in/yaml.v3"

	"eth2xk8s/lab/prysm/internal/flags"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/version"
)

// App is one run of one program of one version.
type App struct {
	Binary string // beacon-chain or validator
	V      version.Release
	Chain  string
	Log    *logging.Logger
	Out    io.Writer
	stop   chan os.Signal
}

// Main runs the program and returns its exit code.
func Main(binary string, args []string) int {
	text := os.Getenv("PRYSM_VERSION")
	v, err := version.Parse(text)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 64
	}
	oldest, _ := version.Parse(version.Oldest)
	newest, _ := version.Parse(version.Newest)
	if v.Compare(oldest) < 0 || v.Compare(newest) > 0 {
		fmt.Fprintf(os.Stderr, "PRYSM_VERSION %s is not between %s and %s\n", text, version.Oldest, version.Newest)
		return 64
	}
	a := &App{Binary: binary, V: v, Chain: os.Getenv("PRYSM_CHAIN"), Log: logging.New(v), Out: os.Stdout}
	return a.Run(args)
}

func usage(binary string) string {
	if binary == "validator" {
		return "Launches an Ethereum validator client that interacts with a beacon chain, starts proposer and attester services, p2p connections, and more."
	}
	return "This is a beacon chain implementation for Ethereum"
}

// Run parses the command line as urfave/cli does: most mistakes end with exit code 0.
func (a *App) Run(args []string) int {
	fs := flags.Global(a.Binary, a.V)
	fs.Add(&flags.Flag{Name: "version", Kind: "bool", Aliases: []string{"v"}})
	rest, err := fs.Parse(args)
	if err != nil {
		word := "Incorrect Usage."
		if a.V.From(3, 0, 0) {
			word = "Incorrect Usage:"
		}
		fmt.Fprintf(a.Out, "%s %s\n\n%s", word, err, fs.Help(a.Binary, usage(a.Binary)))
		a.Log.Error("main", err.Error())
		return 0
	}
	if fs.Bool("help") {
		fmt.Fprint(a.Out, fs.Help(a.Binary, usage(a.Binary)))
		return 0
	}
	if fs.Bool("version") {
		fmt.Fprintf(a.Out, "%s version %s\n", a.Binary, a.V.Full())
		return 0
	}
	if err := a.before(fs); err != nil {
		a.Log.Error("main", err.Error())
		return 0
	}
	if len(rest) > 0 {
		for _, c := range a.commands() {
			if c.is(rest[0]) {
				return a.runCommand(c, a.Binary, fs, rest[1:])
			}
		}
		if a.V.From(1, 4, 1) {
			a.Log.Error("main", "unrecognized argument: "+rest[0])
			return 0
		}
	}
	if a.V.From(7, 0, 0) {
		name := "Prysm Beacon Chain"
		if a.Binary == "validator" {
			name = "Prysm Validator"
		}
		a.Log.Info("main", name+" started", "version", a.V.Full())
	}
	if err := a.acceptTerms(fs); err != nil {
		a.Log.Error("main", err.Error())
		return 0
	}
	if err := a.networkFlags(fs); err != nil {
		a.Log.Error("main", err.Error())
		return 0
	}
	for _, name := range fs.Noops() {
		a.Log.Error("flags", fmt.Sprintf("%s is deprecated and has no effect. Do not use this flag, it will be deleted soon.", name))
	}
	if a.Chain == "" {
		fmt.Fprintln(os.Stderr, "PRYSM_CHAIN is not set: the chain's address, as http://host:port")
		return 64
	}
	// From here on, so that a container's first process, for which nothing is the default, hears it at any time.
	a.stop = make(chan os.Signal, 1)
	signal.Notify(a.stop, syscall.SIGTERM, syscall.SIGINT)
	code := 0
	if a.Binary == "validator" {
		code, err = a.runValidator(fs)
	} else {
		err = a.runBeacon(fs)
	}
	if err == nil {
		return code
	}
	if a.V.From(3, 2, 1) {
		a.Log.LastWords("main", err.Error())
		return 1
	}
	a.Log.Error("main", err.Error())
	return 0
}

// before is what every command does first.
func (a *App) before(fs *flags.Set) error {
	if path := fs.String("config-file", ""); path != "" {
		if err := fs.LoadConfigFile(path); err != nil {
			return err
		}
	}
	if err := a.Log.SetFormat(fs.String("log-format", "text")); err != nil {
		return err
	}
	if err := a.Log.SetVerbosity(fs.String("verbosity", "info")); err != nil {
		return err
	}
	if a.V.From(7, 1, 3) && !fs.Bool("disable-ephemeral-log-file") {
		if err := a.Log.KeepAll(filepath.Join(fs.String("datadir", defaultDataDir()), "logs"), a.Binary+".log"); err != nil {
			a.Log.Error("main", "Failed to configure debug log file", "error", err)
		}
	}
	if path := fs.String("log-file", ""); path != "" {
		if err := a.Log.AlsoTo(path); err != nil {
			a.Log.Error("main", "Failed to configuring logging to disk.", "error", err)
		}
	}
	return nil
}

func home() string {
	if h := os.Getenv("HOME"); h != "" {
		return h
	}
	h, _ := os.UserHomeDir()
	return h
}

func defaultDataDir() string { return filepath.Join(home(), ".eth2") }
func defaultWalletDir() string {
	return filepath.Join(home(), ".eth2validators", "prysm-wallet-v2")
}

// acceptTerms wants the terms of use accepted, by flag, by an earlier acceptance or by hand.
func (a *App) acceptTerms(fs *flags.Set) error {
	dir := fs.String("datadir", defaultDataDir())
	mark := filepath.Join(dir, "tosaccepted")
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	save := func() {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = os.WriteFile(mark, nil, 0o600)
		}
		if err != nil {
			a.Log.Warn("tos", fmt.Sprintf("error writing %s to file: %v", mark, err))
		}
	}
	if fs.Bool("accept-terms-of-use") {
		save()
		return nil
	}
	fmt.Fprintf(a.Out, "\nPrysmatic Labs Terms of Use\n\nType \"accept\" to accept this terms and conditions [accept/decline]: ")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return errors.New("could not scan text input, if you are trying to run in non-interactive environment, you can use the " +
			"--accept-terms-of-use flag after reading the terms and conditions here: " +
			"https://github.com/prysmaticlabs/prysm/blob/develop/TERMS_OF_SERVICE.md")
	}
	if strings.TrimSpace(strings.ToLower(line)) != "accept" {
		return errors.New("you have to accept Terms and Conditions in order to continue")
	}
	save()
	return nil
}

var networks = []string{"mainnet", "toledo", "pyrmont", "prater", "ropsten", "sepolia", "holesky", "hoodi"}

// network is the network that the flags really mean: a flag without effect means mainnet.
func (a *App) network(fs *flags.Set) string {
	if fs.IsSet("chain-config-file") {
		return "custom"
	}
	for _, n := range []string{"toledo", "pyrmont", "prater", "ropsten", "sepolia", "holesky", "hoodi"} {
		if !fs.Bool(n) {
			continue
		}
		if f := flags.Global(a.Binary, a.V).Lookup(n); f != nil && f.Noop {
			continue
		}
		return n
	}
	return "mainnet"
}

func (a *App) networkFlags(fs *flags.Set) error {
	n := 0
	for _, name := range networks {
		if fs.IsSet(name) && fs.Bool(name) {
			n++
		}
	}
	if n > 1 && a.V.From(5, 1, 0) {
		return errors.New("cannot use more than one network flag at the same time. Possible network flags are: " +
			"mainnet, sepolia, holesky, hoodi")
	}
	text := "Running on Ethereum Mainnet"
	if a.V.Before(2, 0, 0) {
		text = "Running on ETH2 Mainnet"
	}
	switch net := a.network(fs); net {
	case "mainnet":
	case "custom":
		text = "Running on custom Ethereum network specified in a chain configuration yaml file"
	default:
		text = fmt.Sprintf("Running on the %s%s Testnet", strings.ToUpper(net[:1]), net[1:])
	}
	if a.V.From(5, 0, 0) {
		a.Log.Info("flags", text)
	} else {
		a.Log.Warn("flags", text)
	}
	return nil
}

// forkVersions are those that a version knows of, with the values that mainnet has.
var forkVersions = []struct {
	name, mainnet       string
	major, minor, patch int
}{
	{"GENESIS", "0x00000000", 2, 1, 0}, {"ALTAIR", "0x01000000", 2, 1, 0}, {"BELLATRIX", "0x02000000", 2, 1, 0},
	{"CAPELLA", "0x03000000", 3, 2, 0}, {"DENEB", "0x04000000", 4, 1, 0}, {"ELECTRA", "0x05000000", 5, 2, 0},
	{"FULU", "0x06000000", 5, 2, 0}, {"GLOAS", "0x07000000", 7, 1, 4},
}

// forkConflict: a fork version that is not given is mainnet's, and two networks must not share one.
func (a *App) forkConflict(conf map[string]string) error {
	name := conf["CONFIG_NAME"]
	if name == "" {
		name = "devnet"
	}
	if name == "mainnet" {
		return nil
	}
	const set = "configset cannot add config with conflicting fork version schedule"
	for _, f := range forkVersions {
		version := strings.ToLower(conf[f.name+"_FORK_VERSION"])
		if version != "" && version != f.mainnet || a.V.Before(f.major, f.minor, f.patch) {
			continue
		}
		text := fmt.Sprintf("version %s for fork %s in config %s conflicts with existing config named=mainnet: %s",
			f.mainnet, strings.ToLower(f.name), name, set)
		if a.V.Before(4, 0, 0) {
			text = fmt.Sprintf("config name=%s conflicts with existing config named=mainnet: %s", name, set)
		}
		if a.Binary != "validator" && a.V.From(6, 0, 0) {
			text = "unable to start beacon node: could not set beacon configuration options: could not configure chain config: " + text
		}
		return errors.New(text)
	}
	return nil
}

// quotedHex finds a line that Prysm's own reader cannot take: it decodes what follows 0x before YAML is looked at.
func quotedHex(raw []byte) error {
	for i, line := range strings.Split(string(raw), "\n") {
		_, digits, ok := strings.Cut(line, "0x")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "DEPOSIT_CONTRACT_ADDRESS") {
			continue
		}
		if _, err := hex.DecodeString(strings.TrimRight(digits, "\r")); err != nil {
			return fmt.Errorf("yaml: line %d: %w", i+1, err)
		}
	}
	return nil
}

// chainConfig reads a --chain-config-file.
func (a *App) chainConfig(path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		if err := quotedHex(raw); err != nil {
			a.Log.Error("params", "Failed to decode hex string.", "error", err)
			if a.V.Before(3, 0, 0) {
				a.Log.Fatal("params", "Failed to parse chain config yaml file.", "error", err)
			}
			return nil, fmt.Errorf("Failed to parse chain config yaml file.: %w", err)
		}
		var node map[string]yaml.Node
		if err = yaml.Unmarshal(raw, &node); err == nil {
			out := map[string]string{}
			for k, n := range node {
				out[k] = n.Value
			}
			return out, a.forkConflict(out)
		}
	}
	if a.V.Before(3, 0, 0) {
		a.Log.Fatal("params", "Failed to read chain config file.", "error", err)
	}
	return nil, fmt.Errorf("could not load chain config file: %w", err)
}

// command is a command or a group of them.
type command struct {
	name  string
	alias string
	flags []*flags.Flag
	subs  []*command
	run   func(*App, *flags.Set) int
	terms bool // wants the terms of use accepted
	quiet bool // says nothing of the network
}

func (c *command) is(name string) bool { return c.name == name || c.alias != "" && c.alias == name }

func (a *App) runCommand(c *command, path string, parent *flags.Set, args []string) int {
	fs := flags.NewSet(parent)
	for _, f := range c.flags {
		fs.Add(f)
	}
	path += " " + c.name
	rest, err := fs.Parse(args)
	if err != nil {
		fmt.Fprintf(a.Out, "Incorrect Usage: %s\n\n%s", err, fs.Help(path, c.name))
		a.Log.Error("main", err.Error())
		return 0
	}
	if fs.Bool("help") {
		fmt.Fprint(a.Out, fs.Help(path, c.name))
		return 0
	}
	if c.subs != nil {
		if len(rest) == 0 {
			fmt.Fprint(a.Out, fs.Help(path, c.name))
			return 0
		}
		for _, s := range c.subs {
			if s.is(rest[0]) {
				return a.runCommand(s, path, fs, rest[1:])
			}
		}
		fmt.Fprintf(a.Out, "No help topic for '%s'\n", rest[0])
		return 3
	}
	if a.V.From(7, 0, 0) && a.Binary == "validator" {
		a.Log.Info("main", "Prysm Validator started", "version", a.V.Full())
	}
	if len(rest) > 0 && a.V.From(1, 4, 1) {
		a.Log.Error("main", "unrecognized argument: "+rest[0])
		return 0
	}
	if err := a.acceptTerms(fs); err != nil {
		a.Log.Error("main", err.Error())
		return 0
	}
	if !c.quiet {
		if err := a.networkFlags(fs); err != nil {
			a.Log.Error("main", err.Error())
			return 0
		}
	}
	return c.run(a, fs)
}
