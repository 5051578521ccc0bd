package sandbox

import (
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// Paths below the issuer's: OpenID Connect Discovery 1.0, section 4, and those
// of Keycloak, which BankID OIDC shows in its discovery document.
const (
	discoveryPath = "/.well-known/openid-configuration"
	jwksPath      = "/protocol/openid-connect/certs"
	tokenPath     = "/protocol/openid-connect/token"
)

// discovery serves the provider metadata with BankID's own keys, see
// https://developer.bankid.no/bankid-oidc-provider/api/openid-configuration.
// What it lists as supported is what the sandbox enforces.
func (s *Server) discovery(w http.ResponseWriter, _ *http.Request) {
	connect := s.issuer + "/protocol/openid-connect"
	w.Header().Set("Cache-Control", "max-age=3600")
	respondJSON(w, http.StatusOK, map[string]any{
		"issuer":                                s.issuer,
		"authorization_endpoint":                s.issuer + "/precheck/auth",
		"token_endpoint":                        s.issuer + tokenPath,
		"introspection_endpoint":                connect + "/token/introspect",
		"userinfo_endpoint":                     connect + "/userinfo",
		"pushed_authorization_request_endpoint": connect + "/ext/par/request",
		"jwks_uri":                              s.issuer + jwksPath,
		"jwks_uri_enc":                          connect + "/certs/enc",

		"grant_types_supported":                            []string{"client_credentials"},
		"response_types_supported":                         []string{"code"},
		"subject_types_supported":                          []string{"public"},
		"id_token_signing_alg_values_supported":            []string{string(jose.ES256)},
		"token_endpoint_auth_methods_supported":            []string{"private_key_jwt", "client_secret_basic", "client_secret_post"},
		"token_endpoint_auth_signing_alg_values_supported": asymmetric(),
		"dpop_signing_alg_values_supported":                asymmetric(),
		"scopes_supported":                                 allScopes(),

		"esign-baseurl":      s.origin,
		"signdoc-baseurl":    s.origin,
		"fraud-data-baseurl": s.origin,
		"aml-baseurl":        s.origin,
		"release":            "SANDBOX",
	})
}

// jwks serves the keys that verify access tokens (RFC 7517, section 5).
func (s *Server) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "max-age=3600")
	respondJSON(w, http.StatusOK, s.tokens.keys.public())
}
