package sandbox

import (
	"net/http"
	"slices"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// grantable lists the scopes that the client has. esign/b2b is not among them:
// it needs DPoP.
func grantable() []string {
	return []string{bankid.ScopeESign, bankid.ScopeCSC, bankid.ScopeQTSA, bankid.ScopeNNIN, bankid.ScopeReadWrite}
}

// token is the token endpoint (RFC 6749, section 4.4).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	response, failed := s.grant(w, r)
	if failed != nil {
		failed.answer(w)
		return
	}
	answerJSON(w, http.StatusOK, response)
}

// grant checks a token request, in the order of Keycloak, and issues a token.
// Parameters in the query do not count.
func (s *Server) grant(w http.ResponseWriter, r *http.Request) (*tokenResponse, *oauthError) {
	form, failed := readForm(w, r)
	if failed != nil {
		return nil, failed
	}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "":
		return nil, badRequest("invalid_request", "Missing form parameter: grant_type")
	default:
		return nil, badRequest("unsupported_grant_type", "Unsupported grant_type")
	}
	if failed := s.client.authenticate(r, form); failed != nil {
		return nil, failed
	}
	var scopes []string
	for scope := range strings.FieldsSeq(form.Get("scope")) {
		if !slices.Contains(grantable(), scope) {
			return nil, badRequest("invalid_scope", "Invalid scopes: "+form.Get("scope"))
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	scope := strings.Join(scopes, " ")
	token, err := s.tokens.issue(s.client.id, scope)
	if err != nil {
		return nil, &oauthError{status: http.StatusInternalServerError, code: "server_error", description: "The token could not be signed"}
	}
	return &tokenResponse{
		AccessToken: token,
		ExpiresIn:   int64(s.tokens.lifetime.Seconds()),
		TokenType:   "bearer", // lower case, as BankID documents it
		Scope:       scope,
	}, nil
}

// A tokenResponse is a successful answer (RFC 6749, section 5.1) with
// Keycloak's extra members.
type tokenResponse struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int64  `json:"expires_in"`
	RefreshExpiresIn int64  `json:"refresh_expires_in"` // always 0: this grant has no refresh token
	TokenType        string `json:"token_type"`
	NotBeforePolicy  int64  `json:"not-before-policy"` // always 0
	Scope            string `json:"scope"`
}
