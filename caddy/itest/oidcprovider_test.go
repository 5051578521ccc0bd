package itest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestOIDCProviderPrivateKeyJWT runs a SignDoc call with a client of
// oidc-provider that has a key and no secret.
func TestOIDCProviderPrivateKeyJWT(t *testing.T) {
	const client = "signdoc"
	key := newKey(t)
	provider := startOIDCProvider(t, clientMetadata(client, "esign", key, false))
	testKeyClient(t, provider.issuer, client, key, "")
	checkTokenRequests(t, provider.stop(t), http.StatusOK)
}

// TestOIDCProviderDPoP runs B2B calls with a client of oidc-provider whose
// tokens are bound to a key, where each proof at the token endpoint must carry
// the provider's nonce.
func TestOIDCProviderDPoP(t *testing.T) {
	const client = "b2b"
	key, dpopKey := newKey(t), newKey(t)
	provider := startOIDCProvider(t, clientMetadata(client, "esign/b2b", key, true))
	proofs := testB2BClient(t, provider.issuer, client, key, &dpopKey)

	requests := provider.stop(t)
	checkTokenRequests(t, requests, http.StatusBadRequest, http.StatusOK)
	for i, request := range requests {
		p, err := parseProof(request.Proof)
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

// A tokenRequest is what came to oidc-provider's token endpoint.
type tokenRequest struct {
	Assertion string `json:"assertion"`
	Proof     string `json:"proof"`
	Status    int    `json:"status"` // of the answer
}

// checkTokenRequests checks how the requests were answered, and that no two
// carried the same client assertion.
func checkTokenRequests(t *testing.T, requests []tokenRequest, want ...int) {
	t.Helper()
	var answers []int
	ids := make(map[string]bool)
	for _, request := range requests {
		answers = append(answers, request.Status)
		ids[assertionID(t, request.Assertion)] = true
	}
	if !slices.Equal(answers, want) {
		t.Errorf("the token requests were answered %v, want %v", answers, want)
	}
	if len(ids) != len(requests) {
		t.Errorf("%d token requests carried %d different assertions", len(requests), len(ids))
	}
}

// assertionID returns the jti of a client assertion, which its receiver has
// verified.
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

// clientMetadata describes a client (RFC 7591 section 2) that has a key.
func clientMetadata(id, scope string, key jose.JSONWebKey, dpop bool) map[string]any {
	return map[string]any{
		"client_id":                       id,
		"scope":                           scope,
		"token_endpoint_auth_signing_alg": "ES256",
		"jwks":                            jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}},
		"dpop_bound_access_tokens":        dpop, // RFC 9449 section 5.2
	}
}

// oidcProvider is a running oidc-provider.
type oidcProvider struct {
	issuer string
	stdin  io.Closer
	ended  chan struct{}
	output []byte // after its first line; complete when it has ended
}

// startOIDCProvider runs oidc-provider with one client until the test ends.
func startOIDCProvider(t *testing.T, client map[string]any) *oidcProvider {
	t.Helper()
	clients, err := json.Marshal([]any{client})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "server.mjs", string(clients))
	cmd.Dir = "oidcprovider"
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (Node.js is needed)", err)
	}
	p := &oidcProvider{stdin: stdin, ended: make(chan struct{})}
	t.Cleanup(func() { p.stop(t) })
	output := bufio.NewReader(stdout)
	line, err := output.ReadString('\n')
	p.issuer = strings.TrimSpace(line)
	go func() {
		defer close(p.ended)
		p.output, _ = io.ReadAll(output)
		cmd.Wait()
	}()
	if err != nil {
		<-p.ended
		t.Fatalf("oidc-provider did not start (npm ci in oidcprovider is needed): %v\n%s", err, stderr.Bytes())
	}
	return p
}

// stop ends the provider and returns what came to its token endpoint. It may be
// called twice.
func (p *oidcProvider) stop(t *testing.T) []tokenRequest {
	t.Helper()
	p.stdin.Close()
	<-p.ended
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
