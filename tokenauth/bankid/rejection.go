package bankid

import (
	"net/http"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// rejects returns a function that reports whether a response of api refuses the token.
func rejects(api API) func(*http.Response) bool {
	switch api {
	case SignDoc, Timestamp:
		// SignDoc uses both statuses for the same errors, and the LTA specification has
		// only 403 (…/apis/signdoc/errors, …/apis/timestamp/v1/lta.yaml).
		return func(res *http.Response) bool {
			return res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden
		}
	case CSC:
		return rejectsExchange
	default:
		return func(res *http.Response) bool { return res.StatusCode == http.StatusUnauthorized }
	}
}

// rejectsExchange reports whether the CSC token endpoint refuses the OIDC token, and not the
// code that is exchanged there. A code can be used once, so only a clear refusal of the
// token counts: the error code invalid_token (RFC 6750 section 3.1), or invalid_client. The
// latter is the only 401 of this endpoint in BankID's document, and the client has no other
// credential there than the OIDC token.
func rejectsExchange(res *http.Response) bool {
	if res.StatusCode != http.StatusUnauthorized {
		return false
	}
	code := tokenauth.ErrorCode(res)
	return code == "invalid_token" || code == "invalid_client"
}
