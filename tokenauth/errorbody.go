package tokenauth

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
)

// ErrorCode returns the error code of a response, or "" if there is none. The code is in
// the body, see ParseErrorBody, or else in the WWW-Authenticate field. After the call, the
// body can be read as before.
func ErrorCode(res *http.Response) string {
	code, _ := ParseErrorBody(res.Header, peek(res))
	return cmp.Or(code, challengeCode(res))
}

// ParseErrorBody returns two members of the JSON in the body of an error, each "" if there
// is none: the error code, and the reference that the server's support asks for. header is
// the header that came with body. The body may have the content codings gzip and deflate,
// and only its first 16 KiB count. The members can hold any text.
func ParseErrorBody(header http.Header, body []byte) (code, reference string) {
	m, _ := parseMembers(plainBody(header, body))                           // if it is not JSON, it has no members
	code = cmp.Or(m.text("error"), m.text("errorCode"), m.text("code"))     // OAuth 2.0, CSC, and BankID's timestamps
	reference = cmp.Or(m.text("errorReference"), m.text("error_reference")) // BankID
	return code, reference
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
