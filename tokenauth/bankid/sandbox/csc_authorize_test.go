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

// authorizeWith asks for a code with the usual parameters, some of them changed.
func authorizeWith(t testing.TB, s http.Handler, more url.Values) *httptest.ResponseRecorder {
	t.Helper()
	query := url.Values{"client_id": {sandbox.ClientID}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "state": {"a b&c"}}
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
		decode[map[string]any](t, exchangeAt(t, s, authorization, added.Get("code"), target), http.StatusOK)
	}
	for _, lang := range []string{"nb", "nn", "en", ""} {
		redirected(t, authorizeWith(t, s, url.Values{"lang": {lang}}), redirectURI)
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
		"other language":      {url.Values{"lang": {"no"}}, "invalid_request"},
		"language in capital": {url.Values{"lang": {"NB"}}, "invalid_request"},
		"a parameter twice":   {url.Values{"scope": {"service", "service"}}, "invalid_request"},
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
		refused := func(name, code, redirectURI string) {
			t.Helper()
			body := decode[map[string]string](t, exchangeAt(t, s, authorization, code, redirectURI), http.StatusBadRequest)
			if body["error"] != "invalid_grant" {
				t.Errorf("%s: body is %v", name, body)
			}
		}
		used, bound, late, inTime := authorizationCode(t, s), authorizationCode(t, s), authorizationCode(t, s), authorizationCode(t, s)
		decode[map[string]any](t, exchange(t, s, authorization, used), http.StatusOK)
		refused("second use", used, redirectURI)
		refused("other redirect URI", bound, redirectURI+"/")
		refused("after other redirect URI", bound, redirectURI)
		refused("never issued", "SANDBOX-never", redirectURI)
		time.Sleep(60*time.Second - 1)
		decode[map[string]any](t, exchange(t, s, authorization, inTime), http.StatusOK)
		time.Sleep(time.Nanosecond)
		refused("expired", late, redirectURI)
	})
}
