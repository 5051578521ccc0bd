package caddyesign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddyserver/caddy/v2"
)

// adminFlags are those of the commands that talk to a running server.
type adminFlags struct {
	address, config, adapter string
	json                     bool
}

// register adds the flags to cmd.
func (f *adminFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "address", "", "The address of the admin API; default: that of --config, or localhost:2019")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "The configuration that has the address of the admin API")
	cmd.Flags().StringVarP(&f.adapter, "adapter", "a", "", "The adapter of the configuration, if it is not JSON")
	takeEnvFiles(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "Print JSON")
}

// ask makes a request to the admin API, and decodes the answer into v. The error
// ends cmd.
func (f *adminFlags) ask(cmd *cobra.Command, method, path string, v any) error {
	address, err := f.admin(cmd)
	if err != nil {
		return err
	}
	if strings.Contains(address, "://") {
		return unchecked(cmd, fmt.Errorf("%s is a URL, not an address: write it without http://", address))
	}
	if parsed, err := caddy.ParseNetworkAddress(address); err != nil || parsed.PortRangeSize() > 1 || strings.ContainsAny(address, "{}") {
		return unchecked(cmd, fmt.Errorf("%s is not an address of an admin API, such as %s or unix//run/caddy/admin.sock", address, caddy.DefaultAdminListen))
	}
	res, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		return adminFailure(address, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("reading the answer of the admin API at %s: %w", address, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return noGateway(address)
	}
	return nil
}

// admin returns the address of the admin API.
func (f *adminFlags) admin(cmd *cobra.Command) (string, error) {
	switch {
	case f.address != "" && f.config != "":
		return "", unchecked(cmd, errors.New("--address and --config exclude each other: a configuration has the address"))
	case f.adapter != "" && f.config == "":
		return "", unchecked(cmd, errors.New("--adapter goes with --config"))
	case f.address != "":
		return f.address, nil
	case f.config == "":
		return caddy.DefaultAdminListen, nil
	}
	cfg, err := readConfig(f.config, f.adapter, cmd.InOrStdin())
	switch {
	case err != nil:
		return "", unchecked(cmd, err)
	case cfg.Admin != nil && cfg.Admin.Disabled:
		return "", fmt.Errorf("%s turns the admin API off (admin off), without which a running gateway cannot be asked", f.config)
	case cfg.Admin == nil || cfg.Admin.Listen == "":
		return caddy.DefaultAdminListen, nil
	}
	listen, err := caddy.NewReplacer().ReplaceOrErr(cfg.Admin.Listen, true, true) // as Caddy does when it listens
	if err != nil {
		return "", unchecked(cmd, fmt.Errorf("the address of the admin API in %s: %w", f.config, err))
	}
	return listen, nil
}

// Caddy tells only in words why a request to the admin API has failed.
var (
	adminUnreached = regexp.MustCompile(`^performing request: \w+ "[^"]*": (.*)$`)
	adminRefused   = regexp.MustCompile(`(?s)^caddy responded with error: HTTP (\d+): (.*)$`)
)

// adminFailure says in a sentence why a request to the admin API has failed.
func adminFailure(address string, err error) error {
	if match := adminUnreached.FindStringSubmatch(err.Error()); match != nil {
		return fmt.Errorf("no Caddy answers at the admin address %s (%s): start the gateway, without 'admin off', or say by --address or --config where its admin API is", address, printable(match[1]))
	}
	match := adminRefused.FindStringSubmatch(err.Error())
	if match == nil {
		return errors.New(printable(err.Error()))
	}
	var answer struct{ Error string }
	if json.Unmarshal([]byte(match[2]), &answer) == nil && answer.Error != "" {
		return fmt.Errorf("the admin API at %s says: %s", address, printable(answer.Error))
	}
	if match[1] == fmt.Sprint(http.StatusNotFound) {
		return noGateway(address)
	}
	return fmt.Errorf("what is at the admin address %s answers with HTTP status %s: say by --address or --config where the gateway's admin API is", address, match[1])
}

// noGateway is the error for what answers as no gateway does.
func noGateway(address string) error {
	return fmt.Errorf("what answers at the admin address %s is no Caddy with this gateway in it: say by --address or --config where its admin API is", address)
}
