package caddyesign

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// sandboxCredentials returns the credentials of the sandbox's own clients. They are
// never placeholders, whatever characters they contain.
func sandboxCredentials(dpop bool) func() (tokenauth.Credentials, error) {
	id, secret := sandbox.ClientID, sandbox.ClientSecret
	if dpop {
		id, secret = sandbox.B2BClientID, sandbox.B2BClientSecret
	}
	return func() (tokenauth.Credentials, error) {
		return tokenauth.Credentials{ClientID: id, ClientSecret: tokenauth.NewSecret(secret)}, nil
	}
}

// client returns the client called name, or the default client if name is "". It
// returns the zero Client if the sandbox supplies the client.
func (a *App) client(name string) (Client, error) {
	if a.sandbox != nil && (name == "" || a.needless()) {
		return Client{}, nil
	}
	client, err := a.configuredClient(name)
	if a.sandbox != nil {
		client = Client{}
	}
	return client, err
}

// configuredClient returns the client that the configuration has by that name.
func (a *App) configuredClient(name string) (Client, error) {
	if name == "" {
		if a.Client.empty() {
			return Client{}, errors.New("no default client is configured: give client_id and client_secret in the bankid_esign global option, or name a client")
		}
		return a.Client, nil
	}
	client, ok := a.Clients[name]
	if !ok || client == nil {
		if name == defaultClient && !a.Client.empty() {
			return Client{}, errors.New("the default client has no name: leave 'client' out")
		}
		if len(a.Clients) == 0 {
			return Client{}, fmt.Errorf("no client '%s' is configured: none has a name", name)
		}
		return Client{}, fmt.Errorf("no client '%s' is configured: those with a name are %v", name, slices.Sorted(maps.Keys(a.Clients)))
	}
	return *client, nil
}

// needless reports whether the configuration has no clients at all. With the sandbox,
// which brings its own, that is allowed. If the configuration has some, another name that
// a handler uses is missing or misspelt, as in any other environment.
func (a *App) needless() bool { return a.Client.empty() && len(a.Clients) == 0 }

// tokenConfig returns the configuration of tokens for the given client and scopes, and
// the client. The tokens are bound to a key if dpop is true.
func (a *App) tokenConfig(clientName string, scopes []string, dpop bool) (tokenauth.Config, Client, error) {
	client, err := a.client(clientName)
	if err != nil {
		return tokenauth.Config{}, client, err
	}
	if err := a.checkBinding(clientName, client, dpop); err != nil {
		return tokenauth.Config{}, client, err
	}
	if client.Audience, err = resolveAudience(client.Audience); err != nil {
		return tokenauth.Config{}, client, fmt.Errorf("audience: %v", err)
	}
	credentials := client.credentials
	if a.sandbox != nil {
		credentials = sandboxCredentials(dpop)
	}
	return tokenauth.Config{
		Provider:      a.provider,
		Credentials:   credentials,
		AuthMethod:    tokenauth.AuthMethod(client.AuthMethod),
		Scopes:        scopes,
		Audience:      client.Audience,
		DPoP:          dpop,
		Timeout:       time.Duration(a.Timeout),
		RefreshBefore: time.Duration(a.RefreshBefore),
	}, client, nil
}

// source returns the source of tokens for the given client and scopes. The tokens are
// bound to a key if dpop is true. All configurations that ask for the same share the
// source.
func (a *App) source(clientName string, scopes []string, dpop bool) (*tokenauth.Source, error) {
	config, client, err := a.tokenConfig(clientName, scopes, dpop)
	if err != nil {
		return nil, err
	}
	key, err := digest(struct {
		Issuer        string
		Pinned        bool
		Secure        bool
		TLS           *IssuerTLS
		Client        Client
		Scopes        []string
		DPoP          bool
		Timeout       caddy.Duration
		RefreshBefore caddy.Duration
	}{a.env.Issuer, a.env.Name != "", !a.InsecureHTTPIssuer, a.TLS, client, scopes, dpop, a.Timeout, a.RefreshBefore})
	if err != nil {
		return nil, err
	}
	source, err := use(&a.refs, sourceKey(key), func() (pooledSource, error) {
		source, err := tokenauth.NewSource(config)
		return pooledSource{source}, err
	})
	if err != nil {
		return nil, err
	}
	if !a.sources[source.Source] {
		// This is done here, not in Start: apps start in no particular order, and a
		// handler of this configuration may be called before this app starts.
		user := newSourceObserver(a.logger, a.env, clientName, a.events)
		a.metrics.add(user.client, source.Source)
		runtime := tokenauth.Runtime{Client: a.http, Observe: user.observe}
		if client.ShareTokens {
			runtime.Store, runtime.ObserveStore = a.storage, user.observeStore
		}
		a.detach = append(a.detach, source.Attach(runtime))
		a.sources[source.Source] = true
	}
	name := clientLabel(clientName)
	if !slices.Contains(a.used[name], source.Source) {
		a.used[name] = append(a.used[name], source.Source)
	}
	return source.Source, nil
}

// checkBinding returns an error if the client cannot have tokens that are bound to a
// key, or can have no others. BankID switches DPoP on for a client as a whole, and then
// binds all of its tokens.
func (a *App) checkBinding(name string, client Client, dpop bool) error {
	// One client identifier may be configured under two names.
	if bound, ok := a.bound[client.ClientID]; ok && bound != dpop && a.sandbox == nil {
		return fmt.Errorf("client '%s' is used for b2b and for another API: b2b needs a client of its own, whose tokens are all bound to a key", name)
	}
	a.bound[client.ClientID] = dpop
	if dpop && client.ShareTokens && !client.hasDPoPKey() {
		return fmt.Errorf("client '%s' has no dpop_key: without one, each server binds its tokens to a key of its own, and share_tokens is of no use", name)
	}
	if dpop && a.env == bankid.Production && !client.hasKey() {
		return fmt.Errorf("client '%s' has no private_key: in production, BankID does not let a client with a secret seal", name)
	}
	return nil
}

// origin returns where api is served, or an error if that is not known.
func (a *App) origin(api bankid.API) (*url.URL, error) {
	if a.env.Name == "" {
		return nil, fmt.Errorf("no upstream is given for '%s': with an issuer of your own, every API needs one", api)
	}
	return url.Parse(a.env.Origin(api))
}

// checkOrigin returns an error if calls must not go to u. With an issuer that is plain
// http, calls cannot go to BankID's own hosts, so that nobody uses it for real.
func (a *App) checkOrigin(u *url.URL) error {
	if !a.InsecureHTTPIssuer {
		return nil
	}
	if err := checkRehearsal(u); err != nil {
		return fmt.Errorf("upstream %s %w", u, err)
	}
	return nil
}
