package sandbox_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// basic is the Basic value of RFC 6749, section 2.3.1.
func basic(id, secret string) string {
	return rawBasic(url.QueryEscape(id), url.QueryEscape(secret))
}

// rawBasic is the Basic value of RFC 7617, which OAuth 2.0 does not use.
func rawBasic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func TestTokenResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		w := post(t, s, url.Values{"scope": {"esign/nnin esign esign/nnin signdoc/read_write esign/qtsa esign/csc"}})
		body := decode[map[string]any](t, w, http.StatusOK)
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control is %q", got)
		}
		const scope = "esign/nnin esign signdoc/read_write esign/qtsa esign/csc"
		for key, want := range map[string]any{
			"expires_in": 300.0, "refresh_expires_in": 0.0, "token_type": "bearer", "not-before-policy": 0.0, "scope": scope,
		} {
			if body[key] != want {
				t.Errorf("%s is %v, want %v", key, body[key], want)
			}
		}

		var keys jose.JSONWebKeySet
		set := send(t, s, call{method: "GET", target: realm + "/protocol/openid-connect/certs"})
		if err := json.Unmarshal(set.Body.Bytes(), &keys); err != nil || len(keys.Keys) != 1 || !keys.Keys[0].IsPublic() {
			t.Fatalf("JWKS %q: %v", set.Body, err)
		}
		token, err := jose.ParseSigned(body["access_token"].(string), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		if got := token.Signatures[0].Header.KeyID; got == "" || got != keys.Keys[0].KeyID {
			t.Errorf("kid is %q, that of the JWKS %q", got, keys.Keys[0].KeyID)
		}
		payload, err := token.Verify(keys.Keys[0])
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]any
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		now := float64(time.Now().Unix())
		for key, want := range map[string]any{
			"iss": bankid.Sandbox.Issuer, "azp": sandbox.ClientID, "iat": now, "exp": now + 300, "typ": "Bearer", "scope": scope,
		} {
			if claims[key] != want {
				t.Errorf("claim %s is %v, want %v", key, claims[key], want)
			}
		}
		if claims["jti"] == nil || claims["aud"] == nil {
			t.Errorf("jti or aud is missing: %v", claims)
		}
	})
}

func TestClientAuthentication(t *testing.T) {
	const invalid = "Invalid client or Invalid client credentials"
	good := basic(sandbox.ClientID, sandbox.ClientSecret)
	credentials := url.Values{"client_id": {sandbox.ClientID}, "client_secret": {sandbox.ClientSecret}}
	tests := map[string]struct {
		authorization string
		form          url.Values
		status        int
		code          string
		description   string
	}{
		"basic":                       {authorization: good, status: 200},
		"basic, scheme in lower case": {authorization: "basic" + strings.TrimPrefix(good, "Basic"), status: 200},
		"basic with equal client_id":  {authorization: good, form: url.Values{"client_id": {sandbox.ClientID}}, status: 200},
		"post":                        {form: credentials, status: 200},

		"basic and post":              {authorization: good, form: credentials, status: 400, code: "invalid_request"},
		"basic and assertion":         {authorization: good, form: url.Values{"client_assertion": {"x"}}, status: 400, code: "invalid_request"},
		"basic with other client_id":  {authorization: good, form: url.Values{"client_id": {"other"}}, status: 400, code: "invalid_request"},
		"basic without form-encoding": {authorization: rawBasic(sandbox.ClientID, sandbox.ClientSecret), status: 401, code: "unauthorized_client", description: invalid},
		"basic with wrong secret":     {authorization: basic(sandbox.ClientID, "wrong"), status: 401, code: "unauthorized_client", description: invalid},
		"basic with unknown client":   {authorization: basic("other", sandbox.ClientSecret), status: 401, code: "invalid_client", description: invalid},
		"basic without id":            {authorization: basic("", sandbox.ClientSecret), status: 400, code: "invalid_client", description: "Missing client_id parameter"},
		"not basic":                   {authorization: "Bearer x", status: 401, code: "invalid_client", description: invalid},
		"not basic, with client_id":   {authorization: "Bearer x", form: url.Values{"client_id": {sandbox.ClientID}}, status: 401, code: "unauthorized_client", description: invalid},
		"nothing":                     {status: 400, code: "invalid_client", description: "Missing client_id parameter"},
		"post without id":             {form: url.Values{"client_secret": {sandbox.ClientSecret}}, status: 400, code: "invalid_client", description: "Missing client_id parameter"},
		"post without secret":         {form: url.Values{"client_id": {sandbox.ClientID}}, status: 401, code: "unauthorized_client", description: invalid},
		"post with wrong secret":      {form: url.Values{"client_id": {sandbox.ClientID}, "client_secret": {"wrong"}}, status: 401, code: "unauthorized_client", description: invalid},
		"post with secret encoded twice": {
			form:   url.Values{"client_id": {sandbox.ClientID}, "client_secret": {url.QueryEscape(sandbox.ClientSecret)}},
			status: 401, code: "unauthorized_client", description: invalid,
		},
	}
	s := newServer(t, sandbox.Options{})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			form := url.Values{"grant_type": {"client_credentials"}, "scope": {"esign"}}
			maps.Copy(form, test.form)
			w := send(t, s, call{
				method: "POST", target: tokenPath, authorization: test.authorization,
				contentType: formType, body: strings.NewReader(form.Encode()),
			})
			body := decode[map[string]any](t, w, test.status)
			if test.status == http.StatusOK {
				return
			}
			if body["error"] != test.code || test.description != "" && body["error_description"] != test.description {
				t.Errorf("body %v", body)
			}
			if strings.Contains(w.Body.String(), sandbox.ClientSecret) {
				t.Error("the secret is in the answer")
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (name == "not basic") {
				t.Errorf("WWW-Authenticate is %q", challenge)
			}
		})
	}

	t.Run("two headers", func(t *testing.T) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Add("Authorization", good)
			s.ServeHTTP(w, r)
		})
		w := send(t, h, call{
			method: "POST", target: tokenPath, authorization: good,
			contentType: formType, body: strings.NewReader("grant_type=client_credentials"),
		})
		decode[map[string]any](t, w, http.StatusBadRequest)
	})
}

func TestOwnClient(t *testing.T) {
	s := newServer(t, sandbox.Options{ClientID: "a b", ClientSecret: "c:d"})
	for authorization, status := range map[string]int{
		basic("a b", "c:d"):                           http.StatusOK,
		basic(sandbox.ClientID, sandbox.ClientSecret): http.StatusUnauthorized,
	} {
		w := send(t, s, call{
			method: "POST", target: tokenPath, authorization: authorization,
			contentType: formType, body: strings.NewReader("grant_type=client_credentials"),
		})
		decode[map[string]any](t, w, status)
	}
}

func TestTokenRequestErrors(t *testing.T) {
	auth := basic(sandbox.ClientID, sandbox.ClientSecret)
	s := newServer(t, sandbox.Options{})
	tests := map[string]struct {
		contentType, body string
		status            int
		code              string
	}{
		"no grant type":        {formType, "scope=esign", 400, "invalid_request"},
		"other grant type":     {formType, "grant_type=password", 400, "unsupported_grant_type"},
		"duplicate scope":      {formType, "grant_type=client_credentials&scope=esign&scope=esign", 400, "invalid_request"},
		"duplicate unknown":    {formType, "grant_type=client_credentials&x=1&x=2", 400, "invalid_request"},
		"unknown scope":        {formType, "grant_type=client_credentials&scope=esign+other", 400, "invalid_scope"},
		"scopes with a comma":  {formType, "grant_type=client_credentials&scope=esign,esign/qtsa", 400, "invalid_scope"},
		"b2b scope":            {formType, "grant_type=client_credentials&scope=esign%2Fb2b", 400, "invalid_scope"},
		"JSON":                 {jsonType, `{"grant_type":"client_credentials"}`, 400, "invalid_request"},
		"no content type":      {"", "grant_type=client_credentials", 400, "invalid_request"},
		"bad escape":           {formType, "grant_type=client_credentials&scope=%zz", 400, "invalid_request"},
		"semicolon":            {formType, "grant_type=client_credentials;scope=esign", 400, "invalid_request"},
		"too large":            {formType, "grant_type=client_credentials&x=" + strings.Repeat("x", 64<<10), 400, "invalid_request"},
		"largest, but unknown": {formType, "grant_type=x&x=" + strings.Repeat("x", 64<<10-15), 400, "unsupported_grant_type"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// What is in the query does not count.
			target := tokenPath + "?grant_type=client_credentials&scope=esign"
			w := send(t, s, call{method: "POST", target: target, authorization: auth, contentType: test.contentType, body: strings.NewReader(test.body)})
			body := decode[map[string]any](t, w, test.status)
			if body["error"] != test.code || body["error_description"] == "" {
				t.Errorf("body %v", body)
			}
		})
	}
}

func TestNoScopeUnlocksNothing(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, scope := range []string{"", "esign/nnin"} {
		authorization := bearer(t, s, scope)
		for target, status := range map[string]int{"/v1/signdoc/pades": 403, "/v1/timestamp/pades/lta": 403} {
			w := send(t, s, call{method: "GET", target: target, authorization: authorization})
			if w.Code != status {
				t.Errorf("scope %q, %s: status %d", scope, target, w.Code)
			}
		}
	}
}

func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{TokenLifetime: 10 * time.Second})
		time.Sleep(900 * time.Millisecond) // not at the start of a second
		authorization := bearer(t, s, "esign")
		ask := call{method: "GET", target: "/v1/signdoc/pades?sign_id=none", authorization: authorization}
		time.Sleep(10*time.Second - 1)
		wantNoBody(t, send(t, s, ask), http.StatusNotFound)
		time.Sleep(time.Second)
		wantNoBody(t, send(t, s, ask), http.StatusUnauthorized)
	})
}
