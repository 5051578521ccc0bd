package itest

import (
	"cmp"
	"context"
	"fmt"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
)

// A tokenVerifier accepts access tokens that an issuer signed for a client.
type tokenVerifier struct {
	signed *oidc.IDTokenVerifier
	client string
}

// tokenClaims is the claims that an API reads in an access token.
type tokenClaims struct {
	ClientID        string `json:"client_id"` // RFC 9068 section 2.2
	AuthorizedParty string `json:"azp"`       // the same in Keycloak's tokens
	Scope           string `json:"scope"`

	// The key that the token is bound to (RFC 9449 section 6.1).
	Confirmation struct {
		Thumbprint string `json:"jkt"`
	} `json:"cnf"`
}

// verifierConfig is for access tokens. Unlike in ID tokens, their audience is not a client.
// Keycloak does not set an audience without a resource server.
func verifierConfig() *oidc.Config {
	return &oidc.Config{
		SkipClientIDCheck:    true,
		SupportedSigningAlgs: []string{oidc.ES256}, // BankID's
	}
}

func newTokenVerifier(t *testing.T, issuer, client string) tokenVerifier {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	return tokenVerifier{provider.VerifierContext(t.Context(), verifierConfig()), client}
}

func (v tokenVerifier) verify(ctx context.Context, raw string) (tokenClaims, error) {
	var claims tokenClaims
	token, err := v.signed.Verify(ctx, raw)
	if err != nil {
		return claims, err
	}
	if err := token.Claims(&claims); err != nil {
		return claims, err
	}
	if client := cmp.Or(claims.AuthorizedParty, claims.ClientID); client != v.client {
		return claims, fmt.Errorf("token of the client %q", client)
	}
	return claims, nil
}
