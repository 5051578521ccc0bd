package sandbox

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// maxB2B bounds the body of a B2B request: 15 strings of 5,000,000 characters,
// the greatest request but for BIDXML, fit in.
const maxB2B = 80 << 20

// A b2bError is an error response of B2B; see
// https://developer.bankid.no/bankid-esign-provider/apis/b2b/v0/errors.
type b2bError struct {
	status      int
	code        string
	description string
}

// badB2B is the response to a request with a member that fails validation. BankID has
// three codes for it, with the same words; which is for what is not public.
func badB2B(description string) *b2bError {
	return &b2bError{http.StatusBadRequest, "json_validation_error -- SIG_BB600", description}
}

// unsupportedB2B is the response to a request with what cannot be signed in it.
func unsupportedB2B(description string) *b2bError {
	return &b2bError{http.StatusBadRequest, "invalid_request -- SIG-BB607", description}
}

// badCMS is the response to signatures and OCSP responses of a wrong form.
func badCMS(description string) *b2bError {
	return &b2bError{http.StatusBadRequest, "invalid_request -- SIG-BB608", description}
}

func (e *b2bError) respond(w http.ResponseWriter) {
	if e.status == http.StatusUnauthorized {
		// RFC 9449, section 7.1. The descriptions have no quotes.
		w.Header().Set("Www-Authenticate", `DPoP realm="sandbox", error="`+e.code+`", error_description="`+e.description+`"`)
	}
	respondJSON(w, e.status, map[string]string{
		"error": e.code, "error_description": e.description, "error_reference": rand.Text(),
	})
}

// admitB2B checks that a call carries a bound token for B2B, and the proof that
// goes with both (RFC 9449, section 7.1).
func (s *Server) admitB2B(r *http.Request) *b2bError {
	if len(r.Header.Values("DPoP")) == 0 {
		return &b2bError{http.StatusUnauthorized, "use_dpop_header", "The DPoP header is missing"}
	}
	token, ok := authorization(r, "DPoP")
	if !ok {
		return &b2bError{http.StatusUnauthorized, "invalid_token", "There is no access token with the scheme DPoP"}
	}
	c, ok := s.tokens.verify(token)
	switch {
	case !ok:
		return &b2bError{http.StatusUnauthorized, "invalid_token", "The access token is invalid or expired"}
	case !c.bound():
		return &b2bError{http.StatusUnauthorized, "invalid_token", "The access token is not bound to a key"}
	}
	thumbprint, err := s.proofs.check(r, token)
	switch {
	case err != nil:
		return &b2bError{http.StatusUnauthorized, "invalid_dpop_proof", err.Error()}
	case thumbprint != c.Confirmation.Thumbprint:
		return &b2bError{http.StatusUnauthorized, "invalid_dpop_proof", "DPoP confirmation doesn't match DPoP proof"}
	case !c.grants(bankid.ScopeB2B):
		return &b2bError{http.StatusForbidden, "insufficient_scope -- SIG_BB604", "The access token lacks scope " + bankid.ScopeB2B}
	}
	return nil
}

// A b2bRequest is the body of a B2B request.
type b2bRequest interface {
	// fault is the response if something is wrong with it.
	fault() *b2bError
}

// b2b is the pattern of all B2B endpoints: admit the caller, read the request,
// respond to it with the organisation's key.
func b2b[R b2bRequest](s *Server, respond func(*sealer, R) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if s.assume.B2BNonce && !s.demandNonce(w, r) {
			return
		}
		if failed := s.admitB2B(r); failed != nil {
			failed.respond(w)
			return
		}
		var request R
		if failed := readB2B(w, r, &request); failed != nil {
			failed.respond(w)
			return
		}
		if failed := request.fault(); failed != nil {
			failed.respond(w)
			return
		}
		key, err := s.sealer()
		if err != nil {
			unavailable().respond(w)
			return
		}
		body, err := respond(key, request)
		if err != nil {
			unavailable().respond(w)
			return
		}
		respondJSON(w, http.StatusOK, body)
	}
}

// unavailable is the response if the machine can make no key or signature. BankID
// has 400 for it.
func unavailable() *b2bError {
	return &b2bError{http.StatusBadRequest, "internal_error -- SIG_BB699", "The sandbox could not sign"}
}

// readB2B reads a request strictly, as BankID does since September 2025: a
// member that is unknown or null is an error, see
// https://github.com/BankIDNorge/bankid-esign-b2b/commit/28e12b3.
func readB2B(w http.ResponseWriter, r *http.Request, request any) *b2bError {
	if !hasMediaType(r, "application/json") {
		return badB2B("The body is not application/json")
	}
	tooLarge := &b2bError{http.StatusRequestEntityTooLarge, badB2B("").code, "The body is too large"}
	if r.ContentLength > maxB2B {
		return tooLarge
	}
	body := newJSONReader(http.MaxBytesReader(w, r.Body, maxB2B))
	body.strict = true
	err := body.Decode(request)
	if err == nil {
		err = body.end()
	}
	switch {
	case err == nil:
		return nil
	case isTooLarge(err):
		return tooLarge
	default:
		return badB2B("The body is not the JSON of this request: " + abridged(mistake(err)))
	}
}

// abridged keeps an error short that quotes the request.
func abridged(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
