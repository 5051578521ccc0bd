package sandbox

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// token is the token endpoint (RFC 6749, section 4.4).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	response, failed := s.grant(w, r)
	if failed != nil {
		failed.respond(w)
		return
	}
	respondJSON(w, http.StatusOK, response)
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
	client, failed := s.authenticate(r, form)
	if failed != nil {
		return nil, failed
	}
	thumbprint, tokenType, failed := s.binding(r, client)
	if failed != nil {
		return nil, failed
	}
	var scopes []string
	for scope := range strings.FieldsSeq(form.Get("scope")) {
		if !slices.Contains(client.Scopes, scope) {
			return nil, badRequest("invalid_scope", "Invalid scopes: "+form.Get("scope"))
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	scope := strings.Join(scopes, " ")
	token, err := s.tokens.issue(client.ID, scope, thumbprint)
	if err != nil {
		return nil, &oauthError{status: http.StatusInternalServerError, code: "server_error", description: "The token could not be signed"}
	}
	return &tokenResponse{
		AccessToken: token,
		ExpiresIn:   int64(s.tokens.lifetime.Seconds()),
		TokenType:   tokenType,
		Scope:       scope,
	}, nil
}

// binding returns the thumbprint of the key that the token is to be bound to,
// if any, and the token's type. As at Keycloak, a client that sends a proof gets a
// bound token, needed or not.
func (s *Server) binding(r *http.Request, client Client) (thumbprint, tokenType string, failed *oauthError) {
	if !client.DPoPRequired && len(r.Header.Values("DPoP")) == 0 {
		return "", s.assume.TokenType, nil
	}
	thumbprint, err := s.proofs.check(r, "")
	switch {
	case errors.Is(err, errProofMissing):
		return "", "", badRequest("invalid_request", err.Error())
	case err != nil:
		return "", "", badRequest(s.assume.BadProof, err.Error())
	}
	return thumbprint, "DPoP", nil
}

// A tokenResponse is a successful response (RFC 6749, section 5.1) with
// Keycloak's extra members.
type tokenResponse struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int64  `json:"expires_in"`
	RefreshExpiresIn int64  `json:"refresh_expires_in"` // always 0: this grant has no refresh token
	TokenType        string `json:"token_type"`
	NotBeforePolicy  int64  `json:"not-before-policy"` // always 0
	Scope            string `json:"scope"`
}
