package sandbox_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

const authorizePath = "/csc/v2/oauth2/authorize"

// challenge is the base64url of the SHA-256 hash of sandbox.CodeVerifier, as openssl
// computes it.
const challenge = "d0t_39r1ed9kawFJ_tYOAI78Ih4dUFTHZ8nXFRsgRkk"

// authorizeWith asks for a code with the usual parameters, some of them changed.
func authorizeWith(t testing.TB, s http.Handler, more url.Values) *httptest.ResponseRecorder {
	t.Helper()
	query := url.Values{
		"client_id": {sandbox.ClientID}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "state": {"a b&c"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	maps.Copy(query, more)
	return send(t, s, call{method: "GET", target: authorizePath + "?" + query.Encode()})
}

// redirected returns what an answer adds to the redirect URI.
func redirected(t testing.TB, w *httptest.ResponseRecorder, redirectURI string) url.Values {
	t.Helper()
	location := w.Header().Get("Location")
	rest, ok := strings.CutPrefix(location, redirectURI)
	if w.Code != http.StatusFound || !ok || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, Location %q, body %q", w.Code, location, w.Body)
	}
	added, err := url.ParseQuery(rest[1:])
	if err != nil {
		t.Fatal(err)
	}
	return added
}

// authorizationCode is the code that the authorize endpoint gives.
func authorizationCode(t testing.TB, s http.Handler) string {
	t.Helper()
	return redirected(t, authorizeWith(t, s, nil), redirectURI).Get("code")
}

func TestAuthorize(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign/csc")
	for _, target := range []string{
		redirectURI, redirectURI + "?keep=%41&b", "https://rp.example", "http://localhost:8080/x",
		"http://127.0.0.1/", "http://[::1]:1/", "http://127.1.2.3:99/a%2Fb",
	} {
		added := redirected(t, authorizeWith(t, s, url.Values{"redirect_uri": {target}, "lang": {"nn"}, "unknown": {"x"}}), target)
		if len(added) != 2 || added.Get("state") != "a b&c" || !strings.HasPrefix(added.Get("code"), "SANDBOX-") {
			t.Errorf("%s: %v", target, added)
		}
		decode[map[string]any](t, exchangeWith(t, s, authorization, url.Values{"code": added["code"], "redirect_uri": {target}}), http.StatusOK)
	}
	for _, more := range []url.Values{
		{"lang": {"nb"}},
		{"lang": {"nn"}},
		{"lang": {"en"}},
		{"lang": {""}},
		{"lang": {"no"}},
		{"lang": {"NB"}},
		{"scope": {""}},
		{"scope": {"esign/csc"}},
	} {
		if added := redirected(t, authorizeWith(t, s, more), redirectURI); !added.Has("code") {
			t.Errorf("%v: %v", more, added)
		}
	}
	if added := redirected(t, authorizeWith(t, s, url.Values{"state": nil}), redirectURI); added.Has("state") {
		t.Errorf("without state: %v", added)
	}
}

func TestAuthorizeRefusesWithoutRedirect(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for name, more := range map[string]url.Values{
		"other client":    {"client_id": {"another"}},
		"no client":       {"client_id": nil},
		"client twice":    {"client_id": {sandbox.ClientID, sandbox.ClientID}},
		"no redirect URI": {"redirect_uri": nil},
		"two of them":     {"redirect_uri": {redirectURI, redirectURI}},
		"empty":           {"redirect_uri": {""}},
		"relative":        {"redirect_uri": {"/callback"}},
		"without scheme":  {"redirect_uri": {"//rp.example/callback"}},
		"without host":    {"redirect_uri": {"https:///callback"}},
		"opaque":          {"redirect_uri": {"https:rp.example"}},
		"plain http":      {"redirect_uri": {"http://rp.example/callback"}},
		"near loopback":   {"redirect_uri": {"http://localhost.rp.example/"}},
		"other scheme":    {"redirect_uri": {"app://callback"}},
		"script":          {"redirect_uri": {"javascript:alert(1)"}},
		"fragment":        {"redirect_uri": {redirectURI + "#x"}},
		"empty fragment":  {"redirect_uri": {redirectURI + "#"}},
		"user":            {"redirect_uri": {"https://rp@rp.example/"}},
		"line break":      {"redirect_uri": {redirectURI + "\r\nX: y"}},
		"space":           {"redirect_uri": {redirectURI + "?a b"}},
		"backslash":       {"redirect_uri": {`https://rp.example\@evil.example/`}},
		"not ASCII":       {"redirect_uri": {"https://rp.example/å"}},
		"bad escape":      {"redirect_uri": {"https://rp.example/%zz"}},
	} {
		w := authorizeWith(t, s, more)
		body := decode[map[string]string](t, w, http.StatusBadRequest)
		if body["error"] == "" || body["error_description"] == "" || w.Header().Get("Location") != "" {
			t.Errorf("%s: body %v, Location %q", name, body, w.Header().Get("Location"))
		}
	}
	decode[map[string]string](t, send(t, s, call{method: "GET", target: authorizePath + "?client_id=%zz"}), http.StatusBadRequest)
}

func TestAuthorizeRefusesByRedirect(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for name, test := range map[string]struct {
		more url.Values
		code string
	}{
		"no response type":    {url.Values{"response_type": nil}, "invalid_request"},
		"other response type": {url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		"a parameter twice":   {url.Values{"lang": {"nb", "nb"}}, "invalid_request"},
		"other scope":         {url.Values{"scope": {"service"}}, "invalid_scope"},
		"other scope as well": {url.Values{"scope": {"esign/csc esign"}}, "invalid_scope"},
		"no challenge":        {url.Values{"code_challenge": nil}, "invalid_request"},
		"no method":           {url.Values{"code_challenge_method": nil}, "invalid_request"},
		"plain challenge":     {url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		"method in lower":     {url.Values{"code_challenge_method": {"s256"}}, "invalid_request"},
		"short challenge":     {url.Values{"code_challenge": {challenge[1:]}}, "invalid_request"},
		"padded challenge":    {url.Values{"code_challenge": {challenge + "="}}, "invalid_request"},
		"base64 challenge":    {url.Values{"code_challenge": {"+" + challenge[1:]}}, "invalid_request"},
	} {
		added := redirected(t, authorizeWith(t, s, test.more), redirectURI)
		if added.Get("error") != test.code || added.Get("error_description") == "" || added.Get("state") != "a b&c" || added.Has("code") {
			t.Errorf("%s: %v", name, added)
		}
	}
	added := redirected(t, authorizeWith(t, s, url.Values{"state": {"a", "b"}}), redirectURI)
	if added.Get("error") != "invalid_request" || added.Has("state") {
		t.Errorf("two states: %v", added)
	}
}

func TestAuthorizationCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		authorization := bearer(t, s, "esign/csc")
		refused := func(name, code string, more url.Values) {
			t.Helper()
			parameters := url.Values{"code": {code}}
			maps.Copy(parameters, more)
			body := decode[map[string]string](t, exchangeWith(t, s, authorization, parameters), http.StatusBadRequest)
			if body["error"] != "invalid_grant" {
				t.Errorf("%s: body is %v", name, body)
			}
		}
		used, late, inTime := authorizationCode(t, s), authorizationCode(t, s), authorizationCode(t, s)
		decode[map[string]any](t, exchange(t, s, authorization, used), http.StatusOK)
		refused("second use", used, nil)
		refused("never issued", "SANDBOX-never", nil)
		for name, more := range map[string]url.Values{
			"other redirect URI": {"redirect_uri": {redirectURI + "/"}},
			"other verifier":     {"code_verifier": {strings.Repeat("x", 43)}},
		} {
			bound := authorizationCode(t, s)
			refused(name, bound, more)
			refused("after "+name, bound, nil)
		}
		theirs := redirected(t, authorizeWith(t, s, url.Values{"client_id": {sandbox.B2BClientID}}), redirectURI).Get("code")
		refused("other client", theirs, nil)
		time.Sleep(60*time.Second - 1)
		decode[map[string]any](t, exchange(t, s, authorization, inTime), http.StatusOK)
		time.Sleep(time.Nanosecond)
		refused("expired", late, nil)
	})
}
