package sandbox_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// Credentials that a fuzzed call carries.
const (
	noCredential = iota
	goodCredential
	goodCredentialAndProof // of a bound token, and of the token endpoint
	credentialKinds
)

// FuzzEndpoints sends anything to each endpoint, with and without credentials
// that are good for it: none panics, hangs, or answers with a server's error.
// In queries, bodies and header values "{sign_id}" is a complete order's and
// "{sad}" and "{hash}" are a service token's.
func FuzzEndpoints(f *testing.F) {
	s := newServer(f, sandbox.Options{})
	paths, methods := s.Endpoints()
	p := newProver(f)
	seed := func(path, method string, credential byte, query, contentType, body string) {
		endpoint := slices.Index(paths, path)
		if endpoint < 0 {
			f.Fatalf("no endpoint %s", path)
		}
		f.Add(uint(endpoint), method, credential, query, contentType, "Accept", "*/*", []byte(body))
	}
	for _, path := range paths {
		for _, method := range methods[path] {
			seed(path, method, noCredential, "", jsonType, "{}")
			seed(path, method, goodCredentialAndProof, "", jsonType, "{}")
			for body, contentType := range journeyBodies() {
				seed(path, method, goodCredential, "sign_id={sign_id}", contentType, body)
			}
		}
	}
	seed("/csc/v2/oauth2/authorize", "GET", noCredential, "client_id=sandbox-client&response_type=code&state=x&redirect_uri=https%3A%2F%2Frp.example", "", "")
	f.Fuzz(func(t *testing.T, endpoint uint, method string, credential byte, query, contentType, name, value string, content []byte) {
		path := paths[endpoint%uint(len(paths))]
		r := httptest.NewRequest(http.MethodGet, path, nil)
		known := append(slices.Clone(methods[path]), http.MethodPatch)
		if r.Method = method; !slices.Contains(known, method) {
			r.Method = known[len(method)%len(known)]
		}
		fill := filling(t, s, path, query+value+string(content))
		authorizeFuzzed(t, s, p, r, int(credential)%credentialKinds, fill)
		body := []byte(fill.Replace(string(content)))
		r = replaced(r, body)
		r.URL.RawQuery = fill.Replace(query)
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		if name != "" && !slices.Contains([]string{"Authorization", "Dpop", "Content-Type"}, http.CanonicalHeaderKey(name)) || credential%credentialKinds == noCredential {
			r.Header.Add(name, fill.Replace(value))
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		s.ClearFaults()
		if w.Code < 200 || w.Code >= 500 {
			t.Errorf("%s %s: status %d, body %q", r.Method, path, w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") == jsonType && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: body %q", r.Method, path, w.Body)
		}
	})
}

func replaced(r *http.Request, body []byte) *http.Request {
	with := httptest.NewRequest(r.Method, r.URL.Path, bytes.NewReader(body))
	with.Header = r.Header
	return with
}

// filling replaces what only a running sandbox knows.
func filling(t *testing.T, s *sandbox.Server, path, text string) *strings.Replacer {
	values := []string{"{hash}", base64.StdEncoding.EncodeToString(sum("a"))}
	wanted := strings.Contains(text, "{sign_id}")
	switch path {
	case "/v1/signdoc/pades", "/signdoc/pades", "/v1/timestamp/pades/lta":
		if wanted {
			id := opened(t, s, path, bearer(t, s, "esign esign/qtsa"))
			drive(t, s, id, "SIGN_COMPLETED")
			values = append(values, "{sign_id}", id)
		}
	case "/sandbox/orders":
		if wanted {
			values = append(values, "{sign_id}", opened(t, s, "/signdoc/pades", bearer(t, s, "esign")))
		}
	}
	if path == signHash {
		token, request := authorized(t, s, sum("a"))
		sad, _ := request["SAD"].(string)
		values = append(values, "{sad}", sad, "{service_token}", token)
	}
	return strings.NewReplacer(values...)
}

// authorizeFuzzed gives a request the credentials that its endpoint wants.
func authorizeFuzzed(t *testing.T, s *sandbox.Server, p *prover, r *http.Request, kind int, fill *strings.Replacer) {
	if kind == noCredential {
		return
	}
	path := r.URL.Path
	switch {
	case path == tokenPath && kind == goodCredential:
		r.Header.Set("Authorization", basic(sandbox.ClientID, sandbox.ClientSecret))
	case path == tokenPath:
		r.Header.Set("Authorization", basic(sandbox.B2BClientID, sandbox.B2BClientSecret))
		r.Header.Set("Dpop", p.prove(t, r.Method, tokenURL, "", nil))
	case path == signHash:
		r.Header.Set("Authorization", "Bearer "+fill.Replace("{service_token}"))
	case path == credentialsList:
		r.Header.Set("Authorization", "Bearer "+serviceToken(t, s, authorizationCode(t, s)))
	case strings.HasPrefix(path, "/csc/v2/credentials/"):
		r.Header.Set("Authorization", "Bearer "+listed(t, s))
	case strings.HasPrefix(path, "/v0/b2b/") || kind == goodCredentialAndProof:
		token := p.bound(t, s, "esign/b2b")
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("Dpop", p.prove(t, r.Method, bankid.Sandbox.ESign+path, token, nil))
	default:
		r.Header.Set("Authorization", bearer(t, s, "esign esign/csc esign/qtsa"))
	}
}

// journeyBodies are bodies of all journeys, with their media types.
func journeyBodies() map[string]string {
	jsonBodies := []string{
		orderBody(pdf("x")), `{}`, `[]`, `{"status":"REJECTED"}`, `{"effect":"hang","count":1}`,
		`{"credentialID":"sandbox-credential","certificates":"chain","certInfo":true}`,
		`{"credentialID":"sandbox-credential","numSignatures":1,"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","hashes":["{hash}"]}`,
		`{"credentialID":"sandbox-credential","SAD":"{sad}","signAlgo":"1.2.840.10045.4.3.2","hashes":["{hash}"]}`,
		`{"credentialID":"sandbox-b2b-credential","signAlgo":"1.2.840.113549.1.1.11","hashes":["{hash}"]}`,
		`{"hash":"{hash}","hashAlgo":"2.16.840.1.101.3.4.2.1","nonce":"1f"}`, `["{hash}"]`,
		`{"hash":"{hash}","mime_type":"text/plain","description":"x"}`, `{"text_to_sign":"x","description":"x"}`,
		`{"tbs_documents":[{"pdf":"JVBERi0=","description":"x"}]}`,
		`{"pdfBytesB64":"JVBERi0=","padesType":"B","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","signAlgo":"1.2.840.113549.1.1.11"}`,
	}
	bodies := map[string]string{
		"grant_type=client_credentials&scope=esign":                                        formType,
		"grant_type=client_credentials&scope=esign%2Fb2b":                                  formType,
		"grant_type=authorization_code&code=sandbox-fuzz&redirect_uri=https%3A%2F%2Frp.no": formType,
		"0\x03\x02\x01\x01": "application/timestamp-query",
	}
	for _, body := range jsonBodies {
		bodies[body] = jsonType
	}
	for _, wrap := range conversions() {
		bodies[wrap("["+toConvert(pdf("x"))+"]")] = jsonType
	}
	return bodies
}
