package tokenauth

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
)

// ErrorCode returns the error code of a response, or "" if there is none. The code is in
// the JSON of the body, as "error" (OAuth 2.0) or "errorCode" (CSC), or else in the
// WWW-Authenticate field. The body may have the content codings that PlainBody reads.
// After the call, the body can be read as before.
func ErrorCode(res *http.Response) string {
	body, _ := parseMembers(PlainBody(res.Header, peek(res))) // if it is not JSON, it has no members
	return cmp.Or(body.text("error"), body.text("errorCode"), challengeCode(res))
}

// peek reads the beginning of the body of res, and puts it back.
func peek(res *http.Response) []byte {
	if res.Body == nil {
		return nil // net/http did not make this response
	}
	head, err := io.ReadAll(io.LimitReader(res.Body, maxPlain))
	rest := io.Reader(res.Body)
	if err != nil {
		rest = failing{err}
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), res.Body}
	return head
}

// failing is a reader that fails.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }
