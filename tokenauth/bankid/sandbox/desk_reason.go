package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// presented returns the claims of the access token of a request, whether or not it is good.
func (s *Server) presented(r *http.Request) (*claims, bool) {
	for _, scheme := range []string{"Bearer", "DPoP"} {
		token, ok := authorization(r, scheme)
		if !ok {
			continue
		}
		parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
		var c claims
		if err == nil && parsed.UnsafeClaimsWithoutVerification(&c) == nil {
			return &c, true
		}
	}
	return nil, false
}

// reason says in a sentence why a request was refused. It is "" if it was not.
func (w *watchedResponse) reason() string {
	if w.status == http.StatusFound { // CSC's authorize endpoint tells the redirect URI
		location, err := url.Parse(w.Header().Get("Location"))
		if err != nil {
			return ""
		}
		return sentence(location.Query().Get("error_description"))
	}
	if w.status != 0 && w.status < 400 {
		return ""
	}
	for _, fault := range w.faults {
		if slices.Contains([]Effect{Status, Hang, Reset, DemandNonce}, fault.Effect) {
			return fmt.Sprintf("It met the fault %q, which somebody has set.", fault.Effect)
		}
	}
	if w.status == 0 {
		return "There was no response: the client left before."
	}
	said := saidBy(w.refusal)
	if w.status == http.StatusUnauthorized || w.status == http.StatusForbidden {
		if why := w.server.whyNoAccess(w.request, w.status); why != "" {
			return strings.TrimSpace(why + " " + said)
		}
	}
	if said == "" && w.status == http.StatusNotFound {
		return "There is no such order for this client: another client created it, it has been downloaded, or it is too old."
	}
	return said
}

// saidBy returns what the body of a refusal says: it is in a different member at each API, or
// it is a string.
func saidBy(body []byte) string {
	var text string
	if json.Unmarshal(body, &text) == nil {
		return sentence(text)
	}
	var members map[string]any
	if json.Unmarshal(body, &members) != nil {
		if len(body) > 0 && body[0] != '<' && body[0] != '{' {
			return sentence(strings.TrimSpace(string(body))) // of net/http
		}
		return ""
	}
	code, description := "", ""
	for _, name := range []string{"error", "errorCode", "code"} {
		if value, ok := members[name].(string); ok {
			code = value
		}
	}
	for _, name := range []string{"error_description", "errorDescription", "message"} {
		if value, ok := members[name].(string); ok {
			description = value
		}
	}
	if _, ok := members["conversionResults"]; ok {
		description = "The PDF cannot be used: the response says why, document by document"
	}
	if code != "" && description != "" {
		return sentence(strings.TrimSuffix(description, ".") + " (" + code + ")")
	}
	return sentence(code + description)
}

// sentence ends a text with a full stop.
func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// whyNoAccess says what is wrong with the access token of a refused request. It is "" if the
// token is good, and if the path takes no access token of BankID OIDC.
func (s *Server) whyNoAccess(r *http.Request, status int) string {
	path := r.URL.EscapedPath()
	if path == s.tokenPath || strings.HasPrefix(path, "/csc/v2/") && path != "/csc/v2/oauth2/token" {
		return ""
	}
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "The request has no Authorization header."
	}
	c, ok := s.presented(r)
	switch {
	case len(values) > 1:
		return "The request has more than one Authorization header."
	case !ok:
		return "The Authorization header has no access token of this sandbox: it must be Bearer or DPoP, a space and the token."
	case c.Issuer != s.issuer:
		return fmt.Sprintf("The access token is of another issuer, %q.", abridged(c.Issuer))
	}
	token, _ := authorization(r, "Bearer")
	if token == "" {
		token, _ = authorization(r, "DPoP")
	}
	b2b := strings.HasPrefix(path, "/v0/b2b/")
	_, authentic := s.tokens.open(token)
	_, good := s.tokens.verify(token)
	switch {
	case !authentic:
		return "The access token is not signed with a key of this sandbox: it is from before a restart or from before the fault rotate_key."
	case c.Expiry != nil && !s.clock.now().Before(c.Expiry.Time()):
		return fmt.Sprintf("The access token expired %v ago.", s.clock.now().Sub(c.Expiry.Time()).Round(time.Second))
	case s.tokens.isRevoked(c):
		return "The access token was revoked, by the fault revoke_tokens."
	case !good:
		return "The access token is not valid."
	case b2b && !c.bound():
		return "The access token is not bound to a key: B2B needs DPoP."
	case !b2b && c.bound():
		return "The access token is bound to a key by DPoP: only B2B takes such tokens."
	case status == http.StatusForbidden:
		return fmt.Sprintf("The access token has the scope %q, which is not enough for this call.", c.Scope)
	}
	return ""
}
