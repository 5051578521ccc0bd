package itest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestOIDCProviderPrivateKeyJWT makes a SignDoc call with a client of oidc-provider that has
// a key.
func TestOIDCProviderPrivateKeyJWT(t *testing.T) {
	const client = "signdoc"
	key := newKey(t)
	provider := startOIDCProvider(t, keyRegistration(client, "esign", key))
	testKeyClient(t, provider.issuer, client, key, "")
	checkTokenRequests(t, provider.tokenRequests(t), http.StatusOK)
}

// TestOIDCProviderDPoP makes B2B calls with a client of oidc-provider whose tokens are bound
// to a key. Each proof at the token endpoint must carry the provider's nonce.
func TestOIDCProviderDPoP(t *testing.T) {
	const client = "b2b"
	key, dpopKey := newKey(t), newKey(t)
	registered := keyRegistration(client, "esign/b2b", key)
	registered.DPoP, registered.DPoPNonce = true, true
	provider := startOIDCProvider(t, registered)
	proofs := testB2BClient(t, provider.issuer, client, key, &dpopKey)

	requests := provider.tokenRequests(t)
	checkTokenRequests(t, requests, http.StatusBadRequest, http.StatusOK)
	for i, request := range requests {
		p, err := parseProof(request.Proof, jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		if withNonce := i > 0; withNonce != (p.Nonce != "") {
			t.Errorf("token request %d has the nonce %q", i, p.Nonce)
		}
		if p.URL != provider.issuer+"/token" {
			t.Errorf("token request %d has the htu %q", i, p.URL)
		}
		if slices.ContainsFunc(proofs, func(other proof) bool { return other.ID == p.ID }) {
			t.Errorf("token request %d has the jti of another request", i)
		}
		proofs = append(proofs, p)
	}
	for _, p := range proofs {
		if p.thumbprint != dpopKey.KeyID {
			t.Errorf("a proof for %s is not of the key configured", p.URL)
		}
	}
}

// A tokenRequest is a request to oidc-provider's token endpoint.
type tokenRequest struct {
	Assertion string `json:"assertion"`
	Proof     string `json:"proof"`
	Status    int    `json:"status"` // of the response
}

// checkTokenRequests checks the responses to the requests, and that each request had another
// client assertion.
func checkTokenRequests(t *testing.T, requests []tokenRequest, want ...int) {
	t.Helper()
	var statuses []int
	ids := make(map[string]bool)
	for _, request := range requests {
		statuses = append(statuses, request.Status)
		ids[assertionID(t, request.Assertion)] = true
	}
	if !slices.Equal(statuses, want) {
		t.Errorf("the responses to the token requests are %v, want %v", statuses, want)
	}
	if len(ids) != len(requests) {
		t.Errorf("%d token requests carried %d different assertions", len(requests), len(ids))
	}
}

// assertionID returns the jti of a client assertion. The provider has verified it.
func assertionID(t *testing.T, assertion string) string {
	t.Helper()
	signed, err := jose.ParseSignedCompact(assertion, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		ID string `json:"jti"`
	}
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil || claims.ID == "" {
		t.Fatalf("the assertion has no jti: %v", err)
	}
	return claims.ID
}

// oidcProvider is a running oidc-provider.
type oidcProvider struct {
	*process
	issuer string
}

// startOIDCProvider runs oidc-provider with one client until the test ends.
func startOIDCProvider(t *testing.T, client registration) *oidcProvider {
	t.Helper()
	p := &oidcProvider{process: startProcess(t, "oidcprovider", "node", "server.mjs")}
	p.issuer = p.serves(t)
	registerAt(t, p.issuer, client)
	return p
}

// tokenRequests ends the provider and returns the requests to its token endpoint.
func (p *oidcProvider) tokenRequests(t *testing.T) []tokenRequest {
	t.Helper()
	p.stop()
	var requests []tokenRequest
	for line := range bytes.Lines(p.output) {
		var request tokenRequest
		if err := json.Unmarshal(line, &request); err != nil {
			t.Fatalf("oidc-provider wrote %s", line)
		}
		requests = append(requests, request)
	}
	return requests
}
