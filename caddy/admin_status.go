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

	// Hint is the likely mistake behind the last error or behind missing scopes.
	Hint string `json:"hint,omitempty"`
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
		client.Tokens = append(client.Tokens, tokenStatus{Status: status, NextRefresh: kept[source].UTC(), Hint: status.Hint()})
	}
	slices.SortFunc(client.Tokens, func(x, y tokenStatus) int {
		return cmp.Compare(strings.Join(x.Scopes, " "), strings.Join(y.Scopes, " "))
	})
	return client
}
