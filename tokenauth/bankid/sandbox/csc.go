package sandbox

import (
	"image"
	"image/png"
	"net/http"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// logoPath is where the logo of the services is.
const logoPath = controlPath + "logo.png"

// cscInfo describes the service (CSC API v2, section 11.1). It needs no
// authorization, and an Authorization header is no error. There is one language.
func (s *Server) cscInfo(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Lang string `json:"lang"`
	}
	if failed := readCSC(w, r, &request); failed != nil {
		failed.respond(w)
		return
	}
	respondJSON(w, http.StatusOK, map[string]any{
		"specs":       "2.0.0.2",
		"name":        "BankID SANDBOX",
		"logo":        s.origin + logoPath,
		"region":      "NO",
		"lang":        "en",
		"description": "A simulated BankID for tests and development. What it signs proves nothing.",
		"authType":    []string{"oauth2code"},
		"oauth2":      s.origin + "/csc/v2",
		"methods": []string{
			"info", "oauth2/authorize", "oauth2/token",
			"credentials/list", "credentials/info", "credentials/authorize", "signatures/signHash",
		},
		"asynchronousOperationMode": false,
		"validationInfo":            false,
		"signAlgorithms":            map[string]any{"algos": []string{ecdsaWithSHA256}},
		// It signs hashes only: who calls it makes of that a signature of some format.
		"signature_formats":  map[string]any{"formats": []string{"C", "P"}},
		"conformance_levels": []string{"Ades-B-B"},
	})
}

// logo is the picture that info names: one black pixel.
func logo(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "image/png")
	_ = png.Encode(w, image.NewGray(image.Rect(0, 0, 1, 1))) // what can fail is the connection
}

// cscToken exchanges an authorization code for a service token. It is the only
// CSC route that takes a token of BankID OIDC; its errors are those of OAuth:
// https://developer.bankid.no/bankid-esign-provider/apis/csc/errors.
func (s *Server) cscToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	token, failed := s.exchange(w, r)
	if failed != nil {
		failed.respond(w)
		return
	}
	respondJSON(w, http.StatusOK, map[string]any{
		"access_token": token,
		"token_type":   "Bearer",
		"expires_in":   int64(s.serviceTokens.lifetime.Seconds()),
	})
}

func (s *Server) exchange(w http.ResponseWriter, r *http.Request) (string, *oauthError) {
	switch s.tokens.admit(r, bankid.ScopeCSC) {
	case admitted:
	case tokenMissing:
		failed := s.badExchange("The access token is missing")
		failed.challenge = `Bearer realm="sandbox"` // without an error: RFC 6750, section 3.1
		return "", failed
	case tokenInvalid:
		return "", s.badExchange("The access token is invalid or expired")
	case scopeMissing:
		return "", badRequest("unauthorized_client", "The access token lacks scope "+bankid.ScopeCSC)
	}
	form, failed := readForm(w, r)
	if failed != nil {
		return "", failed
	}
	switch form.Get("grant_type") {
	case "authorization_code":
	case "":
		return "", badRequest("invalid_request", "grant_type is missing")
	default:
		return "", badRequest("unsupported_grant_type", "grant_type is not authorization_code")
	}
	for _, name := range []string{"code", "redirect_uri", "code_verifier"} {
		if form.Get(name) == "" {
			return "", badRequest("invalid_request", name+" is missing")
		}
	}
	if !codeVerifierForm.MatchString(form.Get("code_verifier")) {
		return "", badRequest("invalid_request", "code_verifier is not 43 to 128 characters of A-Z, a-z, 0-9, '-', '.', '_' and '~'")
	}
	client := s.caller(r)
	signer, ok := s.codes.use(form.Get("code"), newCodeBinding(client, form.Get("redirect_uri"), codeChallenge(form.Get("code_verifier"))))
	if !ok {
		return "", badRequest("invalid_grant", "The code is unknown, expired, used before, or bound to another code_verifier, redirect_uri or client")
	}
	nnin := s.tokens.admit(r, bankid.ScopeNNIN) == admitted
	return s.serviceTokens.issue(client, func() (*credential, error) { return s.ca.newCredential(signer, nnin) }), nil
}

// badExchange is the response to a missing or bad token.
func (s *Server) badExchange(description string) *oauthError {
	return &oauthError{
		status: http.StatusUnauthorized, code: s.assume.BadExchange, description: description,
		challenge: `Bearer realm="sandbox", error="invalid_token", error_description="` + description + `"`,
	}
}
