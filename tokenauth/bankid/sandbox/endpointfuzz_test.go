package sandbox_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// Credentials that a fuzzed call carries.
const (
	noCredential = iota // or whatever the fuzzed header is
	goodCredential
	goodCredentialAndProof // of a bound token, and of the token endpoint
	credentialKinds
)

// FuzzEndpoints sends anything to each endpoint, with and without credentials
// that are good for it, and with and without a fault: none panics, hangs, or
// answers with a server's error that nobody asked for. In queries, bodies and
// header values names in braces stand for what only a running sandbox knows.
func FuzzEndpoints(f *testing.F) {
	key, p := newKey(f), newProver(f)
	s := newServer(f, sandbox.Options{Clients: []sandbox.Client{{
		ID: "key-client", Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{publicJWK(key, "1", "ES256")}},
	}}})
	paths, methods := s.Endpoints()
	for i, path := range paths {
		for _, method := range methods[path] {
			add := func(credential byte, query, contentType, fault, body string) {
				f.Add(uint(i), method, credential, query, contentType, "Accept", "*/*", fault, []byte(body))
			}
			add(noCredential, "", jsonType, "", "{}")
			add(goodCredentialAndProof, "", jsonType, `{"effect":"demand_nonce"}`, "{}")
			add(goodCredential, "", jsonType, `{"effect":"status","status":429,"code":"x","client_id":"sandbox-client","late":true}`, "{}")
			add(goodCredential, "", jsonType, `{"effect":"broken_json"}`, "{}")
			for body, contentType := range journeyBodies() {
				if strings.Contains(body, "{assertion}") {
					add(noCredential, "", contentType, "", body)
				}
				add(goodCredential, "sign_id={sign_id}", contentType, "", body)
			}
		}
	}
	authorize := uint(slices.Index(paths, authorizePath)) //nolint:gosec // it is there
	f.Add(authorize, "GET", byte(noCredential), "client_id=sandbox-client&response_type=code&state=x&redirect_uri=https%3A%2F%2Frp.example", "", "", "", "", []byte(nil))

	f.Fuzz(func(t *testing.T, endpoint uint, method string, credential byte, query, contentType, name, value, fault string, content []byte) {
		path := paths[endpoint%uint(len(paths))]
		known := append(slices.Clone(methods[path]), http.MethodPatch)
		if !slices.Contains(known, method) {
			method = known[len(method)%len(known)]
		}
		fill := filling(t, s, p, key, path, query+value+string(content))
		r := httptest.NewRequest(method, path, strings.NewReader(fill.Replace(string(content))))
		r.Host = sandbox.Address
		if strings.HasSuffix(path, "/events") { // it would last until the client leaves
			gone, leave := context.WithCancel(t.Context())
			leave()
			r = r.WithContext(gone)
		}
		authorizeFuzzed(t, s, p, r, int(credential)%credentialKinds, fill)
		r.URL.RawQuery = fill.Replace(query)
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		if name != "" {
			r.Header.Add(name, fill.Replace(value))
		}
		effect := afflict(s, fault)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if effect == "" {
			record(t, r, w)
		}
		s.ClearFaults()
		if w.Code < 200 || w.Code >= 500 && effect != sandbox.Status {
			t.Errorf("%s %s: status %d, body %q", method, path, w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") == jsonType && !json.Valid(w.Body.Bytes()) && effect != sandbox.BrokenJSON {
			t.Errorf("%s %s: body %q", method, path, w.Body)
		}
	})
}

// afflict injects a fault, if there is one and it neither takes time nor ends
// the connection.
func afflict(s *sandbox.Server, text string) sandbox.Effect {
	var fault sandbox.Fault
	if json.Unmarshal([]byte(text), &fault) != nil || slices.Contains([]sandbox.Effect{sandbox.Delay, sandbox.Hang, sandbox.Reset}, fault.Effect) || s.Inject(fault) != nil {
		return ""
	}
	return fault.Effect
}

// filling replaces what only a running sandbox knows.
func filling(t *testing.T, s *sandbox.Server, p *prover, key any, path, text string) *strings.Replacer {
	values := []string{"{hash}", hashOf("a")}
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
	if strings.Contains(text, "{assertion}") {
		values = append(values, "{assertion}", assert(t, jose.ES256, key, "1", nil))
	}
	if path == "/v0/b2b/sdo_from_cmses" && strings.Contains(text, "{cms}") {
		w := p.callB2B(t, s, p.bound(t, s, "esign/b2b"), hashPath, `["`+hashOf("a")+`"]`)
		results, _ := decode[map[string]any](t, w, http.StatusOK)["sign_results"].([]any)
		result, _ := results[0].(map[string]any)
		cms, _ := result["cms"].(string)
		values = append(values, "{cms}", cms)
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
		orderBody(pdf("x")), `[]`, `{"status":"REJECTED"}`, `{"effect":"hang","count":1}`,
		`{"effect":"status","status":429,"retry_after":"1s"}`, `{"effect":"rotate_key"}`, `{"effect":"move_clock","offset":"-1h"}`,
		`{"certificates":"chain","credentialInfo":true,"certInfo":true,"authInfo":true}`,
		`{"cms_and_ocsps":[{"cms":"{cms}","ocsp":"eA=="}],"mime_type":"text/plain","description":"x"}`,
		`{"xmlBytesB64":"PGEvPg==","xadesType":"LT","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","signAlgo":"1.2.840.113549.1.1.11"}`,
		`{"credentialID":"sandbox-credential","certificates":"chain","certInfo":true}`,
		`{"credentialID":"sandbox-credential","numSignatures":1,"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","hashes":["{hash}"]}`,
		`{"credentialID":"sandbox-credential","SAD":"{sad}","signAlgo":"1.2.840.10045.4.3.2","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","hashes":["{hash}"]}`,
		`{"kty":"EC","kid":"2","use":"sig","alg":"ES256","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`,
		`{"credentialID":"sandbox-b2b-credential","signAlgo":"1.2.840.113549.1.1.11","hashes":["{hash}"]}`,
		`{"hash":"{hash}","hashAlgo":"2.16.840.1.101.3.4.2.1","nonce":"1f"}`, `["{hash}"]`,
		`{"hash":"{hash}","mime_type":"text/plain","description":"x"}`, `{"text_to_sign":"x","description":"x"}`,
		`{"tbs_documents":[{"pdf":"` + pdf("x") + `","description":"x"}]}`,
		`{"pdfBytesB64":"` + pdf("x") + `","padesType":"B","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","signAlgo":"1.2.840.113549.1.1.11"}`,
	}
	bodies := map[string]string{
		"grant_type=client_credentials&scope=esign":       formType,
		"grant_type=client_credentials&scope=esign%2Fb2b": formType,
		"grant_type=authorization_code&code=sandbox-fuzz&redirect_uri=https%3A%2F%2Frp.no&code_verifier=" + sandbox.CodeVerifier:                            formType,
		"grant_type=client_credentials&client_assertion={assertion}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer": formType,
		"0\x39\x02\x01\x01\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20" + strings.Repeat("h", 32) + "\x01\x01\xff":          queryType,
	}
	for _, body := range jsonBodies {
		bodies[body] = jsonType
	}
	for _, wrap := range conversions() {
		bodies[wrap("["+toConvert(pdf("x"))+"]")] = jsonType
	}
	return bodies
}
