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
}

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

// issue makes a token with the given scopes for a client.
func (a *accessTokens) issue(clientID, scope string) (string, error) {
	now := time.Now()
	return jwt.Signed(a.signer).Claims(claims{
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
	}).Serialize()
}

// verify returns the scopes of a token which the server issued and which has
// not expired.
func (a *accessTokens) verify(token string) ([]string, bool) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, false
	}
	var c claims
	if parsed.Claims(a.public, &c) != nil || c.Type != "Bearer" || c.Expiry == nil {
		return nil, false
	}
	// Whole seconds, as Keycloak counts: exp is rounded down when a token is
	// issued, and a token must not live shorter than its expires_in.
	now := time.Now().Truncate(time.Second)
	expected := jwt.Expected{Issuer: a.issuer, AnyAudience: jwt.Audience{a.audience}, Time: now}
	if c.ValidateWithLeeway(expected, 0) != nil {
		return nil, false
	}
	return strings.Fields(c.Scope), true
}

// An admission says whether a call may use an API, or why not.
type admission int

const (
	admitted admission = iota
	tokenMissing
	tokenInvalid
	scopeMissing
)

// admit checks that a call carries an access token with one of the scopes.
func (a *accessTokens) admit(r *http.Request, scopes ...string) admission {
	if len(r.Header.Values("Authorization")) == 0 {
		return tokenMissing
	}
	token, ok := bearer(r)
	if !ok {
		return tokenInvalid
	}
	granted, ok := a.verify(token)
	if !ok {
		return tokenInvalid
	}
	if !slices.ContainsFunc(scopes, func(scope string) bool { return slices.Contains(granted, scope) }) {
		return scopeMissing
	}
	return admitted
}

// bearer returns the token of a request's only Authorization header (RFC 6750,
// section 2.1).
func bearer(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", false
	}
	return token, true
}
