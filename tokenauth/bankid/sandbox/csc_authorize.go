package sandbox

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// cscAuthorize is where a browser is sent so that a person consents. In the
// sandbox everyone does, at once. Errors go to the redirect URI as soon as it
// is known to be good (RFC 6749, section 4.1.2.1).
func (s *Server) cscAuthorize(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	location, failed := s.authorize(r.URL.RawQuery)
	if failed != nil {
		failed.respond(w)
		return
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusFound)
}

// authorize returns where an authorization request leads to.
func (s *Server) authorize(rawQuery string) (string, *oauthError) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", badRequest("invalid_request", "The query is malformed")
	}
	for _, name := range []string{"client_id", "redirect_uri"} {
		if len(query[name]) != 1 {
			return "", badRequest("invalid_request", name+" must be given once")
		}
	}
	if _, ok := s.clients.get(query.Get("client_id")); !ok {
		return "", badRequest("unauthorized_client", "The client is unknown")
	}
	redirect, ok := parseRedirectURI(query.Get("redirect_uri"))
	if !ok {
		return "", badRequest("invalid_request", "redirect_uri is not an absolute https or loopback http URI without fragment")
	}
	parameters := make(url.Values)
	if len(query["state"]) == 1 {
		parameters.Set("state", query.Get("state"))
	}
	if failed := checkAuthorization(query); failed != nil {
		parameters.Set("error", failed.code)
		parameters.Set("error_description", failed.description)
	} else {
		parameters.Set("code", s.codes.issue(newCodeBinding(query.Get("client_id"), query.Get("redirect_uri"), query.Get("code_challenge")), Persons()[0]))
	}
	// The query of a redirect URI stays (RFC 6749, section 3.1.2).
	if redirect.RawQuery != "" {
		redirect.RawQuery += "&"
	}
	redirect.RawQuery += parameters.Encode()
	return redirect.String(), nil
}

// checkAuthorization checks what an authorization request says beside client
// and redirect URI. Unknown parameters are ignored (RFC 6749, section 3.1), and so is
// an unknown lang; see
// https://developer.bankid.no/bankid-esign-provider/api-specification-changelog/.
func checkAuthorization(query url.Values) *oauthError {
	for _, values := range query {
		if len(values) > 1 {
			return badRequest("invalid_request", "A parameter was given twice")
		}
	}
	// An empty parameter counts as left out (RFC 6749, section 3.1).
	switch query.Get("response_type") {
	case "code":
	case "":
		return badRequest("invalid_request", "response_type is missing")
	default:
		return badRequest("unsupported_response_type", "response_type is not code")
	}
	for scope := range strings.FieldsSeq(query.Get("scope")) {
		if scope != bankid.ScopeCSC {
			return badRequest("invalid_scope", "scope is not "+bankid.ScopeCSC)
		}
	}
	switch {
	case query.Get("code_challenge") == "":
		return badRequest("invalid_request", "code_challenge is missing")
	case query.Get("code_challenge_method") != "S256": // RFC 7636 would take "plain" if it is left out
		return badRequest("invalid_request", "code_challenge_method is not S256")
	case !codeChallengeForm.MatchString(query.Get("code_challenge")):
		return badRequest("invalid_request", "code_challenge is not the base64url of a SHA-256 hash, without padding")
	}
	return nil
}

// parseRedirectURI accepts what BankID could have registered for a client: an
// absolute URI without fragment (RFC 6749, section 3.1.2), by https, or by http
// to the caller's own machine (RFC 8252, section 7.3).
func parseRedirectURI(raw string) (*url.URL, bool) {
	// url.Parse lets some pass that no URI may have (RFC 3986, section 2).
	if strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("\"<>\\^`{|}#", c) }) {
		return nil, false
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return nil, false
	}
	switch u.Scheme {
	case "https":
		return u, true
	case "http":
		return u, u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	default:
		return nil, false
	}
}
