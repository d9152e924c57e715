package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// AcceptTerms wants the terms of use accepted, by flag, by an earlier acceptance or by hand.
func (c *Context) AcceptTerms() error {
	dir := c.DataDir()
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
			c.Log.Warn("tos", fmt.Sprintf("error writing %s to file: %v", mark, err))
		}
	}
	if c.Flags.Bool("accept-terms-of-use") {
		save()
		return nil
	}
	fmt.Fprintf(c.Out, "\nPrysmatic Labs Terms of Use\n\nType \"accept\" to accept this terms and conditions [accept/decline]: ")
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
