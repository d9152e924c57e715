package history

import (
	"fmt"
	"os"
	"path/filepath"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/database"
)

// Migrate is `db migrate up` and `down`.
func Migrate(c *cli.Context, down bool) int {
	dir := c.DataDir()
	word := "up"
	if down {
		word = "down"
	}
	fatal := func(err error) int {
		c.Log.Fatal("db", fmt.Sprintf("Could not run database migration: %s: %v", word, err))
		return 1
	}
	if _, err := os.Stat(filepath.Join(dir, database.File)); err != nil {
		return fatal(fmt.Errorf("no database file found in %s", dir))
	}
	c.Log.Info("db", "Opening DB")
	s, err := database.Open(dir, c.Release)
	if err != nil {
		return fatal(err)
	}
	defer s.Close()
	c.Log.Info("db", "Running migrations")
	if down {
		err = s.MigrateDown()
	} else {
		err = s.MigrateUp()
	}
	if err != nil {
		return fatal(err)
	}
	return 0
}

// Restore is `db restore`: it copies a file to where the program has its database, by that name.
func Restore(c *cli.Context, name string) int {
	source, dir := c.Flags.String("restore-source-file", ""), c.Flags.String("restore-target-dir", cli.DefaultDataDir())
	raw, err := os.ReadFile(source)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	target := filepath.Join(dir, name)
	if err == nil {
		if _, statErr := os.Stat(target); statErr == nil {
			var answer string
			fmt.Fprintf(c.Out, "A database file already exists in the target directory. Are you sure that you want to overwrite it? [Y/N]: ")
			if _, scan := fmt.Scanln(&answer); scan != nil {
				err = fmt.Errorf("could not read the answer: %w", scan)
			} else if answer != "y" && answer != "Y" {
				c.Log.Info("db", "Restore aborted")
				return 0
			}
		}
	}
	if err == nil {
		err = os.WriteFile(target, raw, 0o600)
	}
	if err != nil {
		c.Log.Fatal("db", fmt.Sprintf("Could not restore database: %v", err))
	}
	c.Log.Info("db", "Restore completed successfully")
	return 0
}
