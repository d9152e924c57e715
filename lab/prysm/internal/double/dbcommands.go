package double

import (
	"fmt"
	"os"
	"path/filepath"

	"eth2xk8s/lab/prysm/internal/database"
	"eth2xk8s/lab/prysm/internal/flags"
)

func dbMigrate(a *App, fs *flags.Set, down bool) int {
	dir := fs.String("datadir", defaultDataDir())
	word := "up"
	if down {
		word = "down"
	}
	fatal := func(err error) int {
		a.Log.Fatal("db", fmt.Sprintf("Could not run database migration: %s: %v", word, err))
		return 1
	}
	if _, err := os.Stat(filepath.Join(dir, database.File)); err != nil {
		return fatal(fmt.Errorf("no database file found in %s", dir))
	}
	a.Log.Info("db", "Opening DB")
	s, err := database.Open(dir, a.V)
	if err != nil {
		return fatal(err)
	}
	defer s.Close()
	a.Log.Info("db", "Running migrations")
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

func dbRestore(a *App, fs *flags.Set, name string) int {
	source, dir := fs.String("restore-source-file", ""), fs.String("restore-target-dir", defaultDataDir())
	raw, err := os.ReadFile(source)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	target := filepath.Join(dir, name)
	if err == nil {
		if _, statErr := os.Stat(target); statErr == nil {
			var answer string
			fmt.Fprintf(a.Out, "A database file already exists in the target directory. Are you sure that you want to overwrite it? [Y/N]: ")
			if _, scan := fmt.Scanln(&answer); scan != nil {
				err = fmt.Errorf("could not read the answer: %w", scan)
			} else if answer != "y" && answer != "Y" {
				a.Log.Info("db", "Restore aborted")
				return 0
			}
		}
	}
	if err == nil {
		err = os.WriteFile(target, raw, 0o600)
	}
	if err != nil {
		a.Log.Fatal("db", fmt.Sprintf("Could not restore database: %v", err))
	}
	a.Log.Info("db", "Restore completed successfully")
	return 0
}
