package tokenauth

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
)

// ErrorCode returns the error code of a response: that of its body, in the JSON
// of OAuth 2.0 ("error") or of CSC ("errorCode"), or else that of its challenge;
// "" if there is none. The body, which may have content codings, as PlainBody reads
// them, can be read afterwards as before.
func ErrorCode(res *http.Response) string {
	body, _ := parseMembers(PlainBody(res.Header, peek(res))) // what is not JSON has no members
	return cmp.Or(body.text("error"), body.text("errorCode"), challengeCode(res))
}

// peek reads the beginning of the body of res, and puts it back.
func peek(res *http.Response) []byte {
	if res.Body == nil {
		return nil // as of a response that net/http did not make
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
