package bankid

import (
	"net/http"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
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

// rejectsExchange tells whether the CSC token endpoint refuses the OIDC token,
// as opposed to the code that is exchanged there: a code can be used once, so
// only a clear word counts. That is the error code invalid_token (RFC 6750 section
// 3.1), or invalid_client, the only 401 of this endpoint in BankID's document: the
// OIDC token is all that the client authenticates by there.
func rejectsExchange(res *http.Response) bool {
	if res.StatusCode != http.StatusUnauthorized {
		return false
	}
	code := tokenauth.ErrorCode(res)
	return code == "invalid_token" || code == "invalid_client"
}
