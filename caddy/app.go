package caddyesign

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/archive"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

func init() {
	caddy.RegisterModule(new(App))
}

// requestBudget is the size, in bytes, of the memory for all request bodies that are
// kept for a retry.
const requestBudget = 64 << 20

// App holds the clients of BankID OIDC, and what the gateway knows of the OpenID
// provider. A client's tokens outlive a reload of the configuration, as long as the
// client does not change.
//
// It emits these events. Their data never contain a secret.
//
// Event | When | Data
// ------|------|-----
// `bankid_esign_token_obtained` | when a token is obtained or renewed | `client_id`; `lifetime` in seconds; `failed_attempts`, the number of failed attempts before this one: more than 0 means that a failure has ended
// `bankid_esign_token_failed` | when an attempt fails for another reason than the attempt before, or when a failure has lasted until the token expired | `cause` (`unavailable`, `timeout`, `refused`, `unusable` or `configuration`); `code`, the OAuth error code or empty; `error`; `attempt`, the number of attempts since the last success; `token_usable`; `next_attempt`, the earliest time of the next attempt (RFC 3339)
// `bankid_esign_token_unavailable` | in addition, when an attempt fails and no usable token is left; again only after a token was obtained; this can be one step of back-off after the token expired | the same
//
// All events also have `client`, `issuer` and `scope` (space-separated). Event
// handlers are called one after the other. Calls do not wait for them, but logs and
// metrics of the next attempts for the same token do.
type App struct {
	// The BankID environment: `production`, `current` (the public test
	// environment) or `sandbox` (a BankID that this server simulates on
	// 127.0.0.1:9771, with a client of its own). Required, unless `issuer` is
	// given.
	Environment string `json:"environment,omitempty"`

	// The issuer identifier of another OpenID provider, instead of an environment. It
	// must be `https`, unless its host is a loopback address (but see
	// `insecure_http_issuer`). Then the hosts of the APIs must be given where the APIs
	// are used.
	Issuer string `json:"issuer,omitempty"`

	// Whether the issuer may be plain `http` on another machine, as in a rehearsal in a
	// network of containers. Everybody in that network can read the credentials and the
	// tokens, and respond in the issuer's name. So there are restrictions. The token
	// endpoint must be on the issuer's own host. Neither the issuer nor an upstream can
	// be a host of BankID, and their host names can only have plain letters, digits,
	// `-`, `_` and `.`. A client cannot use a credential that another client, under any
	// name, uses with an issuer protected by TLS in the configuration that is running,
	// or the other way round; the command `check` does not test this. A warning is
	// logged whenever the configuration is loaded. Default: false.
	InsecureHTTPIssuer bool `json:"insecure_http_issuer,omitempty"`

	// The default client, for handlers and transports that name no client.
	Client

	// Further clients by name.
	Clients map[string]*Client `json:"clients,omitempty"`

	// TLS towards the OpenID provider.
	TLS *IssuerTLS `json:"tls,omitempty"`

	// The settings of the sandbox, with the environment `sandbox`. If a reload changes
	// them, the sandbox starts anew and forgets its orders.
	Sandbox *SandboxSettings `json:"sandbox,omitempty"`

	// How long one attempt to obtain a token may take, discovery included.
	// Default: `10s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long before its expiry a token is renewed, at most half of its lifetime.
	// Default: at a random time when 70 to 80 % of its lifetime have passed.
	RefreshBefore caddy.Duration `json:"refresh_before,omitempty"`

	// Whether and where downloads are kept. Default: in memory, for ten minutes.
	Downloads *Downloads `json:"downloads,omitempty"`

	env bankid.Environment
	// showsProxy is whether the configuration may read placeholders of Caddy's reverse
	// proxy, which the short way does not set.
	showsProxy bool
	// tellsApart is whether the configuration may tell callers apart, where any may call.
	tellsApart bool
	provider   *tokenauth.Provider
	budget     *gateway.Budget
	downloads  downloadStore
	archives   map[string]*archive.Archive // by client name
	fresh      []*archive.Archive          // that no configuration before has used
	drainers   drainers
	sandbox    *sandboxServer
	sources    map[*tokenauth.Source]bool
	used       map[string][]*tokenauth.Source // by client name, "default" for the default one
	bound      map[string]bool                // by client_id: whether its tokens are bound to a key
	refs       references
	metrics    *sourceMetrics
	events     *emitter

	logger    *zap.Logger
	http      *http.Client
	storage   tokenauth.Store
	certmagic certmagic.Storage
	stop      context.CancelFunc // ends what runs in the background
	detach    []func()
}

// IssuerTLS configures TLS towards the OpenID provider.
type IssuerTLS struct {
	// Which certificate authorities are trusted. Default: those of the system.
	CARaw json.RawMessage `json:"ca,omitempty" caddy:"namespace=tls.ca_pool.source inline_key=provider"`
}

// CaddyModule returns the Caddy module information. Unlike most modules, it does not
// copy its receiver: events call it while the app is being cleaned up.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "bankid_esign",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets up the app. It does not use the network.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger = ctx.Logger()
	a.certmagic = ctx.Storage()
	a.storage = sharedStorage{a.certmagic}
	a.archives = make(map[string]*archive.Archive)
	a.sources = make(map[*tokenauth.Source]bool)
	a.used = make(map[string][]*tokenauth.Source)
	a.bound = make(map[string]bool)
	a.metrics = new(sourceMetrics)
	if err := registerMetrics(ctx, a.metrics); err != nil {
		return fmt.Errorf("registering metrics: %v", err)
	}
	var err error
	if a.events, err = newEmitter(ctx); err != nil {
		return err
	}
	if err := a.provisionEnvironment(); err != nil {
		return err
	}
	if err := a.provisionClients(ctx); err != nil {
		return err
	}
	if err := a.Downloads.provision(a.logger); err != nil {
		return err
	}
	cfg := configuration(ctx)
	a.showsProxy = readsProxy(cfg)
	a.tellsApart = tellsCallersApart(cfg)
	if err := checkUserID(cfg); err != nil {
		return err
	}
	if cfg != nil && a.sandbox == nil { // the sandbox's credentials are published
		warnOpenAdmin(a.logger, cfg.Admin, a.allClients())
	}
	if err := errors.Join(checkDuration("timeout", a.Timeout), checkDuration("refresh_before", a.RefreshBefore)); err != nil {
		return err
	}
	if err := a.provisionHTTP(ctx); err != nil {
		return err
	}
	key, err := digest(struct {
		Issuer string
		Pinned bool
		Secure bool
		TLS    *IssuerTLS
	}{a.env.Issuer, a.env.Name != "", !a.InsecureHTTPIssuer, a.TLS})
	if err != nil {
		return err
	}
	// BankID's token endpoint is on the issuer's host; another provider's may be
	// anywhere.
	a.provider, err = use(&a.refs, providerKey(key), func() (*tokenauth.Provider, error) {
		switch {
		case a.InsecureHTTPIssuer:
			return tokenauth.NewInsecureProvider(a.env.Issuer)
		case a.env.Name == "":
			return tokenauth.NewProvider(a.env.Issuer, tokenauth.AnyTokenHost)
		}
		return tokenauth.NewProvider(a.env.Issuer)
	})
	if err != nil {
		return err
	}
	a.budget, err = use(&a.refs, budgetKey{}, func() (*gateway.Budget, error) {
		return gateway.NewBudget(requestBudget), nil
	})
	if err != nil {
		return err
	}
	a.drainers, err = use(&a.refs, drainersKey{}, func() (drainers, error) { return newDrainers(), nil })
	if err != nil {
		return err
	}
	a.downloads, err = use(&a.refs, downloadsKey{}, func() (downloadStore, error) { return newDownloadStore(), nil })
	return err
}

// checkIssuer returns an error if issuer cannot be used. If the only fault is plain
// http, the error names the option that allows it.
func (a *App) checkIssuer(issuer string) error {
	err := parseIssuer(issuer, a.InsecureHTTPIssuer)
	if err == nil || a.InsecureHTTPIssuer {
		return err
	}
	if u, other := tokenauth.ParseInsecureIssuer(issuer); other != nil || checkRehearsal(u) != nil {
		return err
	}
	return fmt.Errorf("%w; for a provider of a rehearsal, write insecure_http_issuer (check: --insecure-http-issuer)", err)
}

// provisionEnvironment sets the environment.
func (a *App) provisionEnvironment() error {
	switch {
	case a.Environment != "" && a.Issuer != "":
		return errors.New("environment and issuer exclude each other: an environment has its issuer")
	case a.Environment != "" && a.InsecureHTTPIssuer:
		return errInsecureEnvironment
	case a.Environment != "":
		name, err := resolve(a.Environment)
		if err != nil {
			return fmt.Errorf("environment: %v", err)
		}
		var ok bool
		if a.env, ok = bankid.EnvironmentByName(name); !ok {
			return unknownEnvironment(name, a.Environment)
		}
	case a.Issuer != "":
		issuer, err := resolve(a.Issuer)
		if err != nil {
			return fmt.Errorf("issuer: %v", err)
		}
		if err := a.checkIssuer(issuer); err != nil {
			return fmt.Errorf("issuer '%s' %v", a.Issuer, err)
		}
		a.env = bankid.Environment{Issuer: issuer}
		if a.InsecureHTTPIssuer {
			warnInsecure(a.logger, issuer)
		}
	default:
		return errors.New("neither environment nor issuer is given: there is no default, so that nobody signs for real by accident")
	}
	if a.env != bankid.Sandbox {
		if a.Sandbox != nil {
			return errSandboxSettings
		}
		return nil
	}
	options := a.sandboxOptions()
	if err := options.Validate(); err != nil {
		return err
	}
	a.logger.Warn("this is the sandbox: a simulated BankID whose signatures mean nothing",
		zap.String("issuer", a.env.Issuer))
	var err error
	a.sandbox, err = use(&a.refs, sandboxKey{}, func() (*sandboxServer, error) { return newSandboxServer(options) })
	return err
}

// errSandboxSettings is the error for settings of a sandbox that there is not.
var errSandboxSettings = errors.New("sandbox is for environment sandbox only")

// sandboxOptions returns the options of the sandbox.
func (a *App) sandboxOptions() sandbox.Options {
	if a.Sandbox == nil {
		return sandbox.Options{}
	}
	return a.Sandbox.options
}

// unknownEnvironment returns the error for an environment that does not exist. The
// error shows the name as it was typed.
func unknownEnvironment(name, typed string) error {
	environments := bankid.Environments()
	names := make([]string, len(environments))
	for i, env := range environments {
		names[i] = env.Name
	}
	hint := ""
	if name == "preprod" || name == "test" {
		hint = "; what eSign calls preprod is 'current' in BankID OIDC"
	}
	return fmt.Errorf("unknown environment '%s': must be one of %s%s", typed, strings.Join(names, ", "), hint)
}

// provisionClients checks the clients.
func (a *App) provisionClients(ctx caddy.Context) error {
	if _, ok := a.Clients[defaultClient]; ok {
		return fmt.Errorf("client '%s': the default client has this name; give this one another name", defaultClient)
	}
	clients := a.allClients()
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		client := clients[name]
		if a.sandbox != nil {
			continue // the sandbox supplies its own clients
		}
		if err := client.validate(); err != nil {
			return fmt.Errorf("client '%s': %v", clientLabel(name), err)
		}
		if err := client.loadKeys(ctx); err != nil {
			return fmt.Errorf("client '%s': %v", clientLabel(name), err)
		}
		if err := provisionSecrecy(&a.refs, name, client, !a.InsecureHTTPIssuer); err != nil {
			return err
		}
		if names := client.writtenOut(); len(names) > 0 {
			a.logger.Warn("a secret is written out in the configuration, where it shows; use a placeholder such as {file./run/secrets/bankid}",
				zap.String("client", clientLabel(name)), zap.Strings("fields", names), zap.String("hint", client.hint()))
		}
	}
	return nil
}

// allClients returns the configured clients by name. The name of the default client is
// "".
func (a *App) allClients() map[string]*Client {
	clients := make(map[string]*Client, len(a.Clients)+1)
	for name, client := range a.Clients {
		if client == nil { // as JSON can have it
			client = new(Client)
		}
		clients[name] = client
	}
	if !a.Client.empty() {
		clients[""] = &a.Client
	}
	return clients
}

// provisionHTTP creates the HTTP client for requests to the provider.
func (a *App) provisionHTTP(ctx caddy.Context) error {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.TLS != nil && a.TLS.CARaw != nil {
		mod, err := ctx.LoadModule(a.TLS, "CARaw")
		if err != nil {
			return fmt.Errorf("loading ca module: %v", err)
		}
		ca, ok := mod.(caddytls.CA)
		if !ok {
			return fmt.Errorf("ca module %T is not a certificate pool", mod)
		}
		tlsConfig.RootCAs = ca.CertPool()
	}
	a.http = &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
		// A connection that a firewall has forgotten is closed within one attempt.
		// Otherwise HTTP/2 would use it again for the next attempt.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 3 * time.Second, PingTimeout: 2 * time.Second},
		MaxResponseHeaderBytes: 64 << 10,
		OnProxyConnectResponse: tokenauth.CheckEgressResponse,
	}}
	return nil
}

// Start makes the app's sources begin to obtain tokens.
func (a *App) Start() error {
	if a.sandbox != nil {
		if err := a.sandbox.serve(a.sandboxOptions()); err != nil {
			return err
		}
	}
	for source := range a.sources {
		source.Warm()
	}
	if len(a.fresh) > 0 {
		var ctx context.Context
		ctx, a.stop = context.WithCancel(context.Background())
		go a.probeArchives(ctx)
	}
	return nil
}

// Stop does nothing: requests that are under way may still need a token.
func (a *App) Stop() error { return nil }

// Cleanup detaches the app from its sources, which another configuration may use by
// now, and gives back what it holds in the pool.
func (a *App) Cleanup() error {
	if a.events != nil {
		a.events.stop()
	}
	if a.stop != nil {
		a.stop()
	}
	for _, detach := range a.detach {
		detach()
	}
	a.detach = nil
	err := a.refs.release()
	if a.http != nil {
		a.http.CloseIdleConnections()
	}
	return err
}

// loadApp returns the bankid_esign app.
func loadApp(ctx caddy.Context) (*App, error) {
	mod, err := ctx.AppIfConfigured("bankid_esign")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, errors.New("the bankid_esign app is not configured: add the bankid_esign global option")
	}
	if err != nil {
		return nil, err
	}
	return mod.(*App), nil
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
