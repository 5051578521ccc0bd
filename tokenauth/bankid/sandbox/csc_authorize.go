package sandbox

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// cscAuthorize is where a browser is sent so that a person consents. For a program that is
// no browser everyone does, at once. Errors go to the redirect URI as soon as it
// is known to be good (RFC 6749, section 4.1.2.1).
func (s *Server) cscAuthorize(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	request, failed := s.readAuthorization(r.URL.RawQuery)
	if failed != nil {
		failed.respond(w)
		return
	}
	if request.failed == nil && s.wantsPage(r) {
		s.showAuthorize(w, request.query)
		return
	}
	w.Header().Set("Location", request.location(s, Persons()[0]))
	w.WriteHeader(http.StatusFound)
}

// An authorizationRequest is one with a known client and a good redirect URI.
type authorizationRequest struct {
	query    url.Values
	redirect *url.URL
	failed   *oauthError // what else is wrong with it, if anything
}

// readAuthorization reads an authorization request. Its error is for the browser: without a
// good redirect URI, the client cannot get to know it.
func (s *Server) readAuthorization(rawQuery string) (authorizationRequest, *oauthError) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return authorizationRequest{}, badRequest("invalid_request", "The query is malformed")
	}
	for _, name := range []string{"client_id", "redirect_uri"} {
		if len(query[name]) != 1 {
			return authorizationRequest{}, badRequest("invalid_request", name+" must be given once")
		}
	}
	if _, ok := s.clients.get(query.Get("client_id")); !ok {
		return authorizationRequest{}, badRequest("unauthorized_client", "The client is unknown")
	}
	redirect, ok := parseRedirectURI(query.Get("redirect_uri"))
	if !ok {
		return authorizationRequest{}, badRequest("invalid_request", "redirect_uri is not an absolute https or loopback http URI without fragment")
	}
	return authorizationRequest{query, redirect, checkAuthorization(query)}, nil
}

// location returns where an authorization request leads to: to an error if it failed, and
// otherwise to a code by which the signer consented.
func (a authorizationRequest) location(s *Server, signer Person) string {
	parameters := make(url.Values)
	if len(a.query["state"]) == 1 {
		parameters.Set("state", a.query.Get("state"))
	}
	if a.failed != nil {
		parameters.Set("error", a.failed.code)
		parameters.Set("error_description", a.failed.description)
	} else {
		parameters.Set("code", s.codes.issue(newCodeBinding(a.query.Get("client_id"), a.query.Get("redirect_uri"), a.query.Get("code_challenge")), signer))
	}
	// The query of a redirect URI stays (RFC 6749, section 3.1.2).
	location := *a.redirect
	if location.RawQuery != "" {
		location.RawQuery += "&"
	}
	location.RawQuery += parameters.Encode()
	return location.String()
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
