package caddyesign

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// checkReport is the result of checking a configuration, as --json prints it. It holds
// nothing secret.
type checkReport struct {
	// OK reports whether everything that is used works.
	OK bool `json:"ok"`

	// Environment is the BankID environment, left out if an issuer is configured
	// instead.
	Environment string `json:"environment,omitempty"`

	// Issuer is the issuer identifier of the OpenID provider.
	Issuer string `json:"issuer"`

	// TokenEndpoint is the URL of the token endpoint, left out if the provider's
	// configuration could not be read. Then Error and Hint say why.
	TokenEndpoint string           `json:"token_endpoint,omitempty"`
	Error         *tokenauth.Error `json:"error,omitempty"`
	Hint          string           `json:"hint,omitempty"`

	// ESignBaseURL is the URL of the APIs as given by the provider, left out if it
	// gives none. ESignBaseURLDiffers reports whether calls go elsewhere.
	ESignBaseURL        string `json:"esign_baseurl,omitempty"`
	ESignBaseURLDiffers bool   `json:"esign_baseurl_differs"`

	// ClockSkew is how many seconds the provider's clock is ahead of this machine's
	// clock, or null if the provider does not tell its time.
	ClockSkew *float64 `json:"clock_skew_seconds"`

	clock tokenauth.Clock

	// Clients are the configured clients, sorted by name.
	Clients []checkedClient `json:"clients"`

	// Storage is the result for the storage, left out if no client that is used shares
	// its tokens there.
	Storage *checkedStorage `json:"storage,omitempty"`

	shares bool // whether such a client exists
}

// checkedClient is the result for one client.
type checkedClient struct {
	// Name is the client's name in the configuration, or "default" for the default
	// client.
	Name string `json:"name"`

	// Credentials are what is known without the provider, left out if its configuration
	// could be read.
	Credentials *checkedCredentials `json:"credentials,omitempty"`

	// Keys are the client's keys that modules hold, left out if there are none.
	Keys []checkedKey `json:"keys,omitempty"`

	// Tokens are the tokens that handlers and transports need, one for each set of
	// scopes. The list is empty for a client that none of them uses.
	Tokens []checkedToken `json:"tokens"`
}

// checkedCredentials is what is known of a client's credentials without using them.
type checkedCredentials struct {
	// OK reports whether they can be read.
	OK bool `json:"ok"`

	// ClientID is the client identifier. Key reports whether there is a private key
	// rather than a secret.
	ClientID string `json:"client_id,omitempty"`
	Key      bool   `json:"key"`

	// Error is why they cannot be read. Hint is what looks wrong about them.
	Error *tokenauth.Error `json:"error,omitempty"`
	Hint  string           `json:"hint,omitempty"`
}

// checkCredentials examines credentials without using them.
func checkCredentials(read func() (tokenauth.Credentials, error)) *checkedCredentials {
	credentials, err := read()
	if err != nil {
		return &checkedCredentials{Error: &tokenauth.Error{
			Op: "reading client credentials", Cause: tokenauth.CauseConfiguration, Err: err,
		}}
	}
	return &checkedCredentials{OK: true, ClientID: credentials.ClientID, Key: credentials.Key != nil, Hint: credentials.Hint()}
}

// checkedToken is the result of asking for one token.
type checkedToken struct {
	// OK reports whether all that was asked for was granted.
	OK bool `json:"ok"`

	// Skipped reports that the token was not asked for, because the provider could not
	// be reached, or because the result for an earlier token ended the check of this
	// client.
	Skipped bool `json:"skipped"`

	tokenauth.Terms

	// Lifetime is the token's lifetime in seconds, at most a day. LifetimeGiven is the
	// lifetime that the provider gave, if it is longer. LifetimeAssumed reports that
	// the provider gave none.
	Lifetime        float64 `json:"lifetime_seconds,omitempty"`
	LifetimeGiven   float64 `json:"lifetime_given_seconds,omitempty"`
	LifetimeAssumed bool    `json:"lifetime_assumed,omitempty"`

	// Error is why there is no token. Hint is the likely mistake.
	Error *tokenauth.Error `json:"error,omitempty"`
	Hint  string           `json:"hint,omitempty"`
}

// check obtains the tokens in needs, with the provider and the clients of the app that
// cfg configures. It starts no server. It returns an error if cfg cannot be loaded.
func check(ctx context.Context, cfg *caddy.Config, needs []need) (*checkReport, error) {
	// The app gets a configuration around it that has only its storage: logs, servers
	// and the rest of cfg are not for this process. The apps are put in after the outer
	// context is provisioned. So only the apps that are asked for are loaded, and the
	// inner context cleans them up. The admin endpoint is not started; the app only
	// reads its configuration.
	shell := &caddy.Config{
		StorageRaw: cfg.StorageRaw,
		Logging:    &caddy.Logging{Logs: map[string]*caddy.CustomLog{caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{Level: "WARN"}}}},
	}
	outer, err := caddy.ProvisionContext(shell)
	if err != nil {
		return nil, errors.New(newStorageMask(cfg.StorageRaw).show(err)) // from loading the storage
	}
	inner, cancel := caddy.NewContext(outer)
	defer cancel()
	shell.AppsRaw, shell.Admin = cfg.AppsRaw, cfg.Admin
	app, err := loadApp(inner)
	if err != nil {
		return nil, err
	}
	return app.check(ctx, needs)
}

// check obtains the tokens in needs, and throws them away.
func (a *App) check(ctx context.Context, needs []need) (*checkReport, error) {
	report := &checkReport{OK: true, Environment: a.env.Name, Issuer: a.env.Issuer, Clients: a.uncheckedClients(needs)}
	configs := make([]tokenauth.Config, len(needs))
	for i, n := range needs {
		config, client, err := a.tokenConfig(n.client, n.scopes, n.dpop)
		if err != nil {
			return nil, err
		}
		configs[i], report.shares = config, report.shares || client.ShareTokens
	}
	reached := a.checkProvider(ctx, report)
	for i, n := range needs {
		client := report.client(n.client)
		if len(client.Tokens) == 0 {
			held, err := a.client(n.client)
			if err != nil {
				return nil, err
			}
			client.Keys = checkKeys(ctx, held)
		}
		if !reached && client.Credentials == nil {
			client.Credentials = checkCredentials(configs[i].Credentials)
		}
		token := checkedToken{Terms: tokenauth.Terms{Scopes: n.scopes, DPoP: n.dpop}, Skipped: !reached || client.ended() != ""}
		if !token.Skipped {
			found, err := tokenauth.Check(ctx, configs[i], a.http)
			if err != nil {
				return nil, err
			}
			token = newCheckedToken(found)
		}
		report.OK = report.OK && token.OK
		client.Tokens = append(client.Tokens, token)
	}
	report.clock = a.provider.Clock()
	report.ClockSkew = skewSeconds(report.clock)
	return report, nil
}

// checkProvider reads the provider's configuration, and reports whether it could.
func (a *App) checkProvider(ctx context.Context, report *checkReport) bool {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(time.Duration(a.Timeout), tokenauth.DefaultTimeout))
	defer cancel()
	metadata, err := a.provider.Metadata(ctx, a.http)
	if failure, ok := errors.AsType[*tokenauth.Error](err); ok {
		report.OK, report.Error, report.Hint = false, failure, failure.Hint()
		if a.sandbox != nil && failure.Status == 0 && failure.Cause != tokenauth.CauseTimeout {
			report.Hint = "nothing serves the sandbox at " + sandbox.Address + ": start it by 'caddy bankid-esign sandbox', or a gateway with environment sandbox"
		}
		return false
	}
	report.TokenEndpoint = metadata.TokenEndpoint
	report.ESignBaseURL = metadata.Text("esign-baseurl")
	report.ESignBaseURLDiffers = a.env.Elsewhere(report.ESignBaseURL)
	return true
}

// uncheckedClients returns the clients that are configured or needed, sorted by name,
// with no results yet.
func (a *App) uncheckedClients(needs []need) []checkedClient {
	names := a.clientNames()
	for _, n := range needs {
		names = append(names, clientLabel(n.client))
	}
	slices.Sort(names)
	clients := make([]checkedClient, 0, len(names))
	for _, name := range slices.Compact(names) {
		clients = append(clients, checkedClient{Name: name, Tokens: []checkedToken{}})
	}
	return clients
}

// client returns the result for the client called name in the configuration.
func (r *checkReport) client(name string) *checkedClient {
	i := slices.IndexFunc(r.Clients, func(c checkedClient) bool { return c.Name == clientLabel(name) })
	return &r.Clients[i]
}

// keySilent is why no token is asked for if a key of the client does not sign.
const keySilent = "its key does not sign"

// ended returns why no further token of the client is asked for, or "" if the check
// goes on. Several failed logins can lock a client out.
func (c *checkedClient) ended() string {
	if slices.ContainsFunc(c.Keys, func(k checkedKey) bool { return !k.OK }) {
		return keySilent
	}
	for _, token := range c.Tokens {
		switch e := token.Error; {
		case e == nil:
		case e.RefusesClient():
			return "the client was refused"
		case e.Cause == tokenauth.CauseConfiguration:
			return "the client cannot be used as it is configured"
		case e.Status == http.StatusTooManyRequests:
			return "the provider has been asked too often"
		}
	}
	return ""
}

// refused reports whether the client cannot authenticate.
func (c *checkedClient) refused() bool {
	return slices.ContainsFunc(c.Tokens, func(t checkedToken) bool {
		return t.Error != nil && (t.Error.RefusesClient() || t.Error.Cause == tokenauth.CauseConfiguration)
	})
}

// authenticated reports whether the provider accepted the client. A client that has not
// been given a scope counts as well: a provider authenticates a client before it looks
// at the scopes.
func (c *checkedClient) authenticated() bool {
	return !c.refused() && slices.ContainsFunc(c.Tokens, func(t checkedToken) bool {
		return !t.Skipped && (t.Error == nil || t.Error.Code == "invalid_scope")
	})
}

// newCheckedToken returns r in the form of the report.
func newCheckedToken(r tokenauth.Report) checkedToken {
	return checkedToken{
		OK: r.OK(), Terms: r.Terms,
		Lifetime: r.Lifetime.Seconds(), LifetimeGiven: r.LifetimeGiven.Seconds(), LifetimeAssumed: r.LifetimeAssumed,
		Error: r.Err, Hint: r.Hint,
	}
}

// scopeList formats scopes for a person.
func scopeList(scopes []string) string {
	if len(scopes) == 0 {
		return "(no scope)"
	}
	return strings.Join(scopes, " ")
}
