package double

import (
	"fmt"

	"eth2xk8s/lab/prysm/internal/accounts"
	"eth2xk8s/lab/prysm/internal/beacon"
	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/flags"
	"eth2xk8s/lab/prysm/internal/history"
	"eth2xk8s/lab/prysm/internal/params"
	"eth2xk8s/lab/prysm/internal/rpc"
)

// command is a command or a group of them.
type command struct {
	name  string
	alias string
	flags []*flags.Flag
	subs  []*command
	run   func(*cli.Context) int
	quiet bool // says nothing of the network
}

func (sub *command) is(name string) bool {
	return sub.name == name || sub.alias != "" && sub.alias == name
}

// start reads the command's own flags; path is how it was called, parent the level above it.
func (sub *command) start(parent *cli.Context, path string, args []string) int {
	c := parent.Below(flags.NewSet(parent.Flags))
	for _, f := range sub.flags {
		c.Flags.Add(f)
	}
	path += " " + sub.name
	rest, err := c.Flags.Parse(args)
	if err != nil {
		fmt.Fprintf(c.Out, "Incorrect Usage: %s\n\n%s", err, c.Flags.Help(path, sub.name))
		return complain(c, err)
	}
	if c.Flags.Bool("help") {
		fmt.Fprint(c.Out, c.Flags.Help(path, sub.name))
		return 0
	}
	if sub.subs != nil {
		return sub.startBelow(c, path, rest)
	}
	if c.Release.From(7, 0, 0) && c.Binary == "validator" {
		c.Log.Info("main", "Prysm Validator started", "version", c.Release.Full())
	}
	if len(rest) > 0 && c.Release.From(1, 4, 1) {
		return complain(c, fmt.Errorf("unrecognized argument: %s", rest[0]))
	}
	if err := c.AcceptTerms(); err != nil {
		return complain(c, err)
	}
	if !sub.quiet {
		if err := params.Announce(c); err != nil {
			return complain(c, err)
		}
	}
	return sub.run(c)
}

// startBelow goes on to the command of a group.
func (sub *command) startBelow(c *cli.Context, path string, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(c.Out, c.Flags.Help(path, sub.name))
		return 0
	}
	for _, s := range sub.subs {
		if s.is(args[0]) {
			return s.start(c, path, args[1:])
		}
	}
	fmt.Fprintf(c.Out, "No help topic for '%s'\n", args[0])
	return 3
}

func str(names ...string) []*flags.Flag   { return flagsOf("str", names) }
func bools(names ...string) []*flags.Flag { return flagsOf("bool", names) }

func flagsOf(kind string, names []string) []*flags.Flag {
	var out []*flags.Flag
	for _, n := range names {
		out = append(out, &flags.Flag{Name: n, Kind: kind})
	}
	return out
}

func join(lists ...[]*flags.Flag) []*flags.Flag {
	var out []*flags.Flag
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// commands are the sub-commands that this release has.
func commands(c *cli.Context) []*command {
	terms := bools("accept-terms-of-use")
	if c.Binary != "validator" {
		return []*command{{name: "db", subs: []*command{restore(beacon.DatabaseFile)}}}
	}
	nets := networkFlags(c)
	list := []*command{
		accountCommands(c, nets, terms),
		{name: "wallet", subs: []*command{
			{name: "create", flags: join(walletFlags(nets, terms), str("keymanager-kind")), run: accounts.CreateWallet},
		}},
		historyCommands(c, nets, terms),
		{name: "db", subs: []*command{
			restore(database.File),
			{name: "migrate", subs: []*command{
				{name: "up", flags: str("datadir"), quiet: true, run: func(c *cli.Context) int { return history.Migrate(c, false) }},
				{name: "down", flags: str("datadir"), quiet: true, run: func(c *cli.Context) int { return history.Migrate(c, true) }},
			}},
		}},
	}
	if c.Release.From(2, 0, 3) {
		list = append(list, &command{name: "web", subs: []*command{
			{name: "generate-auth-token", flags: join(str("wallet-dir", "keymanager-token-file"), terms), quiet: true, run: rpc.GenerateToken},
		}})
	}
	return list
}

// networkFlags are those of a sub-command: the networks that the program itself knows.
func networkFlags(c *cli.Context) []*flags.Flag {
	var nets []*flags.Flag
	global := flags.Global(c.Binary, c.Release)
	for _, n := range params.Networks {
		if f := global.Lookup(n); f != nil {
			nets = append(nets, &flags.Flag{Name: n, Kind: "bool", Noop: f.Noop, Aliases: f.Aliases})
		}
	}
	return nets
}

func restore(file string) *command {
	return &command{
		name: "restore", flags: str("restore-source-file", "restore-target-dir"), quiet: true,
		run: func(c *cli.Context) int { return history.Restore(c, file) },
	}
}

func walletFlags(nets, terms []*flags.Flag) []*flags.Flag {
	return join(str("wallet-dir", "wallet-password-file"), nets, terms)
}

func accountCommands(c *cli.Context, nets, terms []*flags.Flag) *command {
	common := walletFlags(nets, terms)
	group := &command{name: "accounts", alias: "account", subs: []*command{
		{name: "list", flags: join(common, bools("show-private-keys")), run: accounts.List},
		{name: "import", flags: join(common, str("keys-dir", "account-password-file", "import-private-key-file")), run: accounts.Import},
		{name: "delete", flags: join(common, str("delete-public-keys")), run: accounts.Delete},
		{name: "backup", flags: join(common, str("backup-dir", "backup-password-file", "backup-public-keys")), run: accounts.Backup},
	}}
	if c.Release.Before(5, 0, 0) {
		group.subs[0].flags = append(group.subs[0].flags, bools("show-deposit-data")...)
	}
	return group
}

func historyCommands(c *cli.Context, nets, terms []*flags.Flag) *command {
	group := &command{name: "slashing-protection", subs: []*command{
		{name: "export", flags: str("datadir", "slashing-protection-export-dir"), run: history.Export},
		{name: "import", flags: join(str("datadir", "slashing-protection-json-file"), nets, terms), run: history.Import},
	}}
	if c.Release.From(2, 0, 3) {
		group.name = "slashing-protection-history"
		group.subs[0].flags = join(group.subs[0].flags, nets, terms)
	}
	if c.Release.From(5, 0, 2) {
		for _, s := range group.subs {
			s.flags = append(s.flags, bools("enable-minimal-slashing-protection")...)
		}
	}
	return group
}
