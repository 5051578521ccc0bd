package itest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2/clientcredentials"
)

// createRealm creates a realm with the scopes, and returns its issuer.
func (k *keycloak) createRealm(t *testing.T, realm string, scopes ...string) string {
	t.Helper()
	all := make([]any, len(scopes))
	for i, scope := range scopes {
		all[i] = map[string]any{
			"name": scope, "protocol": "openid-connect",
			"attributes": map[string]string{"include.in.token.scope": "true"},
		}
	}
	k.admin(t, http.MethodPost, "", map[string]any{
		"realm": realm, "enabled": true, "sslRequired": "none", "accessTokenLifespan": 300,
		"clientScopes": all, "defaultDefaultClientScopes": []string{}, "defaultOptionalClientScopes": []string{},
	}, nil)
	return k.url + "/realms/" + realm
}

// changeRealm changes the properties of a realm that representation has.
func (k *keycloak) changeRealm(t *testing.T, realm string, representation map[string]any) {
	t.Helper()
	k.admin(t, http.MethodPut, "/"+realm, representation, nil)
}

// register registers a client, or replaces an existing one.
func (k *keycloak) register(t *testing.T, realm string, client registration) {
	t.Helper()
	attributes := map[string]string{}
	representation := map[string]any{
		"clientId": client.ID, "enabled": !client.disabled, "protocol": "openid-connect", "publicClient": false,
		"serviceAccountsEnabled":    slices.Contains(client.GrantTypes, "client_credentials"),
		"standardFlowEnabled":       slices.Contains(client.GrantTypes, "authorization_code"),
		"redirectUris":              client.RedirectURIs,
		"directAccessGrantsEnabled": false,
		"defaultClientScopes":       []string{},
		"optionalClientScopes":      strings.Fields(client.Scope),
		"attributes":                attributes,
		"clientAuthenticatorType":   "client-secret",
		"secret":                    client.Secret,
	}
	if client.Secret == "" {
		representation["clientAuthenticatorType"] = "client-jwt"
		attributes["token.endpoint.auth.signing.alg"] = client.SigningAlg
	}
	if client.DPoP {
		attributes["dpop.bound.access.tokens"] = "true"
	}
	switch {
	case client.JWKS != nil:
		set, err := json.Marshal(client.JWKS)
		if err != nil {
			t.Fatal(err)
		}
		attributes["use.jwks.string"], attributes["jwks.string"] = "true", string(set)
	case client.certificate != "":
		attributes["jwt.credential.certificate"] = client.certificate
	case client.publicKey != "":
		attributes["jwt.credential.public.key"] = client.publicKey
	}
	var known []struct {
		ID string `json:"id"`
	}
	k.admin(t, http.MethodGet, "/"+realm+"/clients?clientId="+url.QueryEscape(client.ID), nil, &known)
	if len(known) == 0 {
		k.admin(t, http.MethodPost, "/"+realm+"/clients", representation, nil)
	} else {
		k.admin(t, http.MethodPut, "/"+realm+"/clients/"+known[0].ID, representation, nil)
	}
}

// admin sends a request to Keycloak's API for administrators. It obtains a token for each
// request, since a token has no rights in a realm that was created after it.
func (k *keycloak) admin(t *testing.T, method, path string, body, response any) {
	t.Helper()
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	token, err := (&clientcredentials.Config{
		ClientID: adminID, ClientSecret: adminSecret,
		TokenURL: k.url + "/realms/master/protocol/openid-connect/token",
	}).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, k.url+"/admin/realms"+path, bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	token.SetAuthHeader(req)
	status, _, got := do(t, req)
	if status/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, status, got)
	}
	if response != nil {
		if err := json.Unmarshal(got, response); err != nil {
			t.Fatal(err)
		}
	}
}
