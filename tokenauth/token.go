package tokenauth

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// A Token is one access token with all that belongs to it. It is never
// modified, and replaced as a whole.
type Token struct {
	secret    Secret
	field     Secret        // the value of Authorization
	issued    instant       // when it was asked for
	lifetime  time.Duration // counted from then
	obtained  instant
	clientID  string // whose it is
	refreshAt instant
	expiresAt instant  // less leeway
	endsAt    instant  // without it
	prover    *prover  // makes the proofs that go with it; nil for a bearer token
	scopes    []string // granted; nil if the answer did not say
	once      bool     // has no life at all: for those who waited for it only
	used      atomic.Bool
	rejected  atomic.Bool // where it was used, and not accepted since
}

// ExpiresAt returns until when the token may be sent. That lies up to 30 seconds
// before the provider lets it expire; up to a minute more for one that another
// process has obtained, until the clocks have been compared. A Source hands out none
// that has expired by the clock on the wall or by the monotonic one.
func (t *Token) ExpiresAt() time.Time { return t.expiresAt.mono }

// Authorization returns the value of the Authorization field that carries the
// token (RFC 6750 section 2.1, RFC 9449 section 7.1).
func (t *Token) Authorization() string { return t.field.Reveal() }

// Thumbprint returns the thumbprint of the key that the token is bound to, ""
// for a bearer token.
func (t *Token) Thumbprint() string {
	if t.prover == nil {
		return ""
	}
	return t.prover.key.thumbprint
}

// usable reports whether the token may be sent at now.
func (t *Token) usable(now instant) bool { return t != nil && !now.reached(t.expiresAt) }

// fresh reports whether the token may be sent at now and need not be renewed yet.
func (t *Token) fresh(now instant) bool { return t != nil && !now.reached(t.refreshAt) }

// young reports whether the token is so new at now that an API may not know it yet,
// and that a 403 does not count against it: the client may simply lack the right.
func (t *Token) young(now instant) bool { return now.since(t.obtained) < youth }

// markUsed remembers that the token was handed out. It writes once only, so
// that processors do not fight over the cache line.
func (t *Token) markUsed() {
	if !t.used.Load() {
		t.used.Store(true)
	}
}

// toTheEnd returns the token as one that is sent until it really expires, without
// leeway; nil if it has.
func (t *Token) toTheEnd(now instant) *Token {
	if t == nil || now.reached(t.endsAt) {
		return nil
	}
	return &Token{
		secret: t.secret, field: t.field, issued: t.issued, lifetime: t.lifetime, obtained: t.obtained, clientID: t.clientID,
		refreshAt: t.refreshAt, expiresAt: t.endsAt, endsAt: t.endsAt, prover: t.prover, scopes: t.scopes,
	}
}

// markAccepted remembers that an API has accepted the token.
func (t *Token) markAccepted() {
	if t.rejected.Load() {
		t.rejected.Store(false)
	}
}

// Parts of a token's life.
const (
	// maxLeeway is how long before its expiry a token stops being sent, for the
	// time that a call is on its way and for clocks that do not agree; a tenth
	// of its life if that is shorter.
	maxLeeway = 30 * time.Second
	// youth is how long a token is young.
	youth = 5 * time.Second
	// refreshFraction is how much of its life passes before a token is renewed.
	refreshFraction = 0.8
	// refreshJitter is the part of its life by which that is drawn forward at
	// random, so that gateways that started together do not stay together.
	refreshJitter = 0.1
)

// newToken makes the token of an answer received at now. Its life is counted
// from sent, when the question was asked, so that a slow answer does not
// lengthen it. With refreshBefore, it is renewed that long before it stops being
// sent.
func newToken(res *tokenResponse, prover *prover, sent, now instant, refreshBefore time.Duration) *Token {
	life := res.lifetime
	leeway := min(maxLeeway, life/10)
	refreshAfter := time.Duration(float64(life) * (refreshFraction - refreshJitter*rand.Float64())) //nolint:gosec // jitter
	if refreshBefore > 0 {
		refreshAfter = max(life-leeway-refreshBefore, life/2)
	}
	scheme := "Bearer "
	if prover != nil {
		scheme = "DPoP "
	}
	return &Token{
		secret:    res.accessToken,
		field:     NewSecret(scheme + res.accessToken.Reveal()),
		prover:    prover,
		scopes:    res.scopes,
		issued:    sent,
		lifetime:  life,
		obtained:  now,
		refreshAt: sent.plus(refreshAfter),
		expiresAt: sent.plus(life - leeway),
		endsAt:    sent.plus(life),
		once:      life <= 0,
	}
}
