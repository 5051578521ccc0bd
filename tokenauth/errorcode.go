package tokenauth

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// maxErrorBody is as much of an error's body as is read to understand it.
const maxErrorBody = 16 << 10

// ErrorCode returns the error code of a response: that of its body, in the JSON
// of OAuth 2.0 ("error") or of CSC ("errorCode"), or else that of its challenge;
// "" if there is none. The body, which may be gzipped, can be read afterwards as
// before.
func ErrorCode(res *http.Response) string {
	var body struct {
		Error     string `json:"error"`
		ErrorCode string `json:"errorCode"`
	}
	_ = json.Unmarshal(decoded(peek(res), res.Header), &body)
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

// decoded returns the beginning of a body, head, without its content coding
// (RFC 9110 section 8.4.1) if that is gzip, which is what the caller asks for more
// often than not.
func decoded(head []byte, header http.Header) []byte {
	if coding := header.Get("Content-Encoding"); !strings.EqualFold(coding, "gzip") && !strings.EqualFold(coding, "x-gzip") {
		return head
	}
	zip, err := gzip.NewReader(bytes.NewReader(head))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(io.LimitReader(zip, maxErrorBody))
	if err != nil {
		return nil
	}
	return plain
}

// failing is a reader that fails.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }
