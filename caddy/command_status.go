package caddyesign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// adminFlags are those of the commands that talk to a running server.
type adminFlags struct {
	address, config, adapter string
	json                     bool
}

// statusCommand shows the clients of a running server.
func statusCommand() *cobra.Command {
	var flags adminFlags
	cmd := &cobra.Command{
		Use:   "status [--address <interface>] [--config <path> [--adapter <name>]] [--json]",
		Short: "Shows the state of the running gateway's access tokens",
		Long: `
Asks the running server, by its admin API, for the state of every client's access
tokens: how long they live, or why there are none and when the next attempt is
made. No token is shown.

With --json, what GET /bankid_esign/clients answers is printed: an array of
clients.`,
	}
	flags.register(cmd, cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		var clients []clientStatus
		if err := flags.ask(http.MethodGet, "/bankid_esign/clients", &clients); err != nil {
			return err
		}
		return printClients(cmd.OutOrStdout(), flags.json, clients, clients)
	})
	return cmd
}

// refreshCommand renews the tokens of a client of a running server.
func refreshCommand() *cobra.Command {
	var flags adminFlags
	cmd := &cobra.Command{
		Use:   "refresh <client> [--address <interface>] [--config <path> [--adapter <name>]] [--json]",
		Short: "Has the running gateway obtain a client's access tokens anew",
		Long: `
Has the running server, by its admin API, obtain the access tokens of a client
anew, such as after its secret was replaced, and shows their state after that. The
client without a name is "default".

A failed attempt leaves the tokens that there are in use. Less than 10 seconds
after the attempt before, or for as long as the OpenID provider has asked to be
left alone, none is made. In either case the exit status is 1.

With --json, what POST /bankid_esign/clients/<client>/refresh answers is printed:
a client.`,
	}
	flags.register(cmd, cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		var client clientStatus
		path := "/bankid_esign/clients/" + url.PathEscape(args[0]) + "/refresh"
		if err := flags.ask(http.MethodPost, path, &client); err != nil {
			return err
		}
		return printClients(cmd.OutOrStdout(), flags.json, client, []clientStatus{client})
	})
	return cmd
}

// register adds the flags to cmd, and makes it do what act does.
func (f *adminFlags) register(cmd *cobra.Command, args cobra.PositionalArgs, act func(*cobra.Command, []string) error) {
	cmd.Args = func(cmd *cobra.Command, given []string) error { return unchecked(cmd, args(cmd, given)) }
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			if err := act(cmd, given); err != nil {
				return exitFailed, err
			}
			return caddy.ExitCodeSuccess, nil
		})(cmd, nil)
	}
	cmd.SetFlagErrorFunc(unchecked)
	cmd.Flags().StringVar(&f.address, "address", "", "The address of the admin API; default: that of --config, or localhost:2019")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "The configuration that has the address of the admin API")
	cmd.Flags().StringVarP(&f.adapter, "adapter", "a", "", "The adapter of the configuration, if it is not JSON")
	cmd.Flags().BoolVar(&f.json, "json", false, "Print JSON")
}

// ask makes a request to the admin API, and decodes the answer into v.
func (f *adminFlags) ask(method, path string, v any) error {
	address, err := caddycmd.DetermineAdminAPIAddress(f.address, nil, f.config, f.adapter)
	if err != nil {
		return fmt.Errorf("finding the address of the admin API: %w", err)
	}
	res, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("reading the answer of the admin API: %w", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return errors.New("the answer of the admin API is not that of a gateway")
	}
	return nil
}

// printClients writes v as JSON, or the clients for a person.
func printClients(w io.Writer, asJSON bool, v any, clients []clientStatus) error {
	if asJSON {
		return printJSON(w, v)
	}
	t := newTable(w)
	if len(clients) == 0 {
		t.heading("no client is configured")
	}
	for _, client := range clients {
		client.print(t)
	}
	return t.flush()
}

// print writes the client into the table.
func (c *clientStatus) print(t *table) {
	issuer := c.Issuer
	if c.Environment != "" {
		issuer += " (environment " + c.Environment + ")"
	}
	t.heading("client " + c.Name + " at " + issuer)
	if skew := time.Duration(c.ClockSkew * float64(time.Second)); skew.Abs() >= badSkew {
		t.row(odd, "clock", "the provider's is ahead of this machine's by "+skew.String())
	}
	if len(c.Tokens) == 0 {
		t.row(none, "tokens", "no handler or transport uses this client")
	}
	for _, token := range c.Tokens {
		token.print(t)
	}
}

// print writes the token into the table.
func (k *tokenStatus) print(t *table) {
	m, text := none, "none, is obtained at the next call"
	switch {
	case k.State == tokenauth.StateFresh || k.State == tokenauth.StateStale:
		m, text = good, fmt.Sprintf("%s, expires in %s", k.State, until(k.ExpiresAt))
	case k.State == tokenauth.StateBackingOff:
		m, text = bad, "none, next attempt in "+until(k.NextAttempt)
	case k.LastError != nil:
		m = bad
	}
	if k.Fetching {
		text += fmt.Sprintf("; being fetched, %d waiting", k.Waiting)
	}
	t.row(m, scopeList(k.Scopes), text)
	if k.LastError != nil {
		if m == good {
			m = odd
		}
		t.row(m, "", fmt.Sprintf("%d failed: %s", k.Failures, k.LastError.Text))
		t.hint(k.Hint)
	}
}

// until returns how long it is until at, as a person reads it.
func until(at time.Time) string {
	return max(time.Until(at), 0).Round(time.Second).String()
}
