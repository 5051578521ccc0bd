package sandbox

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// accessTokens issues and checks the access tokens of BankID OIDC.
type accessTokens struct {
	issuer   string
	audience string
	lifetime time.Duration
	clock    *clock
	keys     signingKeys

	mu      sync.Mutex
	serial  int64            // of the token that was issued last
	revoked map[string]int64 // serial of the last token revoked, by client; "" is for all
}

// claims are those of a Keycloak access token that matter here; see
// https://developer.bankid.no/bankid-oidc-provider/core-concepts/access-tokens.
type claims struct {
	jwt.Claims
	Type            string `json:"typ"`
	AuthorizedParty string `json:"azp"`
	Scope           string `json:"scope"`

	// Serial counts the tokens of a sandbox; it is what revocation goes by.
	Serial int64 `json:"sandbox_serial"`

	// Confirmation names the key that a token is bound to (RFC 9449, section 6.1).
	Confirmation *confirmation `json:"cnf,omitempty"`
}

type confirmation struct {
	Thumbprint string `json:"jkt"`
}

// bound reports whether a token needs a proof by the key it is bound to.
func (c *claims) bound() bool { return c.Type == "DPoP" && c.Confirmation != nil }

func newAccessTokens(issuer, audience string, lifetime time.Duration, clock *clock) (*accessTokens, error) {
	a := &accessTokens{issuer: issuer, audience: audience, lifetime: lifetime, clock: clock, revoked: make(map[string]int64)}
	return a, a.keys.rotate(false)
}

// issue makes a token with the given scopes for a client. If there is a
// thumbprint, the token is bound to that key.
func (a *accessTokens) issue(clientID, scope, thumbprint string) (string, error) {
	now := a.clock.now()
	c := claims{
		Claims: jwt.Claims{
			Issuer:   a.issuer,
			Audience: jwt.Audience{a.audience},
			IssuedAt: jwt.NewNumericDate(now),
			Expiry:   jwt.NewNumericDate(now.Add(a.lifetime)),
			ID:       rand.Text(),
		},
		Type:            "Bearer",
		AuthorizedParty: clientID,
		Scope:           scope,
		Serial:          a.next(),
	}
	if thumbprint != "" {
		c.Type = "DPoP" // as Keycloak marks them
		c.Confirmation = &confirmation{Thumbprint: thumbprint}
	}
	return jwt.Signed(a.keys.active()).Claims(c).Serialize()
}

func (a *accessTokens) next() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serial++
	return a.serial
}

// revoke makes all tokens that a client got so far invalid, or with "" those of
// all clients.
func (a *accessTokens) revoke(clientID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked[clientID] = a.serial
}

func (a *accessTokens) isRevoked(c *claims) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.Serial <= max(a.revoked[""], a.revoked[c.AuthorizedParty])
}

// open returns the claims of a token which the server signed.
func (a *accessTokens) open(token string) (*claims, bool) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(parsed.Headers) != 1 {
		return nil, false
	}
	key, ok := a.keys.byID(parsed.Headers[0].KeyID)
	var c claims
	if !ok || parsed.Claims(key, &c) != nil {
		return nil, false
	}
	return &c, true
}

// verify returns the claims of a token which the server issued, and which has
// neither expired nor been revoked, bound or not.
func (a *accessTokens) verify(token string) (*claims, bool) {
	c, ok := a.open(token)
	if !ok || c.Type != "Bearer" && !c.bound() || c.Expiry == nil || a.isRevoked(c) {
		return nil, false
	}
	// Whole seconds, as Keycloak counts: exp is rounded down when a token is
	// issued, and a token must not live shorter than its expires_in.
	now := a.clock.now().Truncate(time.Second)
	expected := jwt.Expected{Issuer: a.issuer, AnyAudience: jwt.Audience{a.audience}, Time: now}
	times := c.Claims
	times.IssuedAt = nil // no reason to refuse it, if the clock was moved back
	if times.ValidateWithLeeway(expected, 0) != nil {
		return nil, false
	}
	return c, true
}

// grants reports whether a token has one of the scopes.
func (c *claims) grants(scopes ...string) bool {
	granted := strings.Fields(c.Scope)
	return slices.ContainsFunc(scopes, func(scope string) bool { return slices.Contains(granted, scope) })
}

// An admission says whether a call may use an API, or why not.
type admission int

const (
	admitted admission = iota
	tokenMissing
	tokenInvalid
	scopeMissing
)

// admit checks that a call carries a bearer token with one of the scopes. A
// bound token is none.
func (a *accessTokens) admit(r *http.Request, scopes ...string) admission {
	if len(r.Header.Values("Authorization")) == 0 {
		return tokenMissing
	}
	token, ok := bearer(r)
	if !ok {
		return tokenInvalid
	}
	c, ok := a.verify(token)
	if !ok || c.bound() {
		return tokenInvalid
	}
	if !c.grants(scopes...) {
		return scopeMissing
	}
	return admitted
}

// client returns the ID of the client that got the token of an admitted call.
func (a *accessTokens) client(r *http.Request) string {
	token, _ := bearer(r)
	c, ok := a.open(token)
	if !ok {
		return ""
	}
	return c.AuthorizedParty
}

// bearer returns the token of a request's only Authorization header (RFC 6750,
// section 2.1).
func bearer(r *http.Request) (string, bool) { return authorization(r, "Bearer") }

// authorization returns what follows the scheme in a request's only
// Authorization header.
func authorization(r *http.Request, scheme string) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	got, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(got, scheme) || token == "" {
		return "", false
	}
	return token, true
}
