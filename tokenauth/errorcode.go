package tokenauth

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
)

// maxErrorBody is as much of an error's body as is read to understand it.
const maxErrorBody = 16 << 10

// ErrorCode returns the error code of a response: that of its body, in the JSON
// of OAuth 2.0 ("error") or of CSC ("errorCode"), or else that of its challenge;
// "" if there is none. The body can be read afterwards as before.
func ErrorCode(res *http.Response) string {
	var body struct {
		Error     string `json:"error"`
		ErrorCode string `json:"errorCode"`
	}
	_ = json.Unmarshal(peek(res), &body)
	return cmp.Or(body.Error, body.ErrorCode, challengeCode(res))
}

// peek reads the beginning of the body of res, and puts it back.
func peek(res *http.Response) []byte {
	if res.Body == nil {
		return nil // as of a response that net/http did not make
	}
	head, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
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
