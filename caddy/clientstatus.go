package caddyesign

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// clientStatus is a client as the admin API shows it.
type clientStatus struct {
	// Name is the client's name in the configuration, or "default" for the default
	// client.
	Name string `json:"name"`

	// Environment is the BankID environment, left out if an issuer is configured
	// instead.
	Environment string `json:"environment,omitempty"`

	// Issuer is the issuer identifier of the OpenID provider.
	Issuer string `json:"issuer"`

	// DiscoveredAt is when the provider's configuration was last read, left out if it
	// was not read yet.
	DiscoveredAt time.Time `json:"discovered_at,omitzero"`

	// ClockSkew is how many seconds the provider's clock is ahead of this machine's
	// clock, or null if the provider has not told its time.
	ClockSkew *float64 `json:"clock_skew_seconds"`

	// Tokens are the tokens that handlers and transports use, one for each set of
	// scopes. The list is empty for a client that none of them uses.
	Tokens []tokenStatus `json:"tokens"`
}

// tokenStatus is what is known of one token of a client. It contains nothing secret.
type tokenStatus struct {
	tokenauth.Status

	// NextRefresh is when another token can be obtained, if it was too soon after the
	// usable one. Only the response to a refresh has it.
	NextRefresh time.Time `json:"next_refresh,omitzero"`

	// LastError says why the last attempt failed, left out if it succeeded. Hint is the
	// likely mistake behind that error or behind missing scopes.
	LastError *tokenError `json:"last_error,omitempty"`
	Hint      string      `json:"hint,omitempty"`
}

// tokenError says why a token could not be obtained.
type tokenError struct {
	// Cause is unavailable, timeout, refused, unusable or configuration.
	Cause string `json:"cause"`

	// Status is the HTTP status and Code the OAuth error code of the provider's
	// response, left out if there were none.
	Status int    `json:"status,omitempty"`
	Code   string `json:"code,omitempty"`

	// Text describes the error in words.
	Text string `json:"text"`
}

// newTokenError returns err in the form of the admin API, or nil if err is nil.
func newTokenError(err *tokenauth.Error) *tokenError {
	if err == nil {
		return nil
	}
	return &tokenError{Cause: err.Cause.String(), Status: err.Status, Code: err.Code, Text: err.Error()}
}

// clientNames returns the names of the app's clients: those that are configured, and
// those that are used, since the sandbox has clients of any name.
func (a *App) clientNames() []string {
	names := slices.Collect(maps.Keys(a.used))
	if a.sandbox == nil {
		names = slices.AppendSeq(names, maps.Keys(a.Clients))
		if !a.Client.empty() {
			names = append(names, defaultClient)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// clientStatus returns the status of the client called name. kept has the tokens that a
// refresh did not renew, and when they can be renewed.
func (a *App) clientStatus(name string, kept map[*tokenauth.Source]time.Time) clientStatus {
	_, discoveredAt := a.provider.Discovered()
	client := clientStatus{
		Name: name, Environment: a.env.Name, Issuer: a.env.Issuer,
		DiscoveredAt: discoveredAt.UTC(), ClockSkew: skewSeconds(a.provider.Clock()),
		Tokens: make([]tokenStatus, 0, len(a.used[name])),
	}
	for _, source := range a.used[name] {
		status := source.Status()
		client.Tokens = append(client.Tokens, tokenStatus{
			Status: status, NextRefresh: kept[source].UTC(), LastError: newTokenError(status.Err), Hint: status.Hint(),
		})
	}
	slices.SortFunc(client.Tokens, func(x, y tokenStatus) int {
		return cmp.Compare(strings.Join(x.Scopes, " "), strings.Join(y.Scopes, " "))
	})
	return client
}
