package bankid

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// rejects returns what tells that an answer of api refuses the token.
func rejects(api API) func(*http.Response) bool {
	switch api {
	case SignDoc, Timestamp:
		// SignDoc treats both alike, and the LTA specification knows 403 only
		// (…/apis/signdoc/errors, …/apis/timestamp/v1/lta.yaml).
		return func(res *http.Response) bool {
			return res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden
		}
	case CSC:
		return rejectsExchange
	default:
		return func(res *http.Response) bool { return res.StatusCode == http.StatusUnauthorized }
	}
}

// maxErrorBody is as much of an error's body as is read to understand it.
const maxErrorBody = 16 << 10

// rejectsExchange tells whether the CSC token endpoint refuses the OIDC token,
// as opposed to the code that is exchanged there: a code can be used once, so
// only a clear word counts, which is the error code invalid_token (RFC 6750
// section 3.1) in the body or, where that names no error, in the challenge.
func rejectsExchange(res *http.Response) bool {
	if res.StatusCode != http.StatusUnauthorized {
		return false
	}
	var body struct {
		Error     string `json:"error"`     // RFC 6749
		ErrorCode string `json:"errorCode"` // CSC
	}
	_ = json.Unmarshal(peek(res), &body)
	if code := body.Error + body.ErrorCode; code != "" {
		return code == invalidToken
	}
	return strings.Contains(strings.Join(res.Header.Values("Www-Authenticate"), ","), `error="`+invalidToken+`"`)
}

// invalidToken is the error code of a token that is refused.
const invalidToken = "invalid_token"

// peek reads the beginning of the body of res, and puts it back.
func peek(res *http.Response) []byte {
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
