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
	// State is fresh, stale, none or backing_off.
	State tokenauth.State `json:"state"`

	// Scopes were asked for. GrantedScopes are the scopes of the token, and
	// MissingScopes were asked for but not granted. If the provider does not say what
	// it has granted, GrantedScopes are the scopes asked for (RFC 6749 section 5.1).
	Scopes        []string `json:"scopes"`
	GrantedScopes []string `json:"granted_scopes,omitempty"`
	MissingScopes []string `json:"missing_scopes,omitempty"`

	// Bound reports whether the token is bound to a key (DPoP). Thumbprint is the
	// thumbprint of that key (RFC 7638).
	Bound      bool   `json:"bound"`
	Thumbprint string `json:"jkt,omitempty"`

	// These say how the last attempt asked: the client identifier, the client
	// authentication method, the JWS algorithm and kid of the assertion, and the
	// algorithm of the proof.
	ClientID           string               `json:"client_id,omitempty"`
	AuthMethod         tokenauth.AuthMethod `json:"auth_method,omitempty"`
	AssertionAlgorithm string               `json:"assertion_alg,omitempty"`
	AssertionKeyID     string               `json:"assertion_kid,omitempty"`
	ProofAlgorithm     string               `json:"proof_alg,omitempty"`

	// These are when the usable token was obtained, is due to be renewed, and stops
	// being sent; left out if there is no usable token.
	ObtainedAt time.Time `json:"obtained_at,omitzero"`
	RefreshAt  time.Time `json:"refresh_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`

	// NextRefresh is when another token can be obtained, if it was too soon after the
	// usable one. Only the response to a refresh has it.
	NextRefresh time.Time `json:"next_refresh,omitzero"`

	// LastError says why the last attempt failed, left out if it succeeded. Hint is the
	// likely mistake behind that error or behind missing scopes. Failures is the number
	// of failed attempts since the last success. NextAttempt is the earliest time of
	// the next attempt, left out if nothing delays it.
	LastError   *tokenError `json:"last_error,omitempty"`
	Hint        string      `json:"hint,omitempty"`
	Failures    int         `json:"failures"`
	NextAttempt time.Time   `json:"next_attempt,omitzero"`

	// Fetching reports whether an attempt is under way, and Waiting how many callers
	// wait for it.
	Fetching bool `json:"fetching"`
	Waiting  int  `json:"waiting"`
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
		token := newTokenStatus(source.Status())
		token.NextRefresh = kept[source].UTC()
		client.Tokens = append(client.Tokens, token)
	}
	slices.SortFunc(client.Tokens, func(x, y tokenStatus) int {
		return cmp.Compare(strings.Join(x.Scopes, " "), strings.Join(y.Scopes, " "))
	})
	return client
}

// newTokenStatus returns s in the form of the admin API.
func newTokenStatus(s tokenauth.Status) tokenStatus {
	return tokenStatus{
		State: s.State, Scopes: s.Scopes, GrantedScopes: s.GrantedScopes, MissingScopes: s.MissingScopes,
		Bound: s.DPoP, Thumbprint: s.Thumbprint,
		ClientID: s.ClientID, AuthMethod: s.AuthMethod,
		AssertionAlgorithm: s.AssertionAlgorithm, AssertionKeyID: s.AssertionKeyID, ProofAlgorithm: s.ProofAlgorithm,
		ObtainedAt: s.ObtainedAt.UTC(), RefreshAt: s.RefreshAt.UTC(), ExpiresAt: s.ExpiresAt.UTC(),
		LastError: newTokenError(s.Err), Failures: s.Failures, NextAttempt: s.NextAttempt.UTC(),
		Hint: s.Hint(), Fetching: s.Fetching, Waiting: s.Waiting,
	}
}
