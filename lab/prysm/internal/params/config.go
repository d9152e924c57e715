package params

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"gopkg.in/yaml.v3"

	"eth2xk8s/lab/prysm/internal/cli"
)

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
func forkConflict(c *cli.Context, conf map[string]string) error {
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
		if version != "" && version != f.mainnet || c.Release.Before(f.major, f.minor, f.patch) {
			continue
		}
		text := fmt.Sprintf("version %s for fork %s in config %s conflicts with existing config named=mainnet: %s",
			f.mainnet, strings.ToLower(f.name), name, set)
		if c.Release.Before(4, 0, 0) {
			text = fmt.Sprintf("config name=%s conflicts with existing config named=mainnet: %s", name, set)
		}
		if c.Binary != "validator" && c.Release.From(6, 0, 0) {
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

// Load reads a --chain-config-file.
func Load(c *cli.Context, path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		if err := quotedHex(raw); err != nil {
			c.Log.Error("params", "Failed to decode hex string.", "error", err)
			if c.Release.Before(3, 0, 0) {
				c.Log.Fatal("params", "Failed to parse chain config yaml file.", "error", err)
			}
			return nil, fmt.Errorf("Failed to parse chain config yaml file.: %w", err)
		}
		var node map[string]yaml.Node
		if err = yaml.Unmarshal(raw, &node); err == nil {
			out := map[string]string{}
			for k, n := range node {
				out[k] = n.Value
			}
			return out, forkConflict(c, out)
		}
	}
	if c.Release.Before(3, 0, 0) {
		c.Log.Fatal("params", "Failed to read chain config file.", "error", err)
	}
	return nil, fmt.Errorf("could not load chain config file: %w", err)
}
