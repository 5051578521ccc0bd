package tokenauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestTokenRequestOnTheWire(t *testing.T) {
	server := tokenauthtest.NewServer()
	getToken(t, newTestSource(t, server, func(c *tokenauth.Config) { c.Scopes = []string{"openid", "esign/csc"} }))
	r := server.TokenRequests()[0]
	if want := "grant_type=client_credentials&scope=openid+esign%2Fcsc"; r.Body != want {
		t.Errorf("body is %q, want %q", r.Body, want)
	}
	for name, want := range map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if r.Method != http.MethodPost {
		t.Errorf("method is %s", r.Method)
	}
}

func TestF20NoScopesMeanNoScopeParameter(t *testing.T) {
	for _, scopes := range [][]string{nil, {}} {
		server := tokenauthtest.NewServer()
		getToken(t, newTestSource(t, server, func(c *tokenauth.Config) { c.Scopes = scopes }))
		if body := server.TokenRequests()[0].Body; body != "grant_type=client_credentials" {
			t.Errorf("body is %q", body)
		}
	}
}

func TestF09F11LifetimeIsReadInEveryForm(t *testing.T) {
	const assumed = 5 * time.Minute
	for raw, want := range map[string]time.Duration{
		`200`: 200 * time.Second, `"200"`: 200 * time.Second, `200.0`: 200 * time.Second, `"200.5"`: 200 * time.Second,
		`" 200 "`: 200 * time.Second, `2e2`: 200 * time.Second, `1`: time.Second, `299.999`: 299 * time.Second,
		`0`: 0, `0.5`: 0, `-1`: -time.Second, `-9999999999`: -time.Second, `"-1"`: -time.Second,
		`86401`: 24 * time.Hour, `99999999999999999999`: 24 * time.Hour, `1e200`: 24 * time.Hour, `"Infinity"`: 24 * time.Hour,
		``: assumed, `null`: assumed, `true`: assumed, `""`: assumed, `"soon"`: assumed, `"NaN"`: assumed, `{}`: assumed, `[300]`: assumed,
	} {
		t.Run(raw, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
					if raw == "" {
						fmt.Fprint(w, `{"access_token":"t","token_type":"bearer"}`)
						return
					}
					fmt.Fprintf(w, `{"access_token":"t","token_type":"bearer","expires_in":%s}`, raw)
				})
				source := newTestSource(t, server)
				events := observed(server, source)
				getToken(t, source)
				if e := events()[0]; e.Lifetime != want || e.LifetimeAssumed != (want == assumed) {
					t.Errorf("lifetime is %v, assumed is %v; want %v", e.Lifetime, e.LifetimeAssumed, want)
				}
			})
		})
	}
}

func TestF36UnusualResponsesThatHaveAToken(t *testing.T) {
	for name, c := range map[string]struct{ contentType, body string }{
		"text/plain":         {"text/plain", `{"access_token":"t","token_type":"Bearer"}`},
		"no content type":    {"", `{"access_token":"t","token_type":"Bearer"}`},
		"upper case":         {"application/json", `{"access_token":"t","token_type":"BEARER"}`},
		"lower case":         {"application/json", `{"access_token":"t","token_type":"bearer"}`},
		"white space":        {"application/json", " \r\n{\"access_token\":\"t\",\"token_type\":\"Bearer\"}\n"},
		"unknown members":    {"application/json", `{"access_token":"t","token_type":"Bearer","not-before-policy":0,"x":{"y":[]}}`},
		"empty error":        {"application/json", `{"access_token":"t","token_type":"Bearer","error":""}`},
		"null among others":  {"application/json", `{"access_token":"t","token_type":"Bearer","scope":null,"error":null}`},
		"no token type":      {"application/json", `{"access_token":"t"}`},
		"empty token type":   {"application/json", `{"access_token":"t","token_type":""}`},
		"odd token type":     {"application/json", `{"access_token":"t","token_type":["Bearer"]}`},
		"scopes in a list":   {"application/json", `{"access_token":"t","token_type":"Bearer","scope":["esign"]}`},
		"scopes as object":   {"application/json", `{"access_token":"t","token_type":"Bearer","scope":{"esign":true}}`},
		"false for error":    {"application/json", `{"access_token":"t","token_type":"Bearer","error":false}`},
		"zero for error":     {"application/json", `{"access_token":"t","token_type":"Bearer","error":0}`},
		"no object of error": {"application/json", `{"access_token":"t","token_type":"Bearer","error":{}}`},
		"no list of errors":  {"application/json", `{"access_token":"t","token_type":"Bearer","error":[]}`},
		"odd lifetime":       {"application/json", `{"access_token":"t","token_type":"Bearer","expires_in":{"seconds":300}}`},
		"list of lifetimes":  {"application/json", `{"access_token":"t","token_type":"Bearer","expires_in":[300]}`},
		"true for lifetime":  {"application/json", `{"access_token":"t","token_type":"Bearer","expires_in":true}`},
		"odd description":    {"application/json", `{"access_token":"t","token_type":"Bearer","error_description":5,"refresh_token":{},"id_token":[]}`},
		"byte order mark":    {"application/json; charset=utf-8", "\ufeff" + `{"access_token":"t","token_type":"Bearer"}` + "\r\n\t "},
	} {
		t.Run(name, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{c.contentType}
				fmt.Fprint(w, c.body)
			})
			wantBearer(t, getToken(t, newTestSource(t, server)), "t")
		})
	}
}

// If a bound token was asked for, the response must say that the token is bound.
func TestBoundTokenSaysSo(t *testing.T) {
	for _, kind := range []string{``, `,"token_type":""`, `,"token_type":null`, `,"token_type":5`, `,"token_type":["DPoP"]`, `,"token_type":"Bearer"`} {
		synctest.Test(t, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"access_token":"t"%s}`, kind) })
			source := newTestSource(t, server, func(c *tokenauth.Config) { c.DPoP = true })
			if failure := getError(t, source); failure.Cause != tokenauth.CauseUnusable {
				t.Errorf("%s: the error is %v", kind, failure)
			}
		})
	}
}

func TestF36ResponsesWithoutAToken(t *testing.T) {
	const unavailable, refused, unusable = tokenauth.CauseUnavailable, tokenauth.CauseRefused, tokenauth.CauseUnusable
	for name, c := range map[string]struct {
		status int
		body   string
		cause  tokenauth.Cause
		code   string
	}{
		"html":                 {200, "<!doctype html><p>Please log in", unusable, ""},
		"empty":                {200, "", unusable, ""},
		"blank":                {200, " \n", unusable, ""},
		"null":                 {200, "null", unusable, ""},
		"array":                {200, "[]", unusable, ""},
		"object":               {200, "{}", unusable, ""},
		"no content":           {204, "", unusable, ""},
		"created":              {201, `{"access_token":"t","token_type":"Bearer"}`, unusable, ""},
		"2 MiB":                {200, `{"access_token":"` + strings.Repeat("a", 2<<20) + `"}`, unusable, ""},
		"200 with error":       {200, `{"error":"invalid_client"}`, refused, "invalid_client"},
		"error beside a token": {200, `{"error":"invalid_scope","access_token":"t","token_type":"Bearer"}`, refused, "invalid_scope"},
		"form":                 {200, "access_token=t&token_type=bearer", unusable, ""},
		"no token":             {200, `{"token_type":"Bearer"}`, unusable, ""},
		"number for a token":   {200, `{"access_token":5,"token_type":"Bearer"}`, unusable, ""},
		"empty token":          {200, `{"access_token":"","token_type":"Bearer"}`, unusable, ""},
		"line break in token":  {200, `{"access_token":"a\r\nX-Evil: 1","token_type":"Bearer"}`, unusable, ""},
		"space in token":       {200, `{"access_token":"a b","token_type":"Bearer"}`, unusable, ""},
		"umlaut in token":      {200, `{"access_token":"aø","token_type":"Bearer"}`, unusable, ""},
		"nul in token":         {200, `{"access_token":"a\u0000","token_type":"Bearer"}`, unusable, ""},
		"DPoP":                 {200, `{"access_token":"t","token_type":"DPoP"}`, unusable, ""},
		"another type":         {200, `{"access_token":"t","token_type":"mac"}`, unusable, ""},
		"array for a token":    {200, `{"access_token":["t"],"token_type":"Bearer"}`, unusable, ""},
		"true for an error":    {200, `{"access_token":"t","token_type":"Bearer","error":true}`, unusable, ""},
		"object for an error":  {200, `{"access_token":"t","token_type":"Bearer","error":{"code":"invalid_client"}}`, unusable, ""},
		"two responses":        {200, `{"access_token":"t","token_type":"Bearer"}{}`, unusable, ""},
		"odd description":      {400, `{"error":"invalid_client","error_description":["x",5],"error_uri":{}}`, refused, "invalid_client"},
		"error after a mark":   {400, "\ufeff" + `{"error":"invalid_client"}`, refused, "invalid_client"},
		"odd scope of error":   {401, `{"scope":["a"],"error":"invalid_client","expires_in":{}}`, refused, "invalid_client"},
		"400":                  {400, `{"error":"invalid_grant"}`, refused, "invalid_grant"},
		"401":                  {401, `{"error":"unauthorized_client"}`, refused, "unauthorized_client"},
		"401 without a code":   {401, "", refused, ""},
		"403 of a middle-box":  {403, "<html>", refused, ""},
		"400 without a code":   {400, "<html>", unusable, ""},
		"unknown code":         {400, `{"error":"because ` + testClientSecret + `"}`, refused, "other"},
		"code of another type": {400, `{"error":{"code":1}}`, unusable, ""},
		"429":                  {429, "", unavailable, ""},
		"500":                  {500, "<html>", unavailable, ""},
		"503 with a code":      {503, `{"error":"temporarily_unavailable"}`, unavailable, "temporarily_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(c.status)
					fmt.Fprint(w, c.body)
				})
				failure := getError(t, newTestSource(t, server))
				if failure.Cause != c.cause || failure.Status != c.status || failure.Code != c.code || failure.Op != "token request" {
					t.Errorf("cause %v, status %d, code %q; want %v, %d, %q", failure.Cause, failure.Status, failure.Code, c.cause, c.status, c.code)
				}
				wantNoSecret(t, failure.Error())
				if len(failure.Error()) > 200 {
					t.Errorf("the error is %d characters long", len(failure.Error()))
				}
				wantRequests(t, server, 1)
			})
		})
	}
}

func TestF39TokenRequestFollowsNoRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, method := range []tokenauth.AuthMethod{tokenauth.ClientSecretBasic, tokenauth.ClientSecretPost} {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, "https://evil.test/protocol/openid-connect/token", status)
				})
				source := newTestSource(t, server, func(c *tokenauth.Config) { c.AuthMethod = method })
				source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host == "evil.test" {
						t.Errorf("%s %s", r.Method, r.URL)
					}
					return server.Client().Transport.RoundTrip(r)
				})}})
				failure := getError(t, source)
				if failure.Cause != tokenauth.CauseUnusable || failure.Status != status {
					t.Errorf("cause %v, status %d", failure.Cause, failure.Status)
				}
				wantRequests(t, server, 1)
			})
		}
	}
}

// closing is a handler that closes the connection the first n times.
func closing(t *testing.T, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if n--; n < 0 {
			tokenauthtest.WriteToken(w, "t", 300)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}
}

func TestF40ClosedIdleConnectionIsRepairedByOneRepetition(t *testing.T) {
	for _, c := range []struct {
		closed    int
		keepAlive bool
		requests  int
		ok        bool
	}{
		{1, true, 2, true},
		{2, true, 2, false},  // once
		{1, false, 1, false}, // not on a new connection
	} {
		server := tokenauthtest.NewHTTPServer()
		defer server.Close()
		server.HandleToken(closing(t, c.closed))
		transport := &http.Transport{DisableKeepAlives: !c.keepAlive}
		defer transport.CloseIdleConnections()
		source := newTestSource(t, server)
		source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: transport}})
		// If connections are kept alive, there is one from discovery.
		_, err := source.Token(t.Context())
		if ok := err == nil; ok != c.ok || len(server.TokenRequests()) != c.requests {
			t.Errorf("%+v: %d token requests, error %v", c, len(server.TokenRequests()), err)
		}
		if failure, ok := errors.AsType[*tokenauth.Error](err); ok && failure.Cause != tokenauth.CauseUnavailable {
			t.Errorf("%+v: cause is %v, want unavailable", c, failure.Cause)
		}
	}
}

func FuzzTokenResponse(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"t","token_type":"Bearer","expires_in":300,"scope":"a b"}`, `{"access_token":"t","token_type":"bearer","expires_in":"1e400"}`,
		`{"access_token":"\n","token_type":"bearer"}`, `{"access_token":"t","token_type":"bearer","expires_in":-1}`,
		`{"error":"invalid_client","error_description":"x"}`, `{"error":5}`, `null`, ``, `<html>`, `[`,
	} {
		f.Add(200, []byte(seed))
		f.Add(400, []byte(seed))
	}
	document := `{"issuer":"https://a.test","token_endpoint":"https://a.test/t"}`
	provider, err := tokenauth.NewProvider("https://a.test")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		source, err := tokenauth.NewSource(tokenauth.Config{Provider: provider, Credentials: testCredentials})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			res := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}
			if r.Method == http.MethodGet {
				res.StatusCode, res.Body = http.StatusOK, io.NopCloser(strings.NewReader(document))
			}
			return res, nil
		})}})
		token, err := source.Token(t.Context())
		if err != nil {
			if failure, ok := errors.AsType[*tokenauth.Error](err); !ok || token != nil || len(failure.Error()) > 200 {
				t.Fatalf("error is %T: %v", err, err)
			}
			return
		}
		value, ok := strings.CutPrefix(token.Authorization(), "Bearer ")
		if !ok || value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Fatalf("Authorization is %q", token.Authorization())
		}
		if status != http.StatusOK || time.Until(token.ExpiresAt()) > 24*time.Hour {
			t.Fatalf("a token of status %d until %v", status, token.ExpiresAt())
		}
	})
}
