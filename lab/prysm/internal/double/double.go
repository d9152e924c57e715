// Package double plays Prysm's beacon node and validator client: it keeps their contract with whoever starts them
// (flags, files, ports, metrics, exit codes, by version) and follows the lab's chain. Here is only the program itself: its
// command line and what it does before anything else.
package double

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"eth2xk8s/lab/prysm/internal/beacon"
	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/flags"
	"eth2xk8s/lab/prysm/internal/logging"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/validator"
	"eth2xk8s/lab/prysm/internal/version"
)

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
	return run(&cli.Context{
		Binary: binary, Release: v, Chain: os.Getenv("PRYSM_CHAIN"), Log: logging.New(v), Out: os.Stdout, Flags: flags.Global(binary, v),
	}, args)
}

func usage(binary string) string {
	if binary == "validator" {
		return "Launches an Ethereum validator client that interacts with a beacon chain, starts proposer and attester services, p2p connections, and more."
	}
	return "This is a beacon chain implementation for Ethereum"
}

// run parses the command line as urfave/cli does: most mistakes end with exit code 0.
func run(c *cli.Context, args []string) int {
	c.Flags.Add(&flags.Flag{Name: "version", Kind: "bool", Aliases: []string{"v"}})
	rest, err := c.Flags.Parse(args)
	if err != nil {
		word := "Incorrect Usage."
		if c.Release.From(3, 0, 0) {
			word = "Incorrect Usage:"
		}
		fmt.Fprintf(c.Out, "%s %s\n\n%s", word, err, c.Flags.Help(c.Binary, usage(c.Binary)))
		return complain(c, err)
	}
	if c.Flags.Bool("help") {
		fmt.Fprint(c.Out, c.Flags.Help(c.Binary, usage(c.Binary)))
		return 0
	}
	if c.Flags.Bool("version") {
		fmt.Fprintf(c.Out, "%s version %s\n", c.Binary, c.Release.Full())
		return 0
	}
	if err := before(c); err != nil {
		return complain(c, err)
	}
	if len(rest) > 0 {
		for _, sub := range commands(c) {
			if sub.is(rest[0]) {
				return sub.start(c, c.Binary, rest[1:])
			}
		}
		if c.Release.From(1, 4, 1) {
			return complain(c, fmt.Errorf("unrecognized argument: %s", rest[0]))
		}
	}
	return start(c)
}

// complain is how a mistake on the command line ends: an error in the log, and code 0.
func complain(c *cli.Context, err error) int {
	c.Log.Error("main", err.Error())
	return 0
}

// before is what every command does first.
func before(c *cli.Context) error {
	if path := c.Flags.String("config-file", ""); path != "" {
		if err := c.Flags.LoadConfigFile(path); err != nil {
			return err
		}
	}
	if err := c.Log.SetFormat(c.Flags.String("log-format", "text")); err != nil {
		return err
	}
	if err := c.Log.SetVerbosity(c.Flags.String("verbosity", "info")); err != nil {
		return err
	}
	if c.Release.From(7, 1, 3) && !c.Flags.Bool("disable-ephemeral-log-file") {
		if err := c.Log.KeepAll(filepath.Join(c.DataDir(), "logs"), c.Binary+".log"); err != nil {
			c.Log.Error("main", "Failed to configure debug log file", "error", err)
		}
	}
	if path := c.Flags.String("log-file", ""); path != "" {
		if err := c.Log.AlsoTo(path); err != nil {
			c.Log.Error("main", "Failed to configuring logging to disk.", "error", err)
		}
	}
	return nil
}

// start runs the daemon.
func start(c *cli.Context) int {
	if c.Release.From(7, 0, 0) {
		name := "Prysm Beacon Chain"
		if c.Binary == "validator" {
			name = "Prysm Validator"
		}
		c.Log.Info("main", name+" started", "version", c.Release.Full())
	}
	if err := c.AcceptTerms(); err != nil {
		return complain(c, err)
	}
	if err := params.Announce(c); err != nil {
		return complain(c, err)
	}
	for _, name := range c.Flags.Noops() {
		c.Log.Error("flags", fmt.Sprintf("%s is deprecated and has no effect. Do not use this flag, it will be deleted soon.", name))
	}
	if c.Chain == "" {
		fmt.Fprintln(os.Stderr, "PRYSM_CHAIN is not set: the chain's address, as http://host:port")
		return 64
	}
	// From here on, so that a container's first process, for which nothing is the default, hears it at any time.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	c.Stop = stop
	code, err := serve(c)
	if err == nil {
		return code
	}
	if c.Release.From(3, 2, 1) {
		c.Log.LastWords("main", err.Error())
		return 1
	}
	return complain(c, err)
}

// serve is the program's own work, until it is stopped.
func serve(c *cli.Context) (int, error) {
	if c.Binary == "validator" {
		return validator.Run(c)
	}
	return 0, beacon.Run(c)
}
