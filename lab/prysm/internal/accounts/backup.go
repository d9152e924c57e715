package accounts

import (
	"archive/zip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	keystorev4 "github.com/wealdtech/go-eth2-wallet-encryptor-keystorev4"

	"eth2xk8s/lab/prysm/internal/cli"
	"eth2xk8s/lab/prysm/internal/wallet"
)

// Backup writes accounts as keystores into a zip file.
func Backup(c *cli.Context) int {
	bad := func(err error) int { return c.Fail("accounts", "Could not backup accounts", err) }
	_, have, err := openKeys(c, false)
	if err != nil {
		return bad(err)
	}
	dir, file := c.Flags.String("backup-dir", ""), c.Flags.String("backup-password-file", "")
	if dir == "" || file == "" || !c.Flags.IsSet("backup-public-keys") {
		return bad(errors.New("could not read the answers: no terminal to ask on"))
	}
	pass, err := wallet.ReadPassword(file)
	if err != nil {
		return bad(err)
	}
	wanted, err := chosen(c.Flags.String("backup-public-keys", ""), have, true)
	if err != nil {
		return bad(err)
	}
	if st, err := os.Stat(dir); err == nil && c.Release.Before(4, 2, 0) && st.Mode().Perm() != 0o700 {
		return bad(errors.New("dir already exists without proper 0700 permissions"))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return bad(err)
	}
	path := filepath.Join(dir, "backup.zip")
	var keys []wallet.Key
	for _, k := range have {
		if wanted[k.Pub()] {
			keys = append(keys, k)
		}
	}
	if err := writeZip(path, keys, pass); err != nil {
		return bad(err)
	}
	c.Log.Info("accounts", fmt.Sprintf("Successfully backed up %d accounts", len(keys)), "backup-path", path)
	return 0
}

// writeZip writes a keystore for each key.
func writeZip(path string, keys []wallet.Key, pass string) error {
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("zip file already exists in directory: %s", path)
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer out.Close()
	z := zip.NewWriter(out)
	for n, k := range keys {
		crypto, err := keystorev4.New().Encrypt(k.Secret, pass)
		if err != nil {
			return err
		}
		raw, _ := json.MarshalIndent(map[string]any{
			"crypto": crypto, "uuid": uuid.NewString(), "pubkey": hex.EncodeToString(k.Public), "version": 4, "name": "keystore",
		}, "", "\t")
		f, err := z.Create(fmt.Sprintf("keystore-%d.json", n))
		if err == nil {
			_, err = f.Write(raw)
		}
		if err != nil {
			return err
		}
	}
	return z.Close()
}
