package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// cscInfo describes the service (CSC API v2, section 11.1). It needs no
// authorization, and an Authorization header is no error.
func (s *Server) cscInfo(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, http.StatusOK, map[string]any{
		"specs":       "2.0.0.2",
		"name":        "BankID SANDBOX",
		"logo":        s.origin + "/logo.png",
		"region":      "NO",
		"lang":        "en",
		"description": "A simulated BankID for tests and development. It signs nothing.",
		"authType":    []string{"oauth2code"},
		"oauth2":      s.origin + "/csc/v2",
		"methods":     []string{"info", "oauth2/token", "credentials/list"},
	})
}

// cscToken exchanges an authorization code for a service token. It is the only
// CSC route that takes a token of BankID OIDC; its errors are those of OAuth:
// https://developer.bankid.no/bankid-esign-provider/apis/csc/errors.
func (s *Server) cscToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	token, failed := s.exchange(w, r)
	if failed != nil {
		failed.answer(w)
		return
	}
	answerJSON(w, http.StatusOK, map[string]any{
		"access_token": token,
		"token_type":   "Bearer",
		"expires_in":   int64(serviceTokenLifetime.Seconds()),
	})
}

func (s *Server) exchange(w http.ResponseWriter, r *http.Request) (string, *oauthError) {
	switch s.tokens.admit(r, bankid.ScopeCSC) {
	case admitted:
	case tokenMissing:
		return "", invalidToken("The access token is missing")
	case tokenInvalid:
		return "", invalidToken("The access token is invalid or expired")
	case scopeMissing:
		return "", &oauthError{
			status: http.StatusForbidden, code: "insufficient_scope",
			description: "The access token lacks scope " + bankid.ScopeCSC,
			challenge:   `Bearer realm="sandbox", error="insufficient_scope", scope="` + bankid.ScopeCSC + `"`,
		}
	}
	form, failed := readForm(w, r)
	if failed != nil {
		return "", failed
	}
	for _, name := range []string{"grant_type", "code", "redirect_uri"} {
		if form.Get(name) == "" {
			return "", badRequest("invalid_request", name+" is missing")
		}
	}
	if form.Get("grant_type") != "authorization_code" {
		return "", badRequest("unsupported_grant_type", "grant_type is not authorization_code")
	}
	token, ok := s.csc.exchange(form.Get("code"))
	if !ok {
		return "", badRequest("invalid_grant", "The code is unknown, or was used before")
	}
	return token, nil
}

// invalidToken is the answer to a missing or bad token. RFC 6750 would leave
// out the error code if there was none.
func invalidToken(description string) *oauthError {
	return &oauthError{
		status: http.StatusUnauthorized, code: "invalid_token", description: description,
		challenge: `Bearer realm="sandbox", error="invalid_token", error_description="` + description + `"`,
	}
}

// cscCredentialsList lists the credentials of the person whom the service
// token stands for (CSC API v2, section 11.4).
func (s *Server) cscCredentialsList(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !s.spendServiceToken(w, r, "credentials/list") {
		return
	}
	var request struct{}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, smallBody))
	switch err := body.Decode(&request); {
	case isTooLarge(err):
		cscError(w, http.StatusRequestEntityTooLarge, "invalid_request", "The body is too large")
		return
	case err != nil && !errors.Is(err, io.EOF): // all parameters are optional, so nothing is good too
		cscError(w, http.StatusBadRequest, "invalid_request", "The body is not a JSON object")
		return
	}
	answerJSON(w, http.StatusOK, map[string][]string{"credentialIDs": {"sandbox-credential"}})
}

// spendServiceToken uses up the caller's service token for one endpoint, or
// refuses the call. An access token of BankID OIDC is unknown here.
func (s *Server) spendServiceToken(w http.ResponseWriter, r *http.Request, endpoint string) bool {
	if len(r.Header.Values("Authorization")) == 0 {
		cscError(w, http.StatusUnauthorized, "authentication_required", "The service token is missing")
		return false
	}
	token, _ := bearer(r) // "" is unknown
	switch s.csc.spend(token, endpoint) {
	case spent:
	case unknownToken:
		cscError(w, http.StatusUnauthorized, "invalid_token", "The service token is unknown or expired")
		return false
	case spentBefore:
		cscError(w, http.StatusBadRequest, "token_already_used", "The service token was used at this endpoint before")
		return false
	}
	return true
}

// cscError answers as all CSC endpoints but those of OAuth do; support asks for
// the reference.
func cscError(w http.ResponseWriter, status int, code, description string) {
	answerJSON(w, status, map[string]string{
		"errorCode":        code,
		"errorDescription": description,
		"errorReference":   rand.Text(),
	})
}
