package tokenauth

import (
	"slices"
	"time"
)

// A State is how a Source would answer a call for its token.
type State string

// The states of a Source.
const (
	StateFresh      State = "fresh"       // from memory
	StateStale      State = "stale"       // from memory, and renewed in the background
	StateNone       State = "none"        // by waiting for a fetch
	StateBackingOff State = "backing_off" // with an error, until the next attempt
)

// A Status is what can be known of a Source at one moment. It holds nothing
// secret.
type Status struct {
	// State is how the Source would answer now.
	State State

	// Issuer is the issuer identifier of the provider.
	Issuer string

	// ClientID and AuthMethod are those of the last attempt, "" before it or if
	// the attempt did not get that far.
	ClientID   string
	AuthMethod AuthMethod

	// AssertionAlgorithm and ProofAlgorithm are the JWS algorithms of the last
	// attempt's client assertion and DPoP proof, "" if it had none.
	AssertionAlgorithm, ProofAlgorithm string

	// AssertionKeyID is the kid of the key that signed the assertion, "" if there
	// was none.
	AssertionKeyID string

	// Scopes are those asked for.
	Scopes []string

	// DPoP reports whether the tokens are bound to a key (RFC 9449).
	DPoP bool

	// GrantedScopes are those of the token, nil if there is no usable one. Where
	// the provider did not say, they are those asked for (RFC 6749 section 5.1); of a
	// list of more than 2048 bytes, the beginning and "…".
	GrantedScopes []string

	// MissingScopes are those asked for that the provider says it has not granted, nil
	// if it does not say so or there is no usable token.
	MissingScopes []string

	// Thumbprint is that of the key that the token is bound to (RFC 7638), ""
	// for a bearer token or none.
	Thumbprint string

	// ObtainedAt, RefreshAt and ExpiresAt are when the token was received (issued,
	// if another process received it), when it is due to be renewed, and until when
	// it may be sent. They are zero if there is no usable one. While the token before
	// is in use because an API has refused the newest one, RefreshAt is that of the
	// newest.
	ObtainedAt, RefreshAt, ExpiresAt time.Time

	// Err is why the last attempt failed, nil if it did not. NextAttempt is when
	// the next one is made at the earliest, zero if nothing holds it back, and
	// Failures counts the attempts that have failed since the last success.
	Err         *Error
	NextAttempt time.Time
	Failures    int

	// Fetching reports whether an attempt is under way, and Waiting how many
	// callers wait for it.
	Fetching bool
	Waiting  int

	// DiscoveredAt is when the provider's configuration was last read, zero if it
	// was not yet.
	DiscoveredAt time.Time

	// Clock is what is known of the provider's clock.
	Clock Clock
}

// Hint says what the likely mistake is behind what went wrong, in one sentence that
// holds nothing secret; "" if nothing did, or none can be told.
func (s Status) Hint() string {
	switch {
	case s.Err != nil:
		return s.Err.Hint()
	case len(s.MissingScopes) > 0:
		return "the client has not been given these scopes: order them, or do not use what needs them"
	}
	return ""
}

// Status returns the status of the Source. It asks nobody, and does not count
// as use of the token.
func (s *Source) Status() Status {
	status := Status{
		State: StateNone, Scopes: slices.Clone(s.config.Scopes), DPoP: s.config.DPoP, Waiting: int(s.waiting.Load()),
	}
	if provider := s.config.Provider; provider != nil { // else NewSource did not make it
		status.Issuer, status.Clock = provider.Issuer(), provider.Clock()
		_, status.DiscoveredAt = provider.Discovered()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := readClocks()
	status.ClientID, status.AuthMethod = s.last.clientID, s.last.method
	status.AssertionAlgorithm, status.AssertionKeyID, status.ProofAlgorithm = s.last.assertionAlg, s.last.assertionKeyID, s.last.proofAlg
	status.Err, status.Failures, status.Fetching = s.failure, s.failures, s.flight != nil
	if next := s.retryAtLocked(); !now.reached(next) {
		status.NextAttempt = now.tell(next)
	}
	token := s.inUseLocked(now)
	switch {
	case !token.usable(now):
		if !status.NextAttempt.IsZero() && s.flight == nil {
			status.State = StateBackingOff
		}
		return status
	case s.newer != nil || token.fresh(now):
		status.State = StateFresh
	default:
		status.State = StateStale
	}
	status.GrantedScopes, status.Thumbprint = boundedScopes(token.scopes), token.Thumbprint()
	if token.scopes == nil {
		status.GrantedScopes = status.Scopes
	}
	status.MissingScopes = s.missing(token)
	status.ObtainedAt, status.RefreshAt, status.ExpiresAt = now.tell(token.obtained), now.tell(s.latestLocked().refreshAt), now.tell(token.expiresAt)
	return status
}

// identity is who asked for a token, and how.
type identity struct {
	clientID                     string
	method                       AuthMethod
	assertionAlg, assertionKeyID string
	proofAlg                     string
}

// newIdentity returns that of an attempt with the given credentials.
func newIdentity(c Credentials, method AuthMethod, metadata *Metadata, prover *prover) identity {
	id := identity{clientID: c.ClientID, method: method}
	if method == PrivateKeyJWT {
		// Without one that is supported, the attempt says so itself.
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
	s.last = id
}
