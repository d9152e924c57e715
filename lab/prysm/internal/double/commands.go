package double

import (
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/flags"
)

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

// commands are the sub-commands that this version has.
func (a *App) commands() []*command {
	v := a.V
	terms := bools("accept-terms-of-use")
	if a.Binary != "validator" {
		return []*command{{name: "db", subs: []*command{{
			name: "restore", flags: str("restore-source-file", "restore-target-dir"), quiet: true,
			run: func(a *App, fs *flags.Set) int { return dbRestore(a, fs, "beaconchaindata/beaconchain.db") },
		}}}}
	}
	// The networks of a sub-command are those that the program itself knows.
	var nets []*flags.Flag
	global := flags.Global(a.Binary, v)
	for _, n := range networks {
		if f := global.Lookup(n); f != nil {
			nets = append(nets, &flags.Flag{Name: n, Kind: "bool", Noop: f.Noop, Aliases: f.Aliases})
		}
	}
	common := join(str("wallet-dir", "wallet-password-file"), nets, terms)
	accounts := &command{name: "accounts", alias: "account", subs: []*command{
		{name: "list", flags: join(common, bools("show-private-keys")), run: accountsList},
		{name: "import", flags: join(common, str("keys-dir", "account-password-file", "import-private-key-file")), run: accountsImport},
		{name: "delete", flags: join(common, str("delete-public-keys")), run: accountsDelete},
		{name: "backup", flags: join(common, str("backup-dir", "backup-password-file", "backup-public-keys")), run: accountsBackup},
	}}
	if v.Before(5, 0, 0) {
		accounts.subs[0].flags = append(accounts.subs[0].flags, bools("show-deposit-data")...)
	}
	wallet := &command{name: "wallet", subs: []*command{
		{name: "create", flags: join(common, str("keymanager-kind")), run: walletCreate},
	}}
	history := &command{name: "slashing-protection", subs: []*command{
		{name: "export", flags: str("datadir", "slashing-protection-export-dir"), run: historyExport},
		{name: "import", flags: join(str("datadir", "slashing-protection-json-file"), nets, terms), run: historyImport},
	}}
	if v.From(2, 0, 3) {
		history.name = "slashing-protection-history"
		history.subs[0].flags = join(history.subs[0].flags, nets, terms)
	}
	if v.From(5, 0, 2) {
		for _, c := range history.subs {
			c.flags = append(c.flags, bools("enable-minimal-slashing-protection")...)
		}
	}
	db := &command{name: "db", subs: []*command{
		{
			name: "restore", flags: str("restore-source-file", "restore-target-dir"), quiet: true,
			run: func(a *App, fs *flags.Set) int { return dbRestore(a, fs, database.File) },
		},
		{name: "migrate", subs: []*command{
			{name: "up", flags: str("datadir"), quiet: true, run: func(a *App, fs *flags.Set) int { return dbMigrate(a, fs, false) }},
			{name: "down", flags: str("datadir"), quiet: true, run: func(a *App, fs *flags.Set) int { return dbMigrate(a, fs, true) }},
		}},
	}}
	list := []*command{accounts, wallet, history, db}
	if v.From(2, 0, 3) {
		list = append(list, &command{name: "web", subs: []*command{
			{name: "generate-auth-token", flags: join(str("wallet-dir", "keymanager-token-file"), terms), quiet: true, run: generateToken},
		}})
	}
	return list
}
