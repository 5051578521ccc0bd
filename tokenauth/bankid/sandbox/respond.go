package sandbox

import (
	"encoding/json"
	"errors"
	"net/http"
)

// respondJSON writes a complete JSON response.
func respondJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// All bodies are marshalable, so what can fail is the connection.
	_ = json.NewEncoder(w).Encode(body)
}

// An oauthError is an error response of an OAuth 2.0 endpoint (RFC 6749, section
// 5.2) or, with a challenge, of a protected resource (RFC 6750, section 3).
type oauthError struct {
	status      int
	code        string
	description string
	challenge   string // WWW-Authenticate, if not empty
}

// badRequest is the error that most mistakes of a client deserve.
func badRequest(code, description string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, code: code, description: description}
}

func (e *oauthError) respond(w http.ResponseWriter) {
	if e.challenge != "" {
		w.Header().Set("Www-Authenticate", e.challenge)
	}
	respondJSON(w, e.status, map[string]string{"error": e.code, "error_description": e.description})
}

// isTooLarge tells whether reading a body ended at its limit.
func isTooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}
