// Package history is `validator slashing-protection[-history] import|export` and the `db` commands: what an operator does
// with a validator.db by hand, with the texts and exit codes of each release (lab/prysm/README.md). The records themselves
// are read and written in package database.
package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/file"
)

func prefix(c *cli.Context) string {
	if c.Release.Before(2, 0, 3) {
		return "slashingprotection"
	}
	return "historycmd"
}

// failure ends a command: with code 0 before v2.0.0, where the error was only returned.
func failure(c *cli.Context, what string, err error) int {
	if c.Release.Before(2, 0, 0) {
		c.Log.Error("main", fmt.Sprintf("%s: %v", what, err))
		return 0
	}
	c.Log.Fatal(prefix(c), fmt.Sprintf("%s: %v", what, err))
	return 1
}

// Import reads an interchange file into a database.
func Import(c *cli.Context) int {
	v, log, p := c.Release, c.Log, prefix(c)
	dir := c.DataDir()
	what := "Could not import slashing protection file"
	where, found := database.Find(dir)
	switch {
	case v.From(1, 3, 2) && v.Before(2, 0, 0) && !found:
		return 0 // nothing is done and nothing is said
	case v.From(6, 0, 4) && !found:
		return failure(c, what, fmt.Errorf("%s was not found at path %s, so nothing to import", database.File, dir))
	case v.From(2, 0, 0) && !found:
		log.Info(p, fmt.Sprintf("Did not find existing %s inside of %s, creating a new one", database.File, dir))
	case v.From(6, 0, 4):
		log.Info(p, "Found validator database at path "+where)
	case v.From(2, 0, 0):
		log.Info(p, fmt.Sprintf("Found existing %s inside of %s", database.File, dir))
	}
	if v.From(7, 1, 0) {
		dir = where // before, what lay in a sub-directory was found, and an empty database opened here
	}
	file := c.Flags.String("slashing-protection-json-file", "")
	if file == "" {
		return failure(c, what, errors.New("no path to a slashing_protection.json file specified, please retry or "+
			"you can also specify it with the --slashing-protection-json-file flag"))
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return failure(c, what, err)
	}
	store, err := database.Open(dir, v)
	if err != nil {
		return failure(c, "could not access validator database at path "+dir, err)
	}
	defer store.Close()
	if v.From(2, 0, 0) {
		log.Info(p, "Starting import of slashing protection file "+file)
	}
	if err := store.Import(raw); err != nil {
		store.Close()
		return failure(c, what, err)
	}
	text := "Slashing protection JSON successfully imported"
	if v.From(2, 0, 0) {
		text += " into " + c.DataDir()
	}
	log.Info(p, text)
	return 0
}

// Export writes an interchange file of a database.
func Export(c *cli.Context) int {
	v, log, p := c.Release, c.Log, prefix(c)
	what := "Could not export slashing protection file"
	if v.From(2, 0, 3) {
		log.Info(p, "This command exports your validator's attestation and proposal history into a file that can then be "+
			"imported into any other Prysm setup across computers")
	}
	dir := c.DataDir()
	where, found := database.Find(dir)
	switch {
	case v.From(1, 3, 2) && v.Before(2, 0, 0) && !found:
		return 0
	case v.From(2, 0, 0) && !found:
		return failure(c, what, fmt.Errorf("%s was not found at path %s, so nothing to export", database.File, dir))
	case v.From(6, 0, 4):
		log.Info(p, "Found validator database at path "+where)
		dir = where
	}
	store, err := database.Open(dir, v)
	if err != nil {
		return failure(c, "could not access validator database at path "+dir, err)
	}
	defer store.Close()
	out, err := store.Export()
	none := "No slashing protection data was found in your database. The file could not be exported"
	if errors.Is(err, database.ErrNoProposals) {
		return failure(c, none, err)
	}
	if err != nil {
		return failure(c, "could not export slashing protection history", err)
	}
	if len(out.Data) == 0 && v.From(2, 0, 3) {
		return failure(c, none, errors.New("nothing to export"))
	}
	raw, err := json.MarshalIndent(out, "", "\t")
	if err != nil {
		return failure(c, what, err)
	}
	to := c.Flags.String("slashing-protection-export-dir", "")
	if to == "" {
		return failure(c, what, errors.New("output directory not specified"))
	}
	if st, err := os.Stat(to); err == nil && v.Before(4, 2, 0) && st.Mode().Perm() != 0o700 {
		return failure(c, what, errors.New("dir already exists without proper 0700 permissions"))
	}
	path := filepath.Join(to, "slashing_protection.json")
	if v.From(2, 0, 0) {
		log.Info(p, "Writing slashing protection export JSON file to "+path)
	}
	if err := file.Write(path, raw); err != nil {
		return failure(c, fmt.Sprintf("could not write file to path %s", path), err)
	}
	if v.From(2, 0, 0) {
		log.Info(p, fmt.Sprintf("Successfully wrote %s. You can import this file using Prysm's validator "+
			"slashing-protection-history import command in another machine", path))
	}
	return 0
}
