package caddyesign

import (
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("bankid_esign", parseApp)
}

// parseApp sets up the app from the global option.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("bankid_esign is already configured: write all of it in one block")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "bankid_esign", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from Caddyfile tokens. Syntax:
//
//	bankid_esign {
//	    environment   production|current|sandbox
//	    issuer        <url>
//	    insecure_http_issuer
//
//	    # the default client
//	    client_id     <id>
//	    client_secret <secret>
//	    private_key   <PEM or JWK>|<module> { ... }
//	    key_id        <kid>
//	    audience      <url>
//	    dpop_key      <PEM or JWK>|<module> { ... }
//	    auth_method   private_key_jwt|client_secret_basic|client_secret_post
//	    share_tokens
//	    share_secret  <secret>
//
//	    # further clients
//	    client <name> {
//	        ... # the same
//	    }
//
//	    # towards the OpenID provider
//	    tls {
//	        trust_pool <module> { ... }
//	    }
//	    timeout        <duration>
//	    refresh_before <duration>
//
//	    # where documents are kept
//	    downloads off|memory|storage {
//	        keep     <duration>
//	        seal_key <key...>
//	    }
//
//	    # if the environment is the simulated one
//	    sandbox {
//	        <setting> <value> # see SandboxSettings; one that is true or false has no value
//	    }
//	}
//
// Either environment or issuer is required. A client requires client_id, and either
// client_secret or private_key.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume option name
	if d.NextArg() {
		return d.ArgErr()
	}
	issuer := *d                                    // for errors about the issuer
	clients := make(map[string]caddyfile.Dispenser) // and about clients: environment may come after them
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if ok, err := a.Client.unmarshalSubdirective(d); ok || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		switch d.Val() {
		case "environment":
			if err := onceString(d, &a.Environment); err != nil {
				return err
			}
			if _, ok := bankid.EnvironmentByName(a.Environment); !ok && len(placeholders(a.Environment)) == 0 {
				return d.WrapErr(unknownEnvironment(a.Environment, a.Environment))
			}

		case "issuer":
			if err := onceString(d, &a.Issuer); err != nil {
				return err
			}
			issuer = *d

		case "insecure_http_issuer":
			if err := onceFlag(d, &a.InsecureHTTPIssuer); err != nil {
				return err
			}

		case "client":
			name, err := a.unmarshalClient(d)
			if err != nil {
				return err
			}
			clients[name] = *d

		case "tls":
			if err := a.unmarshalTLS(d); err != nil {
				return err
			}

		case "sandbox":
			if a.Sandbox != nil {
				return d.Err("sandbox already specified")
			}
			a.Sandbox = new(SandboxSettings)
			if err := a.Sandbox.unmarshalCaddyfile(d); err != nil {
				return err
			}

		case "downloads":
			if a.Downloads != nil {
				return d.Err("downloads already specified")
			}
			a.Downloads = new(Downloads)
			if err := a.Downloads.unmarshalCaddyfile(d); err != nil {
				return err
			}

		case "timeout":
			if err := onceDuration(d, &a.Timeout); err != nil {
				return err
			}

		case "refresh_before":
			if err := onceDuration(d, &a.RefreshBefore); err != nil {
				return err
			}

		default:
			return unrecognized(d, "environment, issuer, insecure_http_issuer, "+clientSubdirectives+", client, tls, timeout, refresh_before, downloads, sandbox")
		}
		if a.Environment != "" && a.Issuer != "" {
			return d.Err("environment and issuer exclude each other: an environment has its issuer")
		}
		if a.Environment != "" && a.InsecureHTTPIssuer {
			return d.WrapErr(errInsecureEnvironment)
		}
		if a.Sandbox != nil && (a.Environment != "" || a.Issuer != "") && !a.maybeSandbox() {
			return d.WrapErr(errSandboxSettings)
		}
	}
	if a.Environment == "" && a.Issuer == "" {
		return d.Err("neither environment nor issuer is given: write 'environment production', 'environment current' or 'environment sandbox'")
	}
	if a.Issuer != "" && len(placeholders(a.Issuer)) == 0 {
		// This is not checked where it is read: insecure_http_issuer may come after it.
		if err := a.checkIssuer(a.Issuer); err != nil {
			return issuer.Errf("issuer '%s' %v", a.Issuer, err)
		}
	}
	if a.maybeSandbox() {
		return nil // it brings its own clients
	}
	for _, name := range slices.Sorted(maps.Keys(a.Clients)) {
		if err := a.Clients[name].validate(); err != nil {
			at := clients[name]
			return at.Errf("client '%s': %v", name, err)
		}
	}
	if a.Client.empty() {
		return nil
	}
	if err := a.Client.validate(); err != nil {
		return d.Errf("client '%s': %v", defaultClient, err)
	}
	return nil
}

// maybeSandbox reports whether the environment is the sandbox, which brings its own
// clients, or may be the sandbox once its placeholders are resolved.
func (a *App) maybeSandbox() bool {
	return a.Environment == bankid.Sandbox.Name || len(placeholders(a.Environment)) > 0
}

// clientSubdirectives lists the subdirectives of a client.
const clientSubdirectives = "client_id, client_secret, private_key, key_id, audience, dpop_key, auth_method, share_tokens, share_secret"

// unrecognized returns the error for the subdirective that d has just read. The
// subdirectives in known are allowed there.
func unrecognized(d *caddyfile.Dispenser, known string) error {
	return d.Errf("unrecognized subdirective '%s': must be one of %s", d.Val(), known)
}

// unrecognizedBy returns the error to report for err, with which a module of Caddy
// refused the tokens left in d. If the module did not recognize a subdirective, the
// error also lists the known ones.
func unrecognizedBy(d *caddyfile.Dispenser, err error, known string) error {
	if strings.HasPrefix(err.Error(), "unrecognized subdirective "+d.Val()+", at ") {
		return unrecognized(d, known)
	}
	return err
}

// unmarshalClient sets up a named client, and returns the name.
func (a *App) unmarshalClient(d *caddyfile.Dispenser) (string, error) {
	var name string
	if !d.AllArgs(&name) {
		return "", d.ArgErr()
	}
	if name == "" || len(placeholders(name)) > 0 {
		return "", d.Errf("client name '%s' must be a plain word", name)
	}
	if name == defaultClient {
		return "", d.Errf("client '%s': the default client has this name; give this one another name", name)
	}
	if _, ok := a.Clients[name]; ok {
		return "", d.Errf("client '%s' already specified", name)
	}
	client := new(Client)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		ok, err := client.unmarshalSubdirective(d)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", unrecognized(d, clientSubdirectives)
		}
	}
	if a.Clients == nil {
		a.Clients = make(map[string]*Client)
	}
	a.Clients[name] = client
	return name, nil
}

// unmarshalSubdirective sets a field of the client. It reports whether the subdirective
// is a subdirective of a client.
func (c *Client) unmarshalSubdirective(d *caddyfile.Dispenser) (bool, error) {
	if d.Val() == "auth_method" {
		if err := onceString(d, &c.AuthMethod); err != nil {
			return true, err
		}
		return true, wrapErr(d, checkAuthMethod(c.AuthMethod))
	}
	if d.Val() == "share_tokens" {
		return true, onceFlag(d, &c.ShareTokens)
	}
	if ok, err := c.unmarshalKey(d); ok || err != nil {
		return true, err
	}
	for _, field := range c.fields() {
		if d.Val() != field.name {
			continue
		}
		if err := onceString(d, field.value); err != nil {
			return true, err
		}
		if err := field.check(); err != nil {
			return true, d.Errf("%s: %v", field.name, err)
		}
		return true, nil
	}
	return false, nil
}

// unmarshalTLS sets up TLS towards the provider.
func (a *App) unmarshalTLS(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	if a.TLS != nil {
		return d.Err("tls already specified")
	}
	a.TLS = new(IssuerTLS)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "trust_pool" {
			return d.Errf("unrecognized subdirective '%s': must be trust_pool", d.Val())
		}
		if a.TLS.CARaw != nil {
			return d.Err("trust_pool already specified")
		}
		if !d.NextArg() {
			return d.ArgErr()
		}
		name := d.Val()
		unm, err := caddyfile.UnmarshalModule(d, "tls.ca_pool.source."+name)
		if err != nil {
			return err
		}
		ca, ok := unm.(caddytls.CA)
		if !ok {
			return d.Errf("module tls.ca_pool.source.%s is not a caddytls.CA", name)
		}
		a.TLS.CARaw = caddyconfig.JSONModuleObject(ca, "provider", name, nil)
	}
	return nil
}

// onceString reads the one argument of a subdirective that can be given only once.
func onceString(d *caddyfile.Dispenser, target *string) error {
	name := d.Val()
	if *target != "" {
		return d.Errf("%s already specified", name)
	}
	if d.CountRemainingArgs() == 0 {
		return d.Errf("%s has no value; if one is written as {$NAME}, that variable is not set", name)
	}
	if !d.AllArgs(target) {
		// ArgErr would show the arguments: they may be half of a secret.
		return d.Errf("wrong argument count after '%s': it takes one, in quotes if there are blanks in it", name)
	}
	if strings.TrimSpace(*target) == "" {
		return d.Errf("%s is empty", name)
	}
	return nil
}

// onceFlag sets the flag of a subdirective that has no argument and can be given only
// once.
func onceFlag(d *caddyfile.Dispenser, target *bool) error {
	if *target {
		return d.Errf("%s already specified", d.Val())
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	*target = true
	return nil
}

// onceDuration reads the one argument of a subdirective that can be given only once.
func onceDuration(d *caddyfile.Dispenser, target *caddy.Duration) error {
	name, value := d.Val(), ""
	if *target != 0 {
		return d.Errf("%s already specified", name)
	}
	if !d.AllArgs(&value) {
		return d.ArgErr()
	}
	duration, err := caddy.ParseDuration(value)
	if err != nil || duration <= 0 {
		return d.Errf("bad %s value '%s': must be a positive duration such as 10s", name, value)
	}
	*target = caddy.Duration(duration)
	return wrapErr(d, checkDuration(name, *target))
}

// wrapErr adds file and line to err. It returns nil if err is nil.
func wrapErr(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}

// Interface guards
var _ caddyfile.Unmarshaler = (*App)(nil)
