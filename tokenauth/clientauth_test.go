package tokenauth_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// tokenRequest returns the token request of a source with the given credentials
// and method, at a provider that lists methods; nil leaves the list out.
func tokenRequest(t *testing.T, id, secret string, method tokenauth.AuthMethod, methods any) tokenauthtest.TokenRequest {
	t.Helper()
	server := tokenauthtest.NewServer()
	server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		document := server.Document()
		delete(document, "token_endpoint_auth_methods_supported")
		if methods != nil {
			document["token_endpoint_auth_methods_supported"] = methods
		}
		tokenauthtest.WriteJSON(w, http.StatusOK, document)
	})
	getToken(t, newTestSource(t, server, func(c *tokenauth.Config) {
		c.AuthMethod = method
		c.Credentials = func() (tokenauth.Credentials, error) {
			return tokenauth.Credentials{ClientID: id, ClientSecret: tokenauth.NewSecret(secret)}, nil
		}
	}))
	requests := server.TokenRequests()
	if len(requests) != 1 {
		t.Fatalf("%d token requests, want 1", len(requests))
	}
	return requests[0]
}

// credentialVectors are similar to those of panva/oauth4webapi. They have characters that
// are special in a URL, in a form, and in HTTP Basic.
var credentialVectors = []struct{ plain, encoded string }{
	{"client-_.~", "client-_.~"},
	{"a+b", "a%2Bb"},
	{"a b", "a+b"},
	{"a:b", "a%3Ab"},
	{"a/b?c=d&e", "a%2Fb%3Fc%3Dd%26e"},
	{"50%", "50%25"},
	{"%2B", "%252B"},
	{"!'()*", "%21%27%28%29%2A"},
	{"æøå €", "%C3%A6%C3%B8%C3%A5+%E2%82%AC"},
	{"😀", "%F0%9F%98%80"},
	{"+/:%& =", "%2B%2F%3A%25%26+%3D"},
	{`"\#;,`, "%22%5C%23%3B%2C"},
}

func TestF18BasicCredentialsAreFormEncoded(t *testing.T) {
	for _, v := range credentialVectors {
		id := "id:" + v.plain
		r := tokenRequest(t, id, v.plain, tokenauth.ClientSecretBasic, nil)
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte("id%3A"+v.encoded+":"+v.encoded))
		if got := r.Header.Get("Authorization"); got != want {
			t.Errorf("%q: Authorization is %q, want %q", v.plain, got, want)
		}
		// Decode it as a server does (RFC 6749 section 2.3.1).
		gotID, idErr := url.QueryUnescape(r.Username)
		gotSecret, secretErr := url.QueryUnescape(r.Password)
		if gotID != id || gotSecret != v.plain || idErr != nil || secretErr != nil {
			t.Errorf("%q: a server reads %q and %q", v.plain, gotID, gotSecret)
		}
		if r.Form.Has("client_id") || r.Form.Has("client_secret") {
			t.Errorf("%q: the credentials are in the form too", v.plain)
		}
	}
}

func TestF18PostCredentialsAreInTheFormOnly(t *testing.T) {
	for _, v := range credentialVectors {
		r := tokenRequest(t, "id:"+v.plain, v.plain, tokenauth.ClientSecretPost, nil)
		if r.Form.Get("client_id") != "id:"+v.plain || r.Form.Get("client_secret") != v.plain {
			t.Errorf("%q: a server reads %q", v.plain, r.Body)
		}
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%q: the credentials are in the header too", v.plain)
		}
	}
}

func TestF19MethodIsConfiguredOrDiscoveredAndNeverProbed(t *testing.T) {
	const basic, post = tokenauth.ClientSecretBasic, tokenauth.ClientSecretPost
	for _, c := range []struct {
		configured tokenauth.AuthMethod
		listed     any
		want       tokenauth.AuthMethod
	}{
		{"", nil, basic},
		{"", []string{"private_key_jwt", "client_secret_post", "client_secret_basic"}, basic},
		{"", []string{"tls_client_auth", "client_secret_post"}, post},
		{post, nil, post},
		{post, []string{"client_secret_basic"}, post},
		{basic, []string{"client_secret_post"}, basic},
	} {
		r := tokenRequest(t, "id", "secret", c.configured, c.listed)
		if got := r.Header.Get("Authorization") != ""; got != (c.want == basic) || r.Form.Has("client_secret") == got {
			t.Errorf("configured %q, listed %v: not %s", c.configured, c.listed, c.want)
		}
	}
}

func TestF19RefusalIsNotFollowedByAnotherMethod(t *testing.T) {
	server := tokenauthtest.NewServer()
	server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
	getError(t, newTestSource(t, server))
	if n := len(server.TokenRequests()); n != 1 {
		t.Errorf("the secret was sent %d times", n)
	}
}

// RFC 7521 section 4.2: client_id is optional, and must be the client in the subject of the
// assertion. Spring Authorization Server 7.1 refuses requests without it.
func TestAssertionComesWithTheClientIDOfItsSubject(t *testing.T) {
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"client", "a:b c&d=e", "https://client.example/æ"} {
		server := tokenauthtest.NewServer()
		server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
			document := server.Document()
			document["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
			tokenauthtest.WriteJSON(w, http.StatusOK, document)
		})
		getToken(t, newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: id, Key: key}, nil
			}
		}))
		form := server.TokenRequests()[0].Form
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(form.Get("client_assertion"), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var claims struct{ Sub, Iss string }
		if err := json.Unmarshal(payload, &claims); err != nil || claims.Sub != id || claims.Iss != id {
			t.Errorf("the claims are %s, %v", payload, err)
		}
		if got := form["client_id"]; len(got) != 1 || got[0] != id {
			t.Errorf("client_id is %q, want %q once", got, id)
		}
		if form.Has("client_secret") {
			t.Error("there is a client_secret")
		}
	}
}
