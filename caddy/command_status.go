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
Asks the running server, by its admin API, for the state of every client's access
tokens: how long they live, or why there are none and when the next attempt is
made. No token is shown.

The exit status is 0 if all those tokens can be used and have the scopes asked for,
and the last attempt to obtain each went well; 1 if not, or if the server cannot be
asked; and 2 for wrong usage, or a configuration that cannot be loaded. A token that
nobody has used for its lifetime is obtained at the next call, and counts as one that
cannot be used until then.

Without --address and --config, the server is found by the Caddyfile in the current
directory, as by 'caddy reload'; or else by CADDY_ADMIN, by the configuration that
Caddy has saved for this user, and at last at localhost:2019.

With --envfile, the variables of a file are added to the environment, as by 'caddy
run', before the configuration is read.

With --json, what GET /bankid_esign/clients answers is printed: an array of
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
		Short: "Has the running gateway obtain a client's access tokens anew",
		Long: `
Has the running server, by its admin API, obtain the access tokens of a client
anew, such as after its secret was replaced, and shows their state after that. The
client without a name is "default".

A failed attempt leaves the tokens that there are in use. Less than 10 seconds
after the attempt before, or for as long as the OpenID provider has asked to be
left alone, none is made: a token that the attempt before has obtained with the same
credential is shown with the time since when it is there.

Without --address and --config, the server is found by the Caddyfile in the current
directory, as by 'caddy reload'; or else by CADDY_ADMIN, by the configuration that
Caddy has saved for this user, and at last at localhost:2019.

With --envfile, the variables of a file are added to the environment, as by 'caddy
run', before the configuration is read.

The exit status is 0 if that went well, so that all tokens of the client can be used
and have the scopes asked for; 1 if not, or if the server cannot be asked; and 2 for
wrong usage, or a configuration that cannot be loaded.

With --json, what POST /bankid_esign/clients/<client>/refresh answers is printed:
a client.`,
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
			return errors.New("not every access token can be had")
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
