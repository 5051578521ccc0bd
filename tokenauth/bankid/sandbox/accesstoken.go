package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// accessTokens issues and checks the access tokens of BankID OIDC.
type accessTokens struct {
	issuer   string
	audience string
	lifetime time.Duration
	signer   jose.Signer
	public   jose.JSONWebKey
}

// claims are those of a Keycloak access token that matter here; see
// https://developer.bankid.no/bankid-oidc-provider/core-concepts/access-tokens.
type claims struct {
	jwt.Claims
	Type            string `json:"typ"`
	AuthorizedParty string `json:"azp"`
	Scope           string `json:"scope"`

	// Confirmation names the key that a token is bound to (RFC 9449, section 6.1).
	Confirmation *confirmation `json:"cnf,omitempty"`
}

type confirmation struct {
	Thumbprint string `json:"jkt"`
}

// bound reports whether a token needs a proof by the key it is bound to.
func (c *claims) bound() bool { return c.Type == "DPoP" && c.Confirmation != nil }

func newAccessTokens(issuer, audience string, lifetime time.Duration) (*accessTokens, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	private := jose.JSONWebKey{Key: key, KeyID: "sandbox-" + rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: private},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return nil, fmt.Errorf("preparing the key: %w", err)
	}
	return &accessTokens{issuer: issuer, audience: audience, lifetime: lifetime, signer: signer, public: private.Public()}, nil
}

// issue makes a token with the given scopes for a client. If there is a
// thumbprint, the token is bound to that key.
func (a *accessTokens) issue(clientID, scope, thumbprint string) (string, error) {
	now := time.Now()
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
	}
	if thumbprint != "" {
		c.Type = "DPoP" // as Keycloak marks them
		c.Confirmation = &confirmation{Thumbprint: thumbprint}
	}
	return jwt.Signed(a.signer).Claims(c).Serialize()
}

// verify returns the claims of a token which the server issued and which has
// not expired, bound or not.
func (a *accessTokens) verify(token string) (*claims, bool) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, false
	}
	var c claims
	if parsed.Claims(a.public, &c) != nil || c.Type != "Bearer" && !c.bound() || c.Expiry == nil {
		return nil, false
	}
	// Whole seconds, as Keycloak counts: exp is rounded down when a token is
	// issued, and a token must not live shorter than its expires_in.
	now := time.Now().Truncate(time.Second)
	expected := jwt.Expected{Issuer: a.issuer, AnyAudience: jwt.Audience{a.audience}, Time: now}
	if c.ValidateWithLeeway(expected, 0) != nil {
		return nil, false
	}
	return &c, true
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
