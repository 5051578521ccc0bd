package bankid

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// Pages that are the sources of the rows.
const (
	docs           = "https://developer.bankid.no/bankid-esign-provider/"
	cscPage        = docs + "apis/csc/CSC"
	cscChangelog   = docs + "api-specification-changelog/"
	signDocErrors  = docs + "apis/signdoc/errors"
	convertSpec    = docs + "apis/signdoc/v1/convert.external.yaml"
	jwksPage       = docs + "apis/signdoc/jwks-api"
	ltaSpec        = docs + "apis/timestamp/v1/lta.yaml"
	timestampError = docs + "apis/timestamp/errors"
	b2bSpec        = "https://github.com/BankIDNorge/bankid-esign-b2b (b2b-bankid-signer.external.yaml)"
	b2bCSCPage     = docs + "apis/b2b/csc/b2b-csc-overview"
	elhub          = "https://github.com/elhub/auth-grant-manager (docs/authorization-document-flow.http)"
	legacyConvert  = "https://developer.bankid.no/bankid-oidc-provider/api/signing/signdoc-convert"
)

// Calls returns the calls of the given APIs.
func Calls(apis ...API) []gateway.Call {
	var calls []gateway.Call
	for _, call := range slices.Concat(cscCalls(), signDocCalls(), timestampCalls(), b2bCalls()) {
		if slices.Contains(apis, API(call.Group)) {
			call.Rejects = rejects(API(call.Group)) //nolint:bodyclose // there is no response yet
			calls = append(calls, call)
		}
	}
	return calls
}

// NewCall returns a call of api for a configuration. The call may be new, or may replace a
// row with the same method and path. In that case it keeps Download of the row. The error
// says what is wrong with the call.
func NewCall(api API, method, path string, kind gateway.Kind, retry gateway.Retry) (gateway.Call, error) {
	if _, ok := APIByName(string(api)); !ok {
		return gateway.Call{}, fmt.Errorf("unknown API '%s': must be one of %v", api, APIs())
	}
	call := gateway.Call{
		Group: string(api), Method: method, Path: path, Kind: kind, Retry: retry,
		Rejects: rejects(api), //nolint:bodyclose // there is no response yet
		Source:  "configuration",
	}
	call.Download = slices.ContainsFunc(Calls(api), func(c gateway.Call) bool {
		return c.Download && c.Method == method && c.Path == path
	})
	if (kind == gateway.DPoP) != (api == B2B) && (kind == gateway.DPoP || kind == gateway.Bearer) {
		return call, fmt.Errorf("tokens for %s are not of kind %s: those for b2b are bound to a key, all others are not", api, kind)
	}
	return call, call.Validate()
}

// Hint says why a call is not in the table of the given APIs, and what to do instead. It
// returns "" if it has no advice.
func Hint(method, path string, apis ...API) string {
	if method == http.MethodGet && path == "/csc/v2/oauth2/authorize" {
		return "GET /csc/v2/oauth2/authorize is for the user's browser: redirect it to BankID directly"
	}
	var methods []string
	for _, call := range Calls(APIs()...) {
		switch {
		case call.Path != path:
		case !slices.Contains(apis, API(call.Group)):
			return fmt.Sprintf("the path is one of the API %s, which is not among those that can be called here: %v", call.Group, apis)
		default:
			methods = append(methods, call.Method)
		}
	}
	if len(methods) > 0 {
		return fmt.Sprintf("no such call: the call table has this path with %s, not with %s", strings.Join(methods, ", "), method)
	}
	return ""
}

// cscCalls returns the calls of personal CSC. One of them carries the OIDC token, and gives
// service tokens to the caller. The calls after it carry a service token, which belongs to
// the caller alone, and which each endpoint accepts once since 2026-03-12. The authorize
// endpoint is for the user's browser.
func cscCalls() []gateway.Call {
	return rows(CSC,
		row(http.MethodPost, "/csc/v2/info", gateway.None, gateway.Safe, cscPage),
		// The code in this call is single-use. So the call is retried only if the
		// response refuses the OIDC token (see rejects). It is inferred that the OIDC
		// token is a bearer token here.
		row(http.MethodPost, "/csc/v2/oauth2/token", gateway.Bearer, gateway.Rejected, cscPage),
		row(http.MethodPost, "/csc/v2/credentials/list", gateway.Pass, gateway.Never, cscPage),
		// Added 2026-01-18. The authorization is inferred from the rows beside it.
		row(http.MethodPost, "/csc/v2/credentials/info", gateway.Pass, gateway.Never, cscChangelog),
		row(http.MethodPost, "/csc/v2/credentials/authorize", gateway.Pass, gateway.Never, cscPage),
		row(http.MethodPost, "/csc/v2/signatures/signHash", gateway.Pass, gateway.Never, cscPage),
	)
}

// signDocCalls returns the calls of SignDoc, v1 and v0. DELETE downloads the signed
// documents, and destroys BankID's only copy of them.
func signDocCalls() []gateway.Call {
	return rows(SignDoc,
		row(http.MethodPost, "/v1/signdoc/pades", gateway.Bearer, gateway.Rejected, elhub),
		row(http.MethodGet, "/v1/signdoc/pades", gateway.Bearer, gateway.Safe, elhub),
		download(row(http.MethodDelete, "/v1/signdoc/pades", gateway.Bearer, gateway.Rejected, elhub)),
		row(http.MethodPost, "/v1/signdoc/convert", gateway.Bearer, gateway.Rejected, convertSpec),
		row(http.MethodGet, "/v1/signdoc/convert/pdf/specs", gateway.Bearer, gateway.Safe, convertSpec),
		// The keys that sign SignerInfo. The full path is unknown. It is inferred that
		// the call needs no token.
		row(http.MethodGet, "/v1/signdoc/jwks", gateway.None, gateway.Safe, jwksPage),

		// v0. The paths are documented. The methods are inferred from the legacy
		// service.
		row(http.MethodPost, "/signdoc/pades", gateway.Bearer, gateway.Rejected, signDocErrors),
		row(http.MethodGet, "/signdoc/pades", gateway.Bearer, gateway.Safe, signDocErrors),
		download(row(http.MethodDelete, "/signdoc/pades", gateway.Bearer, gateway.Rejected, signDocErrors)),
		row(http.MethodPost, "/signdoc/convert", gateway.Bearer, gateway.Rejected, signDocErrors),
		row(http.MethodPost, "/signdoc/convert/pdf", gateway.Bearer, gateway.Rejected, legacyConvert),
		row(http.MethodGet, "/signdoc/convert/pdf/specs", gateway.Bearer, gateway.Safe, legacyConvert),
	)
}

// timestampCalls returns the calls of qualified timestamping.
func timestampCalls() []gateway.Call {
	return rows(Timestamp,
		row(http.MethodPost, "/v1/timestamp/pades/lta", gateway.Bearer, gateway.Rejected, ltaSpec),
		// Inferred from the sign_id parameter and the 404 of the specification.
		row(http.MethodGet, "/v1/timestamp/pades/lta", gateway.Bearer, gateway.Safe, ltaSpec),
		// Inferred from SignDoc's pattern.
		download(row(http.MethodDelete, "/v1/timestamp/pades/lta", gateway.Bearer, gateway.Rejected, ltaSpec)),
		// The path is documented. The method and the scope are inferred.
		row(http.MethodPost, "/v1/timestamp/token", gateway.Bearer, gateway.Rejected, timestampError),
	)
}

// b2bCalls returns the calls of the B2B signer and of B2B CSC. Each signing call that
// succeeds makes a seal in the organisation's name.
func b2bCalls() []gateway.Call {
	var calls []gateway.Call
	for _, path := range []string{
		"sdo_from_hash", "sdos_from_hashes", "cmses_from_hashes", "pades/cmses_from_hashes",
		"sdo_from_text", "sdos_from_docs", "sdo_from_cmses", "ades/xades", "ades/pades",
	} {
		calls = append(calls, row(http.MethodPost, "/v0/b2b/"+path, gateway.DPoP, gateway.Rejected, b2bSpec))
	}
	return rows(B2B, append(calls,
		// BankID's own sample calls it without a token and without a proof.
		row(http.MethodGet, "/v0/b2b/csc/v2/info", gateway.None, gateway.Safe, b2bCSCPage),
		row(http.MethodPost, "/v0/b2b/csc/v2/info", gateway.None, gateway.Safe, b2bCSCPage),
		row(http.MethodPost, "/v0/b2b/csc/v2/credentials/list", gateway.DPoP, gateway.Rejected, b2bCSCPage),
		// This call is in BankID's sample, and not on its page.
		row(http.MethodPost, "/v0/b2b/csc/v2/credentials/info", gateway.DPoP, gateway.Rejected, b2bSpec),
		row(http.MethodPost, "/v0/b2b/csc/v2/signatures/signHash", gateway.DPoP, gateway.Rejected, b2bCSCPage),
	)...)
}

// row makes a row of the table.
func row(method, path string, kind gateway.Kind, retry gateway.Retry, source string) gateway.Call {
	return gateway.Call{Method: method, Path: path, Kind: kind, Retry: retry, Source: source}
}

// download marks a row whose response is the only copy.
func download(call gateway.Call) gateway.Call {
	call.Download = true
	return call
}

// rows returns calls as calls of api.
func rows(api API, calls ...gateway.Call) []gateway.Call {
	for i := range calls {
		calls[i].Group = string(api)
	}
	return calls
}
