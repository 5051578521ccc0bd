package caddyesign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddyserver/caddy/v2"
)

// adminFlags are the flags of the commands that talk to a running server.
type adminFlags struct {
	address, config, adapter string
	json                     bool
}

// register adds the flags to cmd.
func (f *adminFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "address", "", "The address of the admin API; default: that of --config")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "The configuration with the address of the admin API; default: the Caddyfile in the current directory, or what this user's Caddy has saved, or else localhost:2019")
	cmd.Flags().StringVarP(&f.adapter, "adapter", "a", "", "The adapter of the configuration, if it is not JSON")
	takeEnvFiles(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "Print JSON")
}

// ask makes a request to the admin API, and decodes the response into v. It returns the
// response too. Its error is for cmd to return.
func (f *adminFlags) ask(cmd *cobra.Command, method, path string, v any) (response json.RawMessage, err error) {
	address, err := f.admin(cmd)
	if err != nil {
		return nil, err
	}
	if strings.Contains(address, "://") {
		return nil, unchecked(cmd, fmt.Errorf("%s is a URL, not an address: write it without http://", address))
	}
	if parsed, err := caddy.ParseNetworkAddress(address); err != nil || parsed.PortRangeSize() > 1 || strings.ContainsAny(address, "{}") {
		return nil, unchecked(cmd, fmt.Errorf("%s is not an address of an admin API, such as %s or unix//run/caddy/admin.sock", address, caddy.DefaultAdminListen))
	}
	res, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		return nil, adminFailure(address, err)
	}
	defer res.Body.Close()
	response, err = io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the response of the admin API at %s: %w", address, err)
	}
	if err := json.Unmarshal(response, v); err != nil {
		return nil, noGateway(address)
	}
	return response, nil
}

// admin returns the address of the admin API.
func (f *adminFlags) admin(cmd *cobra.Command) (string, error) {
	switch {
	case f.address != "" && f.config != "":
		return "", unchecked(cmd, errors.New("--address and --config exclude each other: a configuration has the address"))
	case f.adapter != "" && f.config == "":
		return "", unchecked(cmd, errors.New("--adapter needs --config"))
	case f.address != "":
		return f.address, nil
	}
	file := f.config
	if file == "" {
		if _, err := os.Stat(adjacentConfig); err != nil {
			return savedAdmin(), nil
		}
		file = adjacentConfig // as 'caddy reload' does
	}
	cfg, err := readConfig(file, f.adapter, cmd.InOrStdin())
	if err != nil {
		return "", unchecked(cmd, err)
	}
	if cfg.Admin != nil && cfg.Admin.Disabled {
		return "", fmt.Errorf("%s turns the admin API off (admin off): a running gateway cannot be asked without it", file)
	}
	address, err := adminAddress(cfg.Admin)
	if err != nil {
		return "", unchecked(cmd, fmt.Errorf("the address of the admin API in %s: %w", file, err))
	}
	return address, nil
}

// adjacentConfig is the configuration file that is used if none is named.
const adjacentConfig = "Caddyfile"

// savedAdmin returns the address of the admin API if no configuration is named: the
// address in the environment, or else the address in the configuration that Caddy, run
// by this user, last loaded and saved.
func savedAdmin() string {
	if _, ok := os.LookupEnv("CADDY_ADMIN"); ok {
		return caddy.DefaultAdminListen
	}
	cfg, err := readConfig(caddy.ConfigAutosavePath, "", nil)
	if err != nil || cfg.Admin == nil || cfg.Admin.Disabled {
		return caddy.DefaultAdminListen
	}
	address, err := adminAddress(cfg.Admin)
	if err != nil {
		return caddy.DefaultAdminListen
	}
	return address
}

// adminFailure returns a clearer error for a failed request to the admin API. err is from
// Caddy, whose errors for this have no types.
func adminFailure(address string, err error) error {
	if request, ok := strings.CutPrefix(err.Error(), "performing request: "); ok {
		_, reason, _ := strings.Cut(request, `": `) // the method and the URL come before it
		reason = printable(reason)
		if strings.HasSuffix(reason, "permission denied") {
			return fmt.Errorf("the admin address %s is of another user (%s): ask as the user that the gateway runs as, or as root", address, reason)
		}
		return fmt.Errorf("no Caddy responds at the admin address %s (%s): start the gateway, without 'admin off', or name its admin API by --address or --config", address, reason)
	}
	response, ok := strings.CutPrefix(err.Error(), "caddy responded with error: HTTP ")
	if !ok {
		return errors.New(printable(err.Error()))
	}
	status, body, _ := strings.Cut(response, ": ")
	var refusal caddy.APIError
	if json.Unmarshal([]byte(body), &refusal) == nil && refusal.Message != "" {
		return fmt.Errorf("the admin API at %s returned an error: %s", address, printable(refusal.Message))
	}
	if status == fmt.Sprint(http.StatusNotFound) {
		return noGateway(address)
	}
	return fmt.Errorf("the server at the admin address %s responded with HTTP status %s: name the gateway's admin API by --address or --config", address, status)
}

// noGateway returns the error for a server at address that is not a gateway.
func noGateway(address string) error {
	return fmt.Errorf("the server at the admin address %s is not a Caddy with this gateway: name its admin API by --address or --config", address)
}
