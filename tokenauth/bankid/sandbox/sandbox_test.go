package sandbox_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"

	realm     = "/auth/realms/sandbox"
	tokenPath = realm + "/protocol/openid-connect/token"
)

// A call is a request to the sandbox; the zero fields are left out.
type call struct {
	method, target string
	authorization  string
	contentType    string
	body           io.Reader
}

func newServer(t testing.TB, o sandbox.Options) *sandbox.Server {
	t.Helper()
	s, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// send returns the answer to a call, and fails if it lacks what every answer
// must have.
func send(t testing.TB, s http.Handler, c call) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(c.method, c.target, c.body)
	r.Host = sandbox.Address
	if c.authorization != "" {
		r.Header.Set("Authorization", c.authorization)
	}
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	faulty := faulty(s)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if !faulty {
		record(t, r, w)
	}
	if got := w.Header().Get("Bankid-Esign-Environment"); got != "sandbox" {
		t.Errorf("%s %s: Bankid-Esign-Environment is %q", c.method, c.target, got)
	}
	return w
}

// decode reads a JSON answer of the expected status.
func decode[T any](t testing.TB, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var body T
	if w.Code != status {
		t.Fatalf("status %d, want %d; body %q", w.Code, status, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != jsonType {
		t.Errorf("Content-Type is %q", got)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("body %q: %v", w.Body, err)
	}
	return body
}

// wantNoBody checks an answer that is a status alone.
func wantNoBody(t testing.TB, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	if w.Code != status || w.Body.Len() != 0 {
		t.Errorf("status %d, body %q; want %d without body", w.Code, w.Body, status)
	}
}

// post asks for a token with client_secret_post and further parameters.
func post(t testing.TB, s http.Handler, more url.Values) *httptest.ResponseRecorder {
	t.Helper()
	form := url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {sandbox.ClientID},
		"client_secret": {sandbox.ClientSecret},
	}
	maps.Copy(form, more)
	return send(t, s, call{method: "POST", target: tokenPath, contentType: formType, body: strings.NewReader(form.Encode())})
}

// bearer is the Authorization value with a fresh access token.
func bearer(t testing.TB, s http.Handler, scope string) string {
	t.Helper()
	body := decode[map[string]any](t, post(t, s, url.Values{"scope": {scope}}), http.StatusOK)
	token, _ := body["access_token"].(string)
	return "Bearer " + token
}

func TestAddressIsTheDefaultIssuers(t *testing.T) {
	issuer, err := url.Parse(bankid.Sandbox.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	if issuer.Host != sandbox.Address {
		t.Errorf("Address is %q, issuer's host %q", sandbox.Address, issuer.Host)
	}
}

func TestDefaultSecretNeedsFormEncoding(t *testing.T) {
	if !strings.ContainsRune(sandbox.ClientSecret, ' ') {
		t.Error("no space")
	}
	for _, c := range "+/:%&" {
		if !strings.ContainsRune(sandbox.ClientSecret, c) {
			t.Errorf("no %q", c)
		}
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]sandbox.Options{
		"issuer without scheme":     {Issuer: "127.0.0.1/auth"},
		"issuer of another scheme":  {Issuer: "ftp://127.0.0.1/auth"},
		"issuer with final slash":   {Issuer: "http://127.0.0.1/auth/"},
		"issuer with query":         {Issuer: "http://127.0.0.1/auth?x"},
		"issuer with fragment":      {Issuer: "http://127.0.0.1/auth#x"},
		"issuer with user":          {Issuer: "http://me@127.0.0.1/auth"},
		"issuer that is no URL":     {Issuer: "http://127.0.0.1/%zz"},
		"lifetime below one second": {TokenLifetime: time.Millisecond},
		"lifetime of odd seconds":   {TokenLifetime: 1500 * time.Millisecond},
		"negative lifetime":         {TokenLifetime: -time.Second},
		"negative delay":            {SigningDelay: -1},
	} {
		if _, err := sandbox.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDiscovery(t *testing.T) {
	for _, issuer := range []string{"", "https://id.example:8443/realm", "http://127.0.0.1:1234"} {
		s := newServer(t, sandbox.Options{Issuer: issuer})
		if issuer == "" {
			issuer = bankid.Sandbox.Issuer
		}
		u, err := url.Parse(issuer)
		if err != nil {
			t.Fatal(err)
		}
		w := send(t, s, call{method: "GET", target: u.Path + "/.well-known/openid-configuration"})
		doc := decode[map[string]any](t, w, http.StatusOK)
		if got := w.Header().Get("Cache-Control"); got != "max-age=3600" {
			t.Errorf("Cache-Control is %q", got)
		}
		for key, want := range map[string]string{
			"issuer":                 issuer,
			"token_endpoint":         issuer + "/protocol/openid-connect/token",
			"jwks_uri":               issuer + "/protocol/openid-connect/certs",
			"introspection_endpoint": issuer + "/protocol/openid-connect/token/introspect",
			"esign-baseurl":          u.Scheme + "://" + u.Host,
		} {
			if doc[key] != want {
				t.Errorf("%s is %v, want %q", key, doc[key], want)
			}
		}
		for _, key := range []string{
			"authorization_endpoint", "userinfo_endpoint", "grant_types_supported", "scopes_supported",
			"token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported",
			"dpop_signing_alg_values_supported",
		} {
			if doc[key] == nil {
				t.Errorf("%s is missing", key)
			}
		}
		methods, _ := json.Marshal(doc["token_endpoint_auth_methods_supported"])
		if got := string(methods); got != `["private_key_jwt","client_secret_basic","client_secret_post"]` {
			t.Errorf("token_endpoint_auth_methods_supported is %s", got)
		}
	}
}

func TestUnknownPath(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, target := range []string{
		"/nb", "/de/sandbox-1", "/nb/sandbox-1/1.pdf/1", "/nb/", "/auth/realms/other/.well-known/openid-configuration",
		"//csc/v2/info", "/csc/v2/info/", "/csc/v2/./info", "/csc/v2/x/../info", "/csc/v2/%69nfo", "/CSC/v2/info",
		"/csc/v2/oauth2/%61uthorize", "/csc/v2/signatures/signhash", "/v0/b2b/csc/v2/authorize", "/v0/b2b/sdo_from_hash/",
	} {
		if w := send(t, s, call{method: "POST", target: "http://sandbox" + target}); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", target, w.Code)
		}
	}
}

func TestWrongMethod(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for target, allow := range map[string]string{
		realm + "/.well-known/openid-configuration": "GET",
		realm + "/protocol/openid-connect/certs":    "GET",
		tokenPath:                                   "POST",
		"/v1/signdoc/pades":                         "DELETE, GET, POST",
		"/v1/timestamp/pades/lta":                   "DELETE, GET, POST",
		"/csc/v2/info":                              "POST",
		"/csc/v2/oauth2/authorize":                  "GET",
		"/csc/v2/oauth2/token":                      "POST",
		"/csc/v2/credentials/list":                  "POST",
		"/csc/v2/credentials/info":                  "POST",
		"/csc/v2/credentials/authorize":             "POST",
		"/csc/v2/signatures/signHash":               "POST",
		"/v0/b2b/csc/v2/info":                       "GET, POST",
		"/v0/b2b/sdo_from_hash":                     "POST",
	} {
		w := send(t, s, call{method: "PUT", target: target})
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allow {
			t.Errorf("%s: status %d, Allow %q", target, w.Code, w.Header().Get("Allow"))
		}
	}
}
