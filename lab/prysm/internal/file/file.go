// Package file writes files by Prysm's own rule for what is secret (its io/file package).
package file

import (
	"errors"
	"os"
	"path/filepath"
)

// Write refuses to write over a file that others may read: one that is there must have mode 0600.
func Write(path string, raw []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if st, err := os.Stat(path); err == nil && st.Mode().Perm() != 0o600 {
		return errors.New("file already exists without proper 0600 permissions")
	}
	return os.WriteFile(path, raw, 0o600)
}
