package itest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// A registration is the metadata of a client at a provider (RFC 7591 section 2).
type registration struct {
	ID         string              `json:"client_id"`
	Secret     string              `json:"client_secret,omitempty"`
	AuthMethod string              `json:"token_endpoint_auth_method"`
	SigningAlg string              `json:"token_endpoint_auth_signing_alg,omitempty"`
	JWKS       *jose.JSONWebKeySet `json:"jwks,omitempty"`
	Scope      string              `json:"scope"`
	GrantTypes []string            `json:"grant_types"`

	// These are for the authorization code grant.
	ResponseTypes []string `json:"response_types,omitempty"`
	RedirectURIs  []string `json:"redirect_uris,omitempty"`

	// DPoP says that all tokens of the client are bound to a key (RFC 9449 section 5.2).
	// DPoPNonce says that every proof must carry a nonce of the provider.
	DPoP      bool `json:"dpop_bound_access_tokens"`
	DPoPNonce bool `json:"require_dpop_nonce,omitempty"`

	// Only Keycloak has these: whether the client is disabled, and two other forms of a
	// client's key, DER in base64.
	disabled               bool
	certificate, publicKey string
}

// secretRegistration describes a client that has a secret.
func secretRegistration(id, scope, secret, method string) registration {
	return registration{
		ID: id, Secret: secret, AuthMethod: method,
		Scope: scope, GrantTypes: []string{"client_credentials"},
	}
}

// keyRegistration describes a client that has a key.
func keyRegistration(id, scope string, key jose.JSONWebKey) registration {
	return registration{
		ID: id, AuthMethod: "private_key_jwt", SigningAlg: key.Algorithm,
		JWKS:  &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}},
		Scope: scope, GrantTypes: []string{"client_credentials"},
	}
}

// registerAt registers a client, or replaces it, at a server with PUT /clients: oidcprovider
// or springauth.
func registerAt(t *testing.T, issuer string, client registration) {
	t.Helper()
	body, err := json.Marshal(client)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, issuer+"/clients", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if status, _, body := do(t, req); status/100 != 2 {
		t.Fatalf("registering %s: %d %s", client.ID, status, body)
	}
}
