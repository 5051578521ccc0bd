package tokenauth

import (
	"slices"
	"time"
)

// A State says what a call of Source.Token would do.
type State string

// The states of a Source.
const (
	StateFresh      State = "fresh"       // return the token in memory
	StateStale      State = "stale"       // return it, and renew it in the background
	StateNone       State = "none"        // wait for an attempt
	StateBackingOff State = "backing_off" // return an error, until the next attempt
)

// A Status describes a Source at one moment. It holds nothing secret. Its times are in UTC.
// As JSON, it has the members that concern the token; Issuer, DiscoveredAt and Clock are
// left out.
type Status struct {
	// State says what a call of Token would do now.
	State State `json:"state"`

	// Issuer is the issuer identifier of the provider.
	Issuer string `json:"-"`

	// Terms say what was asked for in the last attempt, and what was granted.
	Terms

	// Thumbprint is the thumbprint of the key that the token is bound to (RFC 7638,
	// base64url). It is "" for a bearer token, or if there is no usable token.
	Thumbprint string `json:"jkt,omitempty"`

	// ObtainedAt is when the token was received, or issued if another process has
	// received it. RefreshAt is when it is due to be renewed. ExpiresAt is until when
	// it may be sent. All are zero if there is no usable token. While the previous
	// token is in use because an API has refused the newest one, RefreshAt is that of
	// the newest.
	ObtainedAt time.Time `json:"obtained_at,omitzero"`
	RefreshAt  time.Time `json:"refresh_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`

	// Err is why the last attempt failed, nil if it succeeded. Failures is the number of
	// failed attempts since the last success. NextAttempt is the earliest time of the
	// next attempt, zero if nothing holds it back.
	Err         *Error    `json:"last_error,omitempty"`
	Failures    int       `json:"failures"`
	NextAttempt time.Time `json:"next_attempt,omitzero"`

	// Fetching reports whether an attempt is under way. Waiting is the number of
	// callers that wait for it.
	Fetching bool `json:"fetching"`
	Waiting  int  `json:"waiting"`

	// DiscoveredAt is when the provider's configuration was last read, zero if it was
	// not read yet.
	DiscoveredAt time.Time `json:"-"`

	// Clock says how the provider's clock differs from this machine's.
	Clock Clock `json:"-"`
}

// Terms say what a client asked for, how, and what it was granted.
type Terms struct {
	// Scopes are the scopes asked for.
	Scopes []string `json:"scopes"`

	// GrantedScopes are the scopes of the token. They are nil if there is no usable
	// token, and the scopes asked for if the provider did not list any (RFC 6749
	// section 5.1). A list of more than 2048 bytes is cut, and ends with "…".
	GrantedScopes []string `json:"granted_scopes,omitempty"`

	// MissingScopes are the scopes asked for that are not in the provider's list of
	// granted scopes. They are nil if there is no such list, or no usable token.
	MissingScopes []string `json:"missing_scopes,omitempty"`

	// DPoP reports whether the tokens are bound to a key (RFC 9449).
	DPoP bool `json:"bound"`

	// ClientID and AuthMethod are those of the last attempt. They are "" if there was
	// no attempt, or if it failed before they were known.
	ClientID   string     `json:"client_id,omitempty"`
	AuthMethod AuthMethod `json:"auth_method,omitempty"`

	// AssertionAlgorithm and ProofAlgorithm are the JWS algorithms of the last
	// attempt's client assertion and DPoP proof. AssertionKeyID is the kid in the
	// assertion. Each is "" if there was none.
	AssertionAlgorithm string `json:"assertion_alg,omitempty"`
	AssertionKeyID     string `json:"assertion_kid,omitempty"`
	ProofAlgorithm     string `json:"proof_alg,omitempty"`
}

// Hint names the likely mistake behind a failure or missing scopes, in one sentence that
// holds nothing secret. It returns "" if nothing is wrong, or the mistake is not known.
func (s Status) Hint() string {
	switch {
	case s.Err != nil:
		return s.Err.Hint()
	case len(s.MissingScopes) > 0:
		return "the client has not been given these scopes: order them, or do not use what needs them"
	}
	return ""
}

// Status returns the status of the Source. It makes no request, and does not count as
// use of the token.
func (s *Source) Status() Status {
	status := Status{
		State: StateNone, Terms: Terms{Scopes: slices.Clone(s.config.Scopes), DPoP: s.config.DPoP}, Waiting: int(s.waiting.Load()),
	}
	if provider := s.config.Provider; provider != nil { // else NewSource did not make it
		status.Issuer, status.Clock = provider.Issuer(), provider.Clock()
		_, discoveredAt := provider.Discovered()
		status.DiscoveredAt = discoveredAt.UTC()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := readClocks()
	status.ClientID, status.AuthMethod = s.lastIdentity.clientID, s.lastIdentity.method
	status.AssertionAlgorithm, status.AssertionKeyID, status.ProofAlgorithm = s.lastIdentity.assertionAlg, s.lastIdentity.assertionKeyID, s.lastIdentity.proofAlg
	status.Err, status.Failures, status.Fetching = s.failure, s.failures, s.inflight != nil
	if next := s.retryAtLocked(); !now.reached(next) {
		status.NextAttempt = now.wallTime(next).UTC()
	}
	token := s.inUseLocked(now)
	switch {
	case !token.usable(now):
		if !status.NextAttempt.IsZero() && s.inflight == nil {
			status.State = StateBackingOff
		}
		return status
	case s.newest != nil || token.fresh(now):
		status.State = StateFresh
	default:
		status.State = StateStale
	}
	status.GrantedScopes, status.Thumbprint = boundedScopes(token.scopes), token.Thumbprint()
	if token.scopes == nil {
		status.GrantedScopes = status.Scopes
	}
	status.MissingScopes = s.missing(token)
	status.ObtainedAt, status.ExpiresAt = now.wallTime(token.obtained).UTC(), now.wallTime(token.expiresAt).UTC()
	status.RefreshAt = now.wallTime(s.latestLocked().refreshAt).UTC()
	return status
}

// identity is who asked for a token, and how.
type identity struct {
	clientID                     string
	method                       AuthMethod
	assertionAlg, assertionKeyID string
	proofAlg                     string
}

// newIdentity returns the identity for an attempt with the given credentials.
func newIdentity(c Credentials, method AuthMethod, metadata *Metadata, prover *prover) identity {
	id := identity{clientID: c.ClientID, method: method}
	if method == PrivateKeyJWT {
		// If there is no supported algorithm, the attempt itself reports that.
		id.assertionAlg, _ = c.Key.algorithm(metadata.AssertionAlgorithms)
		id.assertionKeyID = c.Key.ID()
	}
	if prover != nil {
		id.proofAlg = prover.alg
	}
	return id
}

// remember keeps the identity of the attempt in flight.
func (s *Source) remember(id identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastIdentity = id
}
