package sandbox

import (
	"bytes"
	"io"
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v4/jwt"
)

// caller returns the ID of the client that a request names, whether or not it
// authenticates, and "" if it names none: at the token endpoint by its
// credentials, elsewhere by its access token or CSC service token.
func (s *Server) caller(r *http.Request) string {
	if r.URL.EscapedPath() == s.tokenPath {
		return applicant(r)
	}
	for _, scheme := range []string{"Bearer", "DPoP"} {
		token, ok := authorization(r, scheme)
		if !ok {
			continue
		}
		if c, ok := s.tokens.open(token); ok {
			return c.AuthorizedParty
		}
		return s.serviceTokens.client(token)
	}
	return r.URL.Query().Get("client_id") // of CSC's authorize endpoint
}

// applicant returns the client that asks for a token. The body can be read
// again.
func applicant(r *http.Request) string {
	if user, _, ok := r.BasicAuth(); ok {
		id, _ := url.QueryUnescape(user)
		return id
	}
	form := peekForm(r)
	if id := form.Get("client_id"); id != "" {
		return id
	}
	var claims jwt.Claims
	assertion, err := jwt.ParseSigned(form.Get("client_assertion"), asymmetric())
	if err != nil || assertion.UnsafeClaimsWithoutVerification(&claims) != nil {
		return ""
	}
	return claims.Subject
}

// peekForm returns the form in the body of a request, as far as it is one. The body can be
// read again.
func peekForm(r *http.Request) url.Values {
	start, err := io.ReadAll(io.LimitReader(r.Body, smallBody))
	rest := io.Reader(r.Body)
	if err != nil {
		rest = failing{err}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), r.Body}
	form, _ := url.ParseQuery(string(start)) // what is malformed names nobody
	return form
}

// failing is a reader that has come to an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
