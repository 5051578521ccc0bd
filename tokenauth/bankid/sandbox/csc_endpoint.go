package sandbox

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
)

// A cscError is an error response of CSC's own endpoints. The codes are those of
// https://developer.bankid.no/bankid-esign-provider/apis/csc/errors, and the
// descriptions those of the CSC API v2 where it has one.
type cscError struct {
	status      int
	code        string
	description string
}

// invalidCSC is the error that a request with wrong content deserves.
func invalidCSC(format string, arguments ...any) *cscError {
	return &cscError{http.StatusBadRequest, "invalid_request", fmt.Sprintf(format, arguments...)}
}

// respond adds the reference that support asks for.
func (e *cscError) respond(w http.ResponseWriter) {
	respondJSON(w, e.status, map[string]string{
		"errorCode":        e.code,
		"errorDescription": e.description,
		"errorReference":   newErrorReference(),
	})
}

// newErrorReference returns a reference in the form of BankID's: REF and nine digits.
func newErrorReference() string {
	number, _ := rand.Int(rand.Reader, big.NewInt(1_000_000_000)) // rand.Reader does not fail
	return fmt.Sprintf("REF%09d", number)
}

// cscEndpoint makes a handler of what serves a step of a signing journey. The
// service token is used up before the body is read, and so even if the body is
// refused.
func cscEndpoint[Request any](s *Server, next step, serve func(*serviceToken, Request) (any, *cscError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		token, failed := s.spendServiceToken(r, next)
		if failed != nil {
			failed.respond(w)
			return
		}
		var request Request
		if failed := readCSC(w, r, &request); failed != nil {
			failed.respond(w)
			return
		}
		response, failed := serve(token, request)
		if failed != nil {
			failed.respond(w)
			return
		}
		respondJSON(w, http.StatusOK, response)
	}
}

// spendServiceToken uses up the caller's service token for one step. An access
// token of BankID OIDC is unknown here.
func (s *Server) spendServiceToken(r *http.Request, next step) (*serviceToken, *cscError) {
	if len(r.Header.Values("Authorization")) == 0 {
		return nil, &cscError{http.StatusUnauthorized, "authentication_required", "The service token is missing"}
	}
	value, _ := bearer(r) // "" is unknown
	token, outcome := s.serviceTokens.spend(value, next)
	switch outcome {
	case spent:
	case unknownToken:
		return nil, &cscError{http.StatusUnauthorized, "invalid_token", "The service token is unknown or expired"}
	case spentBefore:
		return nil, &cscError{http.StatusBadRequest, "token_already_used", "The service token was used at this endpoint, or at a later one, before"}
	case outOfOrder:
		return nil, invalidCSC("The service token has to be used at an earlier endpoint first")
	}
	return token, nil
}

// readCSC reads the body of a request, which may be empty if no parameter is
// required. Unknown parameters are ignored.
func readCSC(w http.ResponseWriter, r *http.Request, into any) *cscError {
	body, err := io.ReadAll(&unicodeReader{from: http.MaxBytesReader(w, r.Body, smallBody)})
	switch {
	case isTooLarge(err):
		return &cscError{http.StatusRequestEntityTooLarge, "document_too_large", "The body is too large"}
	case err != nil:
		return invalidCSC("%s", jsonFault(err, "The body is incomplete"))
	case len(bytes.TrimSpace(body)) == 0:
		return nil
	case !hasMediaType(r, "application/json"):
		return invalidCSC("The body is not application/json")
	}
	reader := newJSONReader(bytes.NewReader(body))
	err = reader.Decode(into)
	if err == nil {
		err = reader.end()
	}
	if wrong, ok := errors.AsType[*memberError](err); ok && wrong.member != "" {
		return invalidCSC("Missing (or invalid type) parameter %s", wrong.member)
	}
	if err != nil {
		return invalidCSC("The body is not a JSON object")
	}
	return nil
}
