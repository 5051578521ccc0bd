package caddyesign

import (
	"errors"
	"fmt"
	"slices"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// Access says which calls can be made, and with which client's tokens.
type Access struct {
	// The APIs that can be called: `csc`, `signdoc`, `timestamp`, `b2b`.
	// Required.
	APIs []string `json:"apis,omitempty"`

	// The client whose tokens are used. Default: the default client.
	Client string `json:"client,omitempty"`

	// Scopes to ask for in addition to the scope that each API needs, such as
	// `esign/nnin`. With `signdoc/read_write`, `esign` is not asked for.
	Scopes []string `json:"scopes,omitempty"`

	// Calls that the built-in table lacks, or has with other properties.
	Calls []Call `json:"calls,omitempty"`

	// The size, in bytes, of the largest request body that is held in memory
	// so that the call can be retried with a new token. Default: 1 MiB.
	RequestBuffer int64 `json:"request_buffer,omitempty"`
}

// Call is a row of the call table.
type Call struct {
	// The API that the call belongs to.
	API string `json:"api,omitempty"`

	// The request method.
	Method string `json:"method,omitempty"`

	// The path, as escaped on the wire. It is compared byte for byte.
	Path string `json:"path,omitempty"`

	// The authorization that the call carries: `bearer`, `dpop`, `pass` (the
	// caller's own bearer token) or `none`.
	Kind string `json:"kind,omitempty"`

	// When the call may be sent twice: `safe`, `rejected` (once, when its
	// credential was refused) or `never`. Default: `never`.
	Retry string `json:"retry,omitempty"`
}

// call returns the row in the form of the call table.
func (c Call) call() (gateway.Call, error) {
	api, err := parseAPI(c.API)
	if err != nil {
		return gateway.Call{}, err
	}
	retry := gateway.Retry(c.Retry)
	if retry == "" {
		retry = gateway.Never
	}
	return bankid.NewCall(api, c.Method, c.Path, gateway.Kind(c.Kind), retry)
}

// parseAPI finds an API by name.
func parseAPI(name string) (bankid.API, error) {
	api, ok := bankid.APIByName(name)
	if !ok {
		return "", fmt.Errorf("unknown API '%s': must be one of %v", name, bankid.APIs())
	}
	return api, nil
}

// validate returns an error for a fault that can be found without the app.
func (a Access) validate() error {
	if len(a.APIs) == 0 {
		return fmt.Errorf("no API is given: name one or more of %v", bankid.APIs())
	}
	for i, name := range a.APIs {
		if _, err := parseAPI(name); err != nil {
			return err
		}
		if slices.Contains(a.APIs[:i], name) {
			return fmt.Errorf("API '%s' is given twice", name)
		}
	}
	if a.has(bankid.B2B) && len(a.APIs) > 1 {
		return errors.New("b2b cannot be combined with another API: its tokens are bound to a key and its client has no other scopes; give it a directive or route in a site of its own, or with a matcher, such as 'bankid_esign /v0/b2b/* b2b'")
	}
	if a.has(bankid.B2B) && a.Client == "" {
		return errors.New("b2b needs a client of its own: name it with 'client <name>'")
	}
	for i, scope := range a.Scopes {
		if err := a.validateScope(scope); err != nil {
			return err
		}
		if slices.Contains(a.Scopes[:i], scope) {
			return fmt.Errorf("scope '%s' is given twice", scope)
		}
	}
	for _, c := range a.Calls {
		if _, err := c.call(); err != nil {
			return fmt.Errorf("call %s %s %s: %v", c.API, c.Method, c.Path, err)
		}
		if !slices.Contains(a.APIs, c.API) {
			return fmt.Errorf("call %s %s: API '%s' is not among those of this directive", c.Method, c.Path, c.API)
		}
	}
	if a.RequestBuffer < 0 || a.RequestBuffer > requestBudget {
		return fmt.Errorf("request_buffer must be between 0 and %d bytes", int64(requestBudget))
	}
	return nil
}

// validateScope returns an error if an extra scope cannot be used.
func (a Access) validateScope(scope string) error {
	if len(placeholders(scope)) > 0 {
		return fmt.Errorf("scope '%s' must be a plain word: a request must not choose it", scope)
	}
	if err := tokenauth.CheckScope(scope); err != nil {
		return err
	}
	if (scope == bankid.ScopeB2B) != a.has(bankid.B2B) {
		return fmt.Errorf("scope '%s' cannot be used here: a token for %s has no other scope", scope, bankid.ScopeB2B)
	}
	return nil
}

// has reports whether api is among the APIs.
func (a Access) has(api bankid.API) bool { return slices.Contains(a.APIs, string(api)) }

// table returns the calls that can be made.
func (a Access) table() (*gateway.Table, error) {
	apis := make([]bankid.API, len(a.APIs))
	for i, name := range a.APIs {
		apis[i] = bankid.API(name)
	}
	calls := bankid.Calls(apis...)
	for _, c := range a.Calls {
		call, err := c.call()
		if err != nil {
			return nil, err
		}
		calls = append(calls, call)
	}
	return gateway.NewTable(calls...), nil
}

// sources returns the source of each API's tokens.
func (a Access) sources(app *App) (map[string]*tokenauth.Source, error) {
	sources := make(map[string]*tokenauth.Source, len(a.APIs))
	for _, name := range a.APIs {
		api := bankid.API(name)
		source, err := app.source(a.Client, bankid.Scopes(api, a.Scopes), api == bankid.B2B)
		if err != nil {
			return nil, err
		}
		sources[name] = source
	}
	return sources, nil
}
