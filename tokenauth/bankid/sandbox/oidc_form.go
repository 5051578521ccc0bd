package sandbox

import (
	"io"
	"mime"
	"net/http"
	"net/url"
)

// smallBody bounds the body of every request that carries no documents.
const smallBody = 64 << 10

// readForm reads the body of an OAuth 2.0 request: form-encoded, no parameter
// twice (RFC 6749, section 3.2). Its errors have status 400, as RFC 6749, section 5.2,
// and BankID's documents have it.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *oauthError) {
	if !hasMediaType(r, "application/x-www-form-urlencoded") {
		return nil, badRequest("invalid_request", "The body is not application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, smallBody))
	if isTooLarge(err) {
		return nil, badRequest("invalid_request", "The body is too large")
	}
	form, malformed := url.ParseQuery(string(body))
	if err != nil || malformed != nil {
		return nil, badRequest("invalid_request", "The body is malformed")
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, badRequest("invalid_request", "duplicated parameter")
		}
	}
	return form, nil
}

// hasMediaType tells whether the request's body is declared as mediaType, with
// whatever parameters.
func hasMediaType(r *http.Request, mediaType string) bool {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && got == mediaType
}
