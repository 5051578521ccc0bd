package sandbox_test

import (
	"crypto/rand"
	"encoding/json"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

const (
	credentialsList      = "/csc/v2/credentials/list"
	credentialsInfo      = "/csc/v2/credentials/info"
	credentialsAuthorize = "/csc/v2/credentials/authorize"
	signHash             = "/csc/v2/signatures/signHash"

	redirectURI = "https://rp.example/callback"
)

// exchange sends an authorization code to CSC's token route.
func exchange(t testing.TB, s http.Handler, authorization, code string) *httptest.ResponseRecorder {
	t.Helper()
	return exchangeWith(t, s, authorization, url.Values{"code": {code}})
}

// exchangeWith sends the usual parameters to CSC's token route, some of them changed.
func exchangeWith(t testing.TB, s http.Handler, authorization string, more url.Values) *httptest.ResponseRecorder {
	t.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "redirect_uri": {redirectURI}, "code_verifier": {sandbox.CodeVerifier},
	}
	maps.Copy(form, more)
	return send(t, s, call{
		method: "POST", target: "/csc/v2/oauth2/token", authorization: authorization,
		contentType: formType, body: strings.NewReader(form.Encode()),
	})
}

// serviceToken exchanges a code for a service token.
func serviceToken(t testing.TB, s http.Handler, code string) string {
	t.Helper()
	authorization := bearer(t, s, "esign/csc")
	if w := exchange(t, s, authorization, code); w.Code == http.StatusOK {
		token, _ := decode[map[string]any](t, w, http.StatusOK)["access_token"].(string)
		return token
	}
	// A code is good once; a caller who wants any token does not care which.
	return serviceToken(t, s, "sandbox-"+rand.Text())
}

func wantCSCError(t testing.TB, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	body := decode[map[string]string](t, w, status)
	if body["errorCode"] != code || body["errorDescription"] == "" || len(body) != 3 ||
		!regexp.MustCompile(`^REF[0-9]{9}$`).MatchString(body["errorReference"]) {
		t.Errorf("body is %v, want error %s", body, code)
	}
}

func TestCSCInfo(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, authorization := range []string{"", "Bearer x", bearer(t, s, "esign/csc")} {
		w := send(t, s, call{
			method: "POST", target: "/csc/v2/info", authorization: authorization,
			contentType: jsonType, body: strings.NewReader(`{"lang":"nb"}`),
		})
		info := decode[map[string]any](t, w, http.StatusOK)
		if methods, _ := info["methods"].([]any); len(methods) != 7 {
			t.Errorf("methods are %v", info["methods"])
		}
		if name, _ := info["name"].(string); !strings.Contains(name, "SANDBOX") || info["oauth2"] != "http://"+sandbox.Address+"/csc/v2" {
			t.Errorf("info is %v", info)
		}
		for name, want := range map[string]string{
			"signAlgorithms":     `{"algos":["` + ecdsaWithSHA256 + `"]}`,
			"signature_formats":  `{"formats":["C","P"]}`,
			"conformance_levels": `["Ades-B-B"]`,
		} {
			if got, err := json.Marshal(info[name]); err != nil || string(got) != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
}

func TestLogo(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, path := range []string{"/csc/v2/info", "/v0/b2b/csc/v2/info"} {
		info := decode[map[string]any](t, send(t, s, call{method: "POST", target: path}), http.StatusOK)
		logo, _ := info["logo"].(string)
		w := send(t, s, call{method: "GET", target: strings.TrimPrefix(logo, bankid.Sandbox.ESign)})
		if _, err := png.Decode(w.Body); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/png" {
			t.Errorf("%s: logo %q is %d: %v", path, logo, w.Code, err)
		}
	}
}

func TestCSCInfoRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for content, contentType := range map[string]string{"[]": jsonType, `{"lang":1}`: jsonType, "{": jsonType, "{}": "text/plain"} {
		w := send(t, s, call{method: "POST", target: "/csc/v2/info", contentType: contentType, body: strings.NewReader(content)})
		wantCSCError(t, w, http.StatusBadRequest, "invalid_request")
	}
	for _, content := range []string{"", `{}`, `{"lang":"sv"}`} {
		w := send(t, s, call{method: "POST", target: "/csc/v2/info", contentType: jsonType, body: strings.NewReader(content)})
		decode[map[string]any](t, w, http.StatusOK)
	}
}

func TestCSCTokenAuthorization(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	bad := badAuthorizations(t, s, "esign/csc")
	bad["none"] = ""
	for name, authorization := range bad {
		w := exchange(t, s, authorization, "sandbox-unspent")
		body := decode[map[string]string](t, w, http.StatusUnauthorized)
		if body["error"] != "invalid_client" || body["error_description"] == "" {
			t.Errorf("%s: body is %v", name, body)
		}
		// A challenge has no error for a request without a token (RFC 6750, section 3.1).
		got := w.Header().Get("WWW-Authenticate")
		if !strings.HasPrefix(got, "Bearer realm=") || strings.Contains(got, `error="invalid_token"`) != (name != "none") {
			t.Errorf("%s: WWW-Authenticate is %q", name, got)
		}
	}
	w := exchange(t, s, bearer(t, s, "esign"), "sandbox-unspent")
	if got := decode[map[string]string](t, w, http.StatusBadRequest); got["error"] != "unauthorized_client" {
		t.Errorf("body is %v", got)
	}
	// None of the refusals has used up the code.
	decode[map[string]any](t, exchange(t, s, bearer(t, s, "esign/csc"), "sandbox-unspent"), http.StatusOK)
}

func TestCSCTokenRequestErrors(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign/csc")
	for name, test := range map[string]struct {
		more url.Values
		code string
	}{
		"foreign code":       {url.Values{"code": {"abc"}}, "invalid_grant"},
		"no grant type":      {url.Values{"grant_type": nil}, "invalid_request"},
		"no code":            {url.Values{"code": nil}, "invalid_request"},
		"no redirect URI":    {url.Values{"redirect_uri": nil}, "invalid_request"},
		"other grant type":   {url.Values{"grant_type": {"client_credentials"}}, "unsupported_grant_type"},
		"duplicate code":     {url.Values{"code": {"sandbox-1", "sandbox-1"}}, "invalid_request"},
		"too large":          {url.Values{"code": {strings.Repeat("x", 64<<10)}}, "invalid_request"},
		"no verifier":        {url.Values{"code_verifier": nil}, "invalid_request"},
		"short verifier":     {url.Values{"code_verifier": {strings.Repeat("x", 42)}}, "invalid_request"},
		"long verifier":      {url.Values{"code_verifier": {strings.Repeat("x", 129)}}, "invalid_request"},
		"space in verifier":  {url.Values{"code_verifier": {strings.Repeat("x", 42) + " "}}, "invalid_request"},
		"break in verifier":  {url.Values{"code_verifier": {strings.Repeat("x", 43) + "\n"}}, "invalid_request"},
		"wrong verifier":     {url.Values{"code": {"sandbox-wrong"}, "code_verifier": {strings.Repeat("x", 43)}}, "invalid_grant"},
		"other verifier":     {url.Values{"code": {"sandbox-other"}, "code_verifier": {strings.Repeat(".~_-", 32)}}, "invalid_grant"},
		"then the good code": {nil, ""},
	} {
		more := url.Values{"code": {"sandbox-" + rand.Text()}}
		maps.Copy(more, test.more)
		w := exchangeWith(t, s, authorization, more)
		status := http.StatusBadRequest
		if test.code == "" {
			status = http.StatusOK
		}
		if body := decode[map[string]any](t, w, status); test.code != "" && body["error"] != test.code {
			t.Errorf("%s: body is %v", name, body)
		}
	}
	for contentType, text := range map[string]string{jsonType: `{"code":"sandbox-1"}`, formType: "code=%zz", "": "code=x"} {
		w := send(t, s, call{
			method: "POST", target: "/csc/v2/oauth2/token", authorization: authorization,
			contentType: contentType, body: strings.NewReader(text),
		})
		if body := decode[map[string]string](t, w, http.StatusBadRequest); body["error"] != "invalid_request" {
			t.Errorf("%q: body is %v", contentType, body)
		}
	}
}

func TestServiceTokenAuthorization(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, target := range []string{credentialsList, credentialsInfo, credentialsAuthorize, signHash} {
		ask := call{method: "POST", target: target, contentType: jsonType}
		wantCSCError(t, send(t, s, ask), http.StatusUnauthorized, "authentication_required")
		for _, authorization := range []string{
			"Bearer unknown", "Bearer ", "Basic eDp5", bearer(t, s, "esign/csc"), "DPoP " + serviceToken(t, s, "sandbox-x"),
		} {
			ask.authorization = authorization
			wantCSCError(t, send(t, s, ask), http.StatusUnauthorized, "invalid_token")
		}
	}
}

func TestServiceTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		first, second := serviceToken(t, s, "sandbox-1"), serviceToken(t, s, "sandbox-2")
		list := call{method: "POST", target: credentialsList, contentType: jsonType}
		time.Sleep(300*time.Second - 1)
		list.authorization = "Bearer " + first
		decode[map[string][]string](t, send(t, s, list), http.StatusOK)
		time.Sleep(time.Nanosecond)
		list.authorization = "Bearer " + second
		wantCSCError(t, send(t, s, list), http.StatusUnauthorized, "invalid_token")
	})
}
