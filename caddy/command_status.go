package caddyesign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// statusCommand returns the command that shows the clients of a running server.
func statusCommand() *cobra.Command {
	var flags adminFlags
	cmd := &cobra.Command{
		Use:   "status [--address <interface>] [--config <path> [--adapter <name>]] [--envfile <path>] [--json]",
		Short: "Shows the state of the running gateway's access tokens",
		Long: `
Asks the admin API of the running server for the state of every client's access
tokens: when they expire, or why they are missing and when the next attempt is made.
It shows no token.

The exit status is 0 if all these tokens can be used and have the scopes asked for,
and the last attempt to obtain each succeeded. It is 1 if not, or if the server does
not respond, and 2 for wrong usage, or a configuration that cannot be loaded. If
nobody has used a token for its whole lifetime, the gateway obtains it at the next
call. Until then the token counts as not usable.

The address of the admin API comes from --address or --config. Without these, it
comes from the Caddyfile in the current directory, as in 'caddy reload', or else from
CADDY_ADMIN, or from the configuration that Caddy has saved for this user. The last
resort is localhost:2019.

With --envfile, it adds the variables of a file to the environment, as 'caddy run'
does, before it reads the configuration.

With --json, it prints the response to GET /bankid_esign/clients: an array of
clients.`,
		Args: noArguments(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var clients []shownClient
			response, err := flags.ask(cmd, http.MethodGet, "/bankid_esign/clients", &clients)
			if err != nil {
				return err
			}
			return printClients(cmd.OutOrStdout(), flags.json, response, clients)
		},
	}
	flags.register(cmd)
	return cmd
}

// refreshCommand returns the command that renews the tokens of a client of a running
// server.
func refreshCommand() *cobra.Command {
	var flags adminFlags
	cmd := &cobra.Command{
		Use:   "refresh <client> [--address <interface>] [--config <path> [--adapter <name>]] [--envfile <path>] [--json]",
		Short: "Makes the running gateway obtain a client's access tokens anew",
		Long: `
Asks the admin API of the running server to obtain the access tokens of a client
anew, such as after its secret was replaced. Then it shows their state. The client
without a name is "default".

If an attempt fails, the present tokens stay in use. The gateway makes no attempt
within 10 seconds of the attempt before, or before the time of the provider's
Retry-After. If the attempt before has obtained a token with the same credential, the
command shows since when that token is in use.

The address of the admin API comes from --address or --config. Without these, it
comes from the Caddyfile in the current directory, as in 'caddy reload', or else from
CADDY_ADMIN, or from the configuration that Caddy has saved for this user. The last
resort is localhost:2019.

With --envfile, it adds the variables of a file to the environment, as 'caddy run'
does, before it reads the configuration.

The exit status is 0 if all tokens of the client can then be used and have the scopes
asked for. It is 1 if not, or if the server does not respond, and 2 for wrong usage,
or a configuration that cannot be loaded.

With --json, it prints the response to POST /bankid_esign/clients/<client>/refresh: a
client.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("name one client, such as default: 'caddy bankid-esign status' lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var client shownClient
			path := "/bankid_esign/clients/" + url.PathEscape(args[0]) + "/refresh"
			response, err := flags.ask(cmd, http.MethodPost, path, &client)
			if err != nil {
				return err
			}
			return printClients(cmd.OutOrStdout(), flags.json, response, []shownClient{client})
		},
	}
	flags.register(cmd)
	return cmd
}

// shownClient is a clientStatus as these commands read it.
type shownClient struct {
	clientStatus
	Tokens []shownToken `json:"tokens"`
}

// shownToken is a tokenStatus as these commands read it. A tokenauth.Error is not made from
// JSON, and its text is enough.
type shownToken struct {
	tokenStatus
	LastError *struct{ Text string } `json:"last_error"`
}

// printClients prints the response as JSON, or its clients for a person. It returns an
// error if a token is not usable, lacks scopes, or could not be renewed.
func printClients(w io.Writer, asJSON bool, response json.RawMessage, clients []shownClient) error {
	write := printTable
	if asJSON {
		write = func(w io.Writer, _ []shownClient) error { return printJSON(w, response) }
	}
	if err := write(w, clients); err != nil {
		return err
	}
	var failing error
	for _, client := range clients {
		if slices.ContainsFunc(client.Tokens, func(k shownToken) bool { return !k.usable() }) {
			return errors.New("not every access token can be obtained")
		}
		if slices.ContainsFunc(client.Tokens, func(k shownToken) bool { return len(k.MissingScopes) > 0 }) {
			return errors.New("not every access token has all scopes that were asked for")
		}
		if slices.ContainsFunc(client.Tokens, func(k shownToken) bool { return k.LastError != nil }) {
			failing = errors.New("every access token can be used, but the last attempt to renew one failed")
		}
	}
	return failing
}

// usable reports whether there is a token to send.
func (k *shownToken) usable() bool {
	return k.State == tokenauth.StateFresh || k.State == tokenauth.StateStale
}

// printTable prints the clients for a person.
func printTable(w io.Writer, clients []shownClient) error {
	t := newTable(w)
	if len(clients) == 0 {
		t.heading("no client is configured")
	}
	for _, client := range clients {
		client.print(t)
	}
	return t.flush()
}

// print adds the client to the table.
func (c *shownClient) print(t *table) {
	issuer := c.Issuer
	if c.Environment != "" {
		issuer += " (environment " + c.Environment + ")"
	}
	t.heading("client " + c.Name + " at " + issuer)
	if clock := clockOf(c.ClockSkew); skewed(clock) || !clock.Known && !c.DiscoveredAt.IsZero() {
		printClock(t, clock, time.Now())
	}
	if len(c.Tokens) == 0 {
		t.row(none, "tokens", "no handler or transport uses this client")
	}
	for _, token := range c.Tokens {
		token.print(t)
	}
}

// print adds the token to the table.
func (k *shownToken) print(t *table) {
	m, text := odd, "none, is obtained at the next call"
	switch {
	case len(k.MissingScopes) > 0:
		m, text = bad, fmt.Sprintf("%s, granted without %s, expires in %s", k.State, scopeList(k.MissingScopes), until(k.ExpiresAt))
	case k.usable() && !k.NextRefresh.IsZero():
		m, text = good, fmt.Sprintf("%s since %s, expires in %s; another one can be obtained in %s", k.State, utc(k.ObtainedAt), until(k.ExpiresAt), until(k.NextRefresh))
	case k.usable():
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
		text := fmt.Sprintf("%d failed: %s", k.Failures, k.LastError.Text)
		if m == odd && !k.NextAttempt.IsZero() {
			text += "; next attempt in " + until(k.NextAttempt)
		}
		t.row(m, "", text)
	}
	t.hint(k.Hint)
}

// until says how long it is until at, for a person.
func until(at time.Time) string {
	return max(time.Until(at), 0).Round(time.Second).String()
}
