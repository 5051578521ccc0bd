package sandbox_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// FuzzCSC sends anything to each endpoint, with a token that is good for it.
func FuzzCSC(f *testing.F) {
	for _, body := range []string{
		`{"credentialID":"sandbox-credential","certificates":"chain","certInfo":true,"credentialInfo":true}`,
		`{"credentialID":"sandbox-credential","numSignatures":1,"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","hashes":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}`,
		`{"credentialID":"sandbox-credential","SAD":"x","signAlgo":"1.2.840.10045.4.3.2","hashes":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}`,
		`{"userID":null,"certificates":1}`, `{"numSignatures":-1e99}`, `{"hashes":[null]}`, `[[`, `null`, ``,
		"client_id=sandbox-client&response_type=code&state=a%00b&redirect_uri=https%3A%2F%2Frp.example%3Fq%2523",
		"client_id=sandbox-client&lang=xx&redirect_uri=http://[::1]:x/%zz",
		"client_id=sandbox-client&response_type=code&redirect_uri=https://rp.example&code_challenge_method=S256&code_challenge=" + challenge,
		"grant_type=authorization_code&code=SANDBOX-x&redirect_uri=x&code_verifier=" + sandbox.CodeVerifier,
	} {
		for endpoint := range byte(7) {
			f.Add(endpoint, []byte(body))
		}
	}
	s := newServer(f, sandbox.Options{})
	f.Fuzz(func(t *testing.T, endpoint byte, content []byte) {
		post := call{method: "POST", contentType: jsonType, body: bytes.NewReader(content)}
		switch endpoint % 7 {
		case 0:
			authorizeAnything(t, s, string(content))
			return
		case 1:
			post.target, post.contentType, post.authorization = "/csc/v2/oauth2/token", formType, bearer(t, s, "esign/csc")
		case 2:
			post.target = "/csc/v2/info"
		case 3:
			post.target, post.authorization = credentialsList, "Bearer "+serviceToken(t, s, "sandbox-fuzz")
		case 4:
			post.target, post.authorization = credentialsInfo, "Bearer "+listed(t, s)
		case 5:
			post.target, post.authorization = credentialsAuthorize, "Bearer "+listed(t, s)
		case 6:
			token, _ := authorized(t, s, sum("a"))
			post.target, post.authorization = signHash, "Bearer "+token
		}
		w := send(t, s, post)
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("body %q: %v", w.Body, err)
		}
		switch w.Code {
		case http.StatusOK:
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			code, description := "errorCode", "errorDescription"
			if post.contentType == formType {
				code, description = "error", "error_description"
			}
			if answer[code] == nil || answer[description] == nil {
				t.Errorf("body is %v", answer)
			}
		default:
			t.Errorf("status %d, body %q", w.Code, w.Body)
		}
	})
}

// authorizeAnything sends any query to the authorize endpoint: it is refused,
// or leads to a place that a browser understands.
func authorizeAnything(t *testing.T, s http.Handler, query string) {
	r := httptest.NewRequest(http.MethodGet, authorizePath, nil)
	r.Host = sandbox.Address
	r.URL.RawQuery = query
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	record(t, r, w)
	switch w.Code {
	case http.StatusBadRequest:
		decode[map[string]string](t, w, http.StatusBadRequest)
	case http.StatusFound:
		location, err := url.Parse(w.Header().Get("Location"))
		if err != nil || location.Host == "" || location.Fragment != "" || !location.Query().Has("code") && !location.Query().Has("error") {
			t.Errorf("Location %q: %v", location, err)
		}
	default:
		t.Errorf("status %d", w.Code)
	}
}
