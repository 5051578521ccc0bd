package sandbox_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// The journey of BankID's sample: assertion and proof, a bound token, then a
// call of each path with a proof of its own.
func TestB2BJourney(t *testing.T) {
	key, p := newKey(t), newProver(t)
	s := newServer(t, sandbox.Options{Clients: []sandbox.Client{{
		ID: "key-client", Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{publicJWK(key, "1", "ES256")}}, DPoPRequired: true,
	}}})
	w := askByAssertion(t, withProofs(s, p.prove(t, "POST", tokenURL, "", nil)), assert(t, jose.ES256, key, "1", nil), url.Values{"scope": {"esign/b2b"}})
	token, _ := decode[map[string]any](t, w, http.StatusOK)["access_token"].(string)
	post := func(path, body string) map[string]any {
		return decode[map[string]any](t, p.callB2B(t, s, token, path, body), http.StatusOK)
	}
	list := func(path, body string) []map[string]any {
		return decode[[]map[string]any](t, p.callB2B(t, s, token, path, body), http.StatusOK)
	}

	hash, document := hashOf("text"), pdf("x")
	tbs := `{"hash":"` + hash + `","mime_type":"text/plain","description":"d"}`
	const algorithms = `"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","signAlgo":"1.2.840.113549.1.1.11"`

	wantSDO(t, post("/v0/b2b/sdo_from_hash", tbs), hash)
	for _, sdo := range list("/v0/b2b/sdos_from_hashes", `{"tbs_hashes":[`+tbs+`,`+tbs+`]}`) {
		wantSDO(t, sdo, hash)
	}
	wantSDO(t, post("/v0/b2b/sdo_from_text", `{"text_to_sign":"text","description":"d"}`), hash)
	latin1 := post("/v0/b2b/sdo_from_text", `{"text_to_sign":"blåbær","description":"d"}`)
	wantSDO(t, latin1, hashOf("bl\xe5b\xe6r"))
	sdos := list("/v0/b2b/sdos_from_docs", `{"tbs_documents":[{"text_to_sign":"text","description":"d"},`+
		`{"pdf":"`+document+`","description":"d"},{"bidxml":{"xml":"<a/>","xsl":"<b/>"},"description":"d"}]}`)
	for i, want := range []string{hash, hashOf(string(pdftest.Plain("x"))), hashOf("<a/><b/>")} {
		wantSDO(t, sdos[i], want)
	}

	for _, path := range []string{hashPath, "/v0/b2b/pades/cmses_from_hashes"} {
		answer := post(path, `["`+hash+`","`+hashOf("other")+`"]`)
		results, _ := answer["sign_results"].([]any)
		if len(results) != 2 || answer["client_ocsp"] == "" {
			t.Fatalf("%s: %v", path, answer)
		}
		one, _ := results[0].(map[string]any)
		other, _ := results[1].(map[string]any)
		if one["signed_hash"] != hash {
			t.Errorf("%s: %v", path, one)
		}
		cms := func(result map[string]any) string {
			return `{"cms":"` + result["cms"].(string) + `","ocsp":"` + answer["client_ocsp"].(string) + `"}`
		}
		for _, what := range []string{
			`"mime_type":"text/plain","description":"d"`,
			`"document":{"text_to_sign":"text","description":"d"}`,
		} {
			wantSDO(t, post("/v0/b2b/sdo_from_cmses", `{"cms_and_ocsps":[`+cms(one)+`,`+cms(one)+`],`+what+`}`), hash)
			w := p.callB2B(t, s, token, "/v0/b2b/sdo_from_cmses", `{"cms_and_ocsps":[`+cms(one)+`,`+cms(other)+`],`+what+`}`)
			wantB2BError(t, w, http.StatusBadRequest, "invalid_request -- SIG-BB608")
		}
	}

	summary, _ := json.Marshal(post("/v0/b2b/ades/xades", `{"xmlBytesB64":"PGEvPg==",`+algorithms+`,"xadesType":"B","whatToSignId":"#a"}`)["adesVSummaries"])
	if !strings.Contains(string(summary), "SANDBOX: not signed") {
		t.Errorf("XAdES: %s", summary)
	}
	for _, level := range []string{"B", "LT"} {
		answer := post("/v0/b2b/ades/pades", `{"pdfBytesB64":"`+document+`",`+algorithms+`,"padesType":"`+level+`","reason":"r"}`)
		summary, _ := json.Marshal(answer["adesVSummaries"])
		sealed, err := base64.StdEncoding.DecodeString(answer["padesB64"].(string))
		if err != nil || !strings.Contains(string(summary), `"PAdES-BASELINE-`+level+`"`) || !comesFrom(sealed, document) ||
			bytes.Contains(sealed, []byte("/DSS ")) != (level == "LT") {
			t.Errorf("%s: %s: %v", level, summary, err)
		}
	}
}

// wantSDO checks that what stands for an SDO is for the hash, and says what it is.
func wantSDO(t testing.TB, answer map[string]any, hash string) {
	t.Helper()
	sdo, _ := answer["sdo"].(string)
	text, err := base64.StdEncoding.DecodeString(sdo)
	if err != nil || answer["signed_hash"] != hash || !bytes.Contains(text, []byte(">"+hash+"<")) || !bytes.HasPrefix(text, []byte("<SANDBOX>")) {
		t.Errorf("hash %v, want %q; SDO %q: %v", answer["signed_hash"], hash, text, err)
	}
}

func TestB2BCSCJourney(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	const path = "/v0/b2b/csc/v2/"
	for _, method := range []string{"GET", "POST"} {
		info := decode[map[string]any](t, send(t, s, call{method: method, target: path + "info"}), http.StatusOK)
		if info["specs"] == "" || !strings.Contains(info["name"].(string), "SANDBOX") {
			t.Errorf("info is %v", info)
		}
	}
	token := p.bound(t, s, "esign/b2b")

	type credential struct {
		ID   string `json:"credentialID"`
		Cert struct {
			Certificates [][]byte `json:"certificates"`
			Subject      string   `json:"subjectDN"`
		} `json:"cert"`
		Multisign int `json:"multisign"`
	}
	list := decode[struct {
		IDs   []string     `json:"credentialIDs"`
		Infos []credential `json:"credentialInfos"`
	}](t, p.callB2B(t, s, token, path+"credentials/list", `{"certificates":"chain","credentialInfo":true,"certInfo":true}`), http.StatusOK)
	if len(list.IDs) != 1 || len(list.Infos) != 1 || list.Infos[0].ID != list.IDs[0] || !strings.Contains(list.Infos[0].Cert.Subject, "SANDBOX") {
		t.Fatalf("list is %v", list)
	}
	info := decode[credential](t, p.callB2B(t, s, token, path+"credentials/info", `{"credentialID":"`+list.IDs[0]+`"}`), http.StatusOK)
	certificate, err := x509.ParseCertificate(info.Cert.Certificates[0])
	if err != nil || !bytes.Equal(certificate.Raw, list.Infos[0].Cert.Certificates[0]) {
		t.Fatalf("certificate: %v", err)
	}

	public, _ := certificate.PublicKey.(*rsa.PublicKey)
	hash := sha256.Sum256([]byte("text"))
	for algorithm, verify := range map[string]func(signature []byte) error{
		`"signAlgo":"1.2.840.113549.1.1.11"`: func(signature []byte) error {
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, hash[:], signature)
		},
		`"signAlgo":"1.2.840.113549.1.1.1","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1"`: func(signature []byte) error {
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, hash[:], signature)
		},
		`"signAlgo":"1.2.840.113549.1.1.10","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1"`: func(signature []byte) error {
			return rsa.VerifyPSS(public, crypto.SHA256, hash[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		},
	} {
		body := `{"credentialID":"` + list.IDs[0] + `","hashes":["` + hashOf("text") + `"],` + algorithm + `}`
		answer := decode[struct {
			Signatures [][]byte `json:"signatures"`
			OCSP       []byte   `json:"ocspResponse"`
		}](t, p.callB2B(t, s, token, path+"signatures/signHash", body), http.StatusOK)
		if len(answer.Signatures) != 1 || len(answer.OCSP) == 0 {
			t.Fatalf("%s: %v", algorithm, answer)
		}
		if err := verify(answer.Signatures[0]); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// Whatever comes as a request, the answer is a seal or a refusal; it is 401 once
// the token has expired.
func FuzzB2BRequest(f *testing.F) {
	s, p := newServer(f, sandbox.Options{}), newProver(f)
	token := p.bound(f, s, "esign/b2b")
	paths := []string{
		"sdo_from_hash", "sdos_from_hashes", "cmses_from_hashes", "pades/cmses_from_hashes", "sdo_from_text", "sdos_from_docs",
		"sdo_from_cmses", "ades/xades", "ades/pades", "csc/v2/credentials/list", "csc/v2/credentials/info", "csc/v2/signatures/signHash",
	}
	for i := range paths {
		for _, body := range []string{
			"", "null", "{}", "[]", `"n"`, `["` + hashOf("a") + `"]`, `{"tbs_hashes":[{}]}`, `{"document":{"bidxml":{}}}`,
			`{"tbs_documents":[{"bidxml":{"xml":"a","xsl":"b"},"description":"d"}]}`, strings.Repeat("[", 20_000),
			`{"cms_and_ocsps":[{"cms":"MIAGCSqGSIb3DQEHAqCAAAAAAA==","ocsp":"eA=="}],"mime_type":"text/plain","description":"d"}`,
			`{"text_to_sign":"\ud800\u0000","description":"\"\\"}`,
		} {
			f.Add(byte(i), body)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, body string) {
		path := "/v0/b2b/" + paths[int(which)%len(paths)]
		if w := p.callB2B(t, s, token, path, body); w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusUnauthorized {
			t.Errorf("%s: status %d, body %q", path, w.Code, w.Body)
		}
	})
}
