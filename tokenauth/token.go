package tokenauth

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// A Token is one access token, with its times, scopes and key. Its value does not change: a
// Source replaces the whole Token.
type Token struct {
	secret        Secret
	authorization Secret        // the value of the Authorization field
	issued        instant       // when it was asked for
	lifetime      time.Duration // counted from issued
	obtained      instant
	clientID      string // of the client that obtained it
	refreshAt     instant
	expiresAt     instant  // with leeway
	endsAt        instant  // without leeway
	prover        *prover  // makes the proofs for it; nil for a bearer token
	scopes        []string // granted; nil if the response did not say
	singleUse     bool     // its lifetime is zero: only the callers that waited get it
	used          atomic.Bool
	rejected      atomic.Bool // an API has rejected it, and none has accepted it since
	accepted      atomic.Bool // an API has accepted it
}

// ExpiresAt returns until when the token may be sent. That is up to 30 seconds before
// it expires at the provider. For a token that another process has obtained, it is up
// to a minute earlier still, until this machine's clock has been compared with the
// provider's. A Source returns no token that has expired by the wall clock or by the
// monotonic clock.
func (t *Token) ExpiresAt() time.Time { return t.expiresAt.mono }

// Authorization returns the value of the Authorization field that carries the
// token (RFC 6750 section 2.1, RFC 9449 section 7.1).
func (t *Token) Authorization() string { return t.authorization.Reveal() }

// Thumbprint returns the SHA-256 thumbprint of the key that the token is bound to (RFC
// 7638, base64url), or "" for a bearer token.
func (t *Token) Thumbprint() string {
	if t.prover == nil {
		return ""
	}
	return t.prover.key.thumbprint
}

// Secret returns the access token.
func (t *Token) Secret() Secret { return t.secret }

// Usable reports whether the token may be sent now.
func (t *Token) Usable() bool { return t.usable(readClocks()) }

// SingleUse reports whether only the callers that waited for the token may send it: the
// provider gave it a lifetime of zero.
func (t *Token) SingleUse() bool { return t.singleUse }

// usable reports whether the token may be sent at now.
func (t *Token) usable(now instant) bool { return t != nil && !now.reached(t.expiresAt) }

// fresh reports whether the token may be sent at now and need not be renewed yet.
func (t *Token) fresh(now instant) bool { return t != nil && !now.reached(t.refreshAt) }

// young reports whether the token is so new at now that a 403 is no reason to renew
// it: the client may simply lack the right.
func (t *Token) young(now instant) bool { return now.since(t.obtained) < youth }

// markUsed remembers that a caller got the token. It writes only once, so that
// processors do not compete for the cache line.
func (t *Token) markUsed() {
	if !t.used.Load() {
		t.used.Store(true)
	}
}

// toTheEnd returns a copy of the token that may be sent until it expires, without
// leeway, or nil if it has expired.
func (t *Token) toTheEnd(now instant) *Token {
	if t == nil || now.reached(t.endsAt) {
		return nil
	}
	return &Token{
		secret: t.secret, authorization: t.authorization, issued: t.issued, lifetime: t.lifetime, obtained: t.obtained, clientID: t.clientID,
		refreshAt: t.refreshAt, expiresAt: t.endsAt, endsAt: t.endsAt, prover: t.prover, scopes: t.scopes,
	}
}

// MarkAccepted remembers that an API has accepted the token. See Source.Renew.
func (t *Token) MarkAccepted() {
	if !t.accepted.Load() {
		t.accepted.Store(true)
	}
	if t.rejected.Load() {
		t.rejected.Store(false)
	}
}

// Token types (RFC 6750 section 4, RFC 9449 section 5). They are the schemes of the
// Authorization field too.
const (
	typeBearer = "Bearer"
	typeDPoP   = "DPoP"
)

// Parts of a token's lifetime.
const (
	// maxLeeway is how long before its expiry a token is no longer sent, or a tenth of
	// its lifetime if that is shorter. It allows for the time that a call takes, and
	// for clocks that differ.
	maxLeeway = 30 * time.Second
	// youth is how long a token counts as young.
	youth = 5 * time.Second
	// refreshFraction is the part of its lifetime after which a token is renewed.
	refreshFraction = 0.8
	// refreshJitter is the part of its lifetime by which the renewal comes earlier at
	// most. The part is random, so that gateways that started together do not renew
	// together.
	refreshJitter = 0.1
)

// newToken makes the token of a response received at now. Its lifetime is counted from
// sent, when the request was made, so that a slow response does not prolong it. With
// refreshBefore, it is renewed that long before it may no longer be sent.
func newToken(res *tokenResponse, prover *prover, sent, now instant, refreshBefore time.Duration) *Token {
	life := res.lifetime
	leeway := min(maxLeeway, life/10)
	refreshAfter := time.Duration(float64(life) * (refreshFraction - refreshJitter*rand.Float64())) //nolint:gosec // jitter
	if refreshBefore > 0 {
		refreshAfter = max(life-leeway-refreshBefore, life/2)
	}
	scheme := typeBearer
	if prover != nil {
		scheme = typeDPoP
	}
	return &Token{
		secret:        res.accessToken,
		authorization: NewSecret(scheme + " " + res.accessToken.Reveal()),
		prover:        prover,
		scopes:        res.scopes,
		issued:        sent,
		lifetime:      life,
		obtained:      now,
		refreshAt:     sent.plus(refreshAfter),
		expiresAt:     sent.plus(life - leeway),
		endsAt:        sent.plus(life),
		singleUse:     life <= 0,
	}
}
