package sandbox_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// BankID's own sample must run against the sandbox: it is
// https://github.com/BankIDNorge/bankid-esign-b2b at commit
// 4a6c600bcb8b1db3c3a056f6b92ac66ff565a474. It cannot be shipped, so these tests
// make its calls, and read what comes back as it does.

// sampleText is signed as ISO 8859-1.
const sampleText = "Havet er blått, og æren er større."

// organisation is the certificate of a B2B credential, with its issuer.
func organisation(t *testing.T, s http.Handler, p *prover, token string) (id string, certificate, issuer *x509.Certificate) {
	t.Helper()
	list := decode[struct {
		Infos []struct {
			ID   string `json:"credentialID"`
			Cert struct {
				Certificates []string `json:"certificates"`
			} `json:"cert"`
		} `json:"credentialInfos"`
	}](t, p.callB2B(t, s, token, "/v0/b2b/csc/v2/credentials/list", `{"certificates":"chain","credentialInfo":true,"certInfo":true}`), http.StatusOK)
	if len(list.Infos) != 1 || len(list.Infos[0].Cert.Certificates) < 2 {
		t.Fatalf("list is %+v", list)
	}
	var chain []*x509.Certificate
	for _, text := range list.Infos[0].Cert.Certificates {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, parsed)
	}
	return list.Infos[0].ID, chain[0], chain[1]
}

// wholeOCSP puts a BasicOCSPResponse into an OCSPResponse that says successful.
func wholeOCSP(t *testing.T, basic []byte) []byte {
	t.Helper()
	type body struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	}
	whole, err := asn1.Marshal(struct {
		Status asn1.Enumerated
		Body   body `asn1:"explicit,tag:0"`
	}{Body: body{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}, basic}})
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// wantGood checks that a whole OCSP response says that a certificate is good, and
// that its issuer has delegated that to who signed it.
func wantGood(t *testing.T, response []byte, certificate, issuer *x509.Certificate) {
	t.Helper()
	answer, err := ocsp.ParseResponseForCert(response, certificate, issuer)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != ocsp.Good || answer.ThisUpdate.After(time.Now()) || answer.NextUpdate.Before(time.Now()) {
		t.Errorf("response is %+v", answer)
	}
	roots := x509.NewCertPool()
	roots.AddCert(issuer)
	if _, err := answer.Certificate.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}}); err != nil {
		t.Error(err)
	}
}

// The sample's CSCMiniExample: info, credentials/list, and a hash signed with PSS
// and SHA-512 without signAlgoParams. The BasicOCSPResponse becomes a whole one.
func TestSampleOfCSC(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	token := p.bound(t, s, "esign/b2b")
	info := send(t, s, call{method: "POST", target: "/v0/b2b/csc/v2/info", contentType: jsonType, body: strings.NewReader(`{"lang":"nn"}`)})
	if got := decode[map[string]any](t, info, http.StatusOK)["specs"]; got != "2.1.0.1" {
		t.Errorf("specs are %v", got)
	}
	id, certificate, issuer := organisation(t, s, p, token)
	public, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		t.Fatalf("key is %T", certificate.PublicKey)
	}
	hash := sha512.Sum512([]byte(sampleText))
	body := `{"credentialID":"` + id + `","hashes":["` + base64.StdEncoding.EncodeToString(hash[:]) + `"],` +
		`"signAlgo":"1.2.840.113549.1.1.10","hashAlgorithmOID":"2.16.840.1.101.3.4.2.3"}`
	answer := decode[struct {
		Signatures [][]byte `json:"signatures"`
		OCSP       []byte   `json:"ocspResponse"`
	}](t, p.callB2B(t, s, token, "/v0/b2b/csc/v2/signatures/signHash", body), http.StatusOK)
	if err := rsa.VerifyPSS(public, crypto.SHA512, hash[:], answer.Signatures[0], &rsa.PSSOptions{SaltLength: 64}); err != nil {
		t.Error(err)
	}
	if _, err := ocsp.ParseResponse(answer.OCSP, issuer); err == nil {
		t.Error("the response is not a basic one")
	}
	wantGood(t, wholeOCSP(t, answer.OCSP), certificate, issuer)
}

func TestParametersOfPSS(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	token := p.bound(t, s, "esign/b2b")
	id, _, _ := organisation(t, s, p, token)
	sha256 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	mgf1 := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	parameters := func(hash, function, mask asn1.ObjectIdentifier, salt int) string {
		inner, err := asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: mask})
		if err != nil {
			t.Fatal(err)
		}
		der, err := asn1.Marshal(struct {
			Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
			Mask pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
			Salt int                      `asn1:"explicit,tag:2"`
		}{
			pkix.AlgorithmIdentifier{Algorithm: hash},
			pkix.AlgorithmIdentifier{Algorithm: function, Parameters: asn1.RawValue{FullBytes: inner}},
			salt,
		})
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	const pss, pkcs1 = "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.1"
	sha512 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	for _, test := range []struct {
		algorithm, parameters string
		status                int
	}{
		{pss, parameters(sha256, mgf1, sha256, 32), http.StatusOK},
		{pss, parameters(sha256, mgf1, sha256, 20), http.StatusBadRequest},
		{pss, parameters(sha512, mgf1, sha256, 32), http.StatusBadRequest},
		{pss, parameters(sha256, mgf1, sha512, 32), http.StatusBadRequest},
		{pss, parameters(sha256, sha256, sha256, 32), http.StatusBadRequest},
		{pss, "MAA=", http.StatusBadRequest},
		{pss, "eA==", http.StatusBadRequest},
		{pss, "?", http.StatusBadRequest},
		{pkcs1, parameters(sha256, mgf1, sha256, 32), http.StatusBadRequest},
	} {
		body := `{"credentialID":"` + id + `","hashes":["` + hashOf("a") + `"],"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1",` +
			`"signAlgo":"` + test.algorithm + `","signAlgoParams":"` + test.parameters + `"}`
		if w := p.callB2B(t, s, token, "/v0/b2b/csc/v2/signatures/signHash", body); w.Code != test.status {
			t.Errorf("%s with %s: status %d, want %d: %s", test.algorithm, test.parameters, w.Code, test.status, w.Body)
		}
	}
}

// The sample's B2BMiniExample: CMS and OCSP of hashes, and an SDO of CMS in BER with
// indefinite lengths, as its example data are. The same signature may come twice.
func TestSampleOfSDO(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	token := p.bound(t, s, "esign/b2b")
	_, certificate, issuer := organisation(t, s, p, token)
	type signed struct {
		OCSP    []byte `json:"client_ocsp"`
		Results []struct {
			Hash string `json:"signed_hash"`
			CMS  []byte `json:"cms"`
		} `json:"sign_results"`
	}
	latin1 := strings.NewReplacer("å", "\xe5", "æ", "\xe6", "ø", "\xf8").Replace(sampleText)
	hashes := `["` + hashOf(latin1) + `","` + hashOf("other") + `"]`
	pades := decode[signed](t, p.callB2B(t, s, token, "/v0/b2b/pades/cmses_from_hashes", hashes), http.StatusOK)
	wantGood(t, pades.OCSP, certificate, issuer)
	dir := t.TempDir()
	write(t, dir, "response.der", pades.OCSP)
	write(t, dir, "organisation.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
	write(t, dir, "issuer.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Raw}))
	caOf(t, s, dir)
	said := mustOpenssl(t, dir, "ocsp", "-respin", "response.der", "-issuer", "issuer.pem", "-cert", "organisation.pem", "-CAfile", "ca.pem", "-verify_other", "issuer.pem", "-no_nonce")
	if !strings.Contains(said, "Response verify OK") || !strings.Contains(said, "organisation.pem: good") {
		t.Error("OpenSSL does not find the certificate good")
	}
	plain := decode[signed](t, p.callB2B(t, s, token, "/v0/b2b/cmses_from_hashes", hashes), http.StatusOK)
	wantGood(t, wholeOCSP(t, plain.OCSP), certificate, issuer)

	sdo := func(text string, cmses ...[]byte) (status int, answer map[string]string) {
		var list []string
		for _, cms := range cmses {
			list = append(list, `{"cms":"`+base64.StdEncoding.EncodeToString(cms)+`","ocsp":"`+base64.StdEncoding.EncodeToString(plain.OCSP)+`"}`)
		}
		w := p.callB2B(t, s, token, "/v0/b2b/sdo_from_cmses",
			`{"cms_and_ocsps":[`+strings.Join(list, ",")+`],"document":{"text_to_sign":"`+text+`","description":"Havet"}}`)
		return w.Code, decode[map[string]string](t, w, w.Code)
	}
	der := plain.Results[0].CMS
	ber := indefinite(t, der)
	if bytes.Equal(ber, der) || len(ber) < len(der) {
		t.Fatal("the CMS is still DER")
	}
	if status, answer := sdo(sampleText, ber, der, ber); status != http.StatusOK || answer["signed_hash"] != hashOf(latin1) {
		t.Errorf("status %d, answer %v", status, answer)
	}
	for name, answer := range map[string]func() (int, map[string]string){
		"another text":        func() (int, map[string]string) { return sdo("Et annet.", ber) },
		"another signature":   func() (int, map[string]string) { return sdo(sampleText, ber, plain.Results[1].CMS) },
		"something after it":  func() (int, map[string]string) { return sdo(sampleText, append(bytes.Clone(der), 0)) },
		"the end is left out": func() (int, map[string]string) { return sdo(sampleText, ber[:len(ber)-2]) },
	} {
		if status, answer := answer(); status != http.StatusBadRequest || answer["error"] != "invalid_request -- SIG-BB608" {
			t.Errorf("%s: status %d, answer %v", name, status, answer)
		}
	}
}

// indefinite gives the constructed values of DER indefinite lengths.
func indefinite(t *testing.T, der []byte) []byte {
	t.Helper()
	var all []byte
	for len(der) > 0 {
		var value asn1.RawValue
		rest, err := asn1.Unmarshal(der, &value)
		if err != nil {
			t.Fatal(err)
		}
		der = rest
		if !value.IsCompound {
			all = append(all, value.FullBytes...)
			continue
		}
		all = append(all, value.FullBytes[0], 0x80)
		all = append(all, indefinite(t, value.Bytes)...)
		all = append(all, 0, 0)
	}
	return all
}

// The sample's PAdESFromPdfRemote and XAdESFromXmlRemote, and what BankID's
// document allows beside them.
func TestSampleOfAdES(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	token := p.bound(t, s, "esign/b2b")
	_, certificate, issuer := organisation(t, s, p, token)
	const sha384 = `"hashAlgorithmOID":"2.16.840.1.101.3.4.2.2","signAlgo":"1.2.840.113549.1.1.12"`
	const sha512 = `"hashAlgorithmOID":"2.16.840.1.101.3.4.2.3","signAlgo":"1.2.840.113549.1.1.13"`
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, request := range map[string]struct{ path, body string }{
		"PAdES":              {"pades", `{"pdfBytesB64":"` + pdf("x") + `",` + sha512 + `,"reason":"Testing","padesType":"LT"}`},
		"PAdES, all members": {"pades", `{"pdfBytesB64":"` + pdf("x") + `",` + sha512 + `,"reason":"","signerName":"n","location":"l","contactInfo":"c","padesType":"B"}`},
		"XAdES of a part":    {"xades", `{"xmlBytesB64":"` + encode("<a>\n<b id=\"part\"/></a>\n") + `",` + sha384 + `,"whatToSignId":"#part","xadesType":"LT"}`},
		"XAdES into a place": {"xades", `{"xmlBytesB64":"` + encode("<a><b id=\"place\"></b></a>") + `",` + sha512 + `,"whereToPlaceSignatureId":"#place","xadesType":"B"}`},
		"XML after a mark":   {"xades", `{"xmlBytesB64":"` + encode("\ufeff<?xml version=\"1.0\"?><a/>") + `",` + sha384 + `,"xadesType":"B"}`},
		"XML in UTF-16":      {"xades", `{"xmlBytesB64":"` + encode("\xff\xfe<\x00a\x00/\x00>\x00") + `",` + sha384 + `,"whatToSignId":"","xadesType":"B"}`},
	} {
		answer := decode[struct {
			OCSP      []byte           `json:"ocspB64"`
			Summaries []map[string]any `json:"adesVSummaries"`
		}](t, p.callB2B(t, s, token, "/v0/b2b/ades/"+request.path, request.body), http.StatusOK)
		wantGood(t, wholeOCSP(t, answer.OCSP), certificate, issuer)
		if len(answer.Summaries) != 1 {
			t.Errorf("%s: summaries are %v", name, answer.Summaries)
		}
	}
}

// An empty list of hashes has no results, and not null. Of two paths with the same
// members, one allows an empty description.
func TestWhatB2BAllows(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	token := p.bound(t, s, "esign/b2b")
	for _, path := range []string{"/v0/b2b/cmses_from_hashes", "/v0/b2b/pades/cmses_from_hashes"} {
		if results, ok := decode[map[string]any](t, p.callB2B(t, s, token, path, `[]`), http.StatusOK)["sign_results"].([]any); !ok || len(results) != 0 {
			t.Errorf("%s: results are %v", path, results)
		}
	}
	empty := `{"hash":"` + hashOf("a") + `","mime_type":"text/plain","description":""}`
	if w := p.callB2B(t, s, token, "/v0/b2b/sdos_from_hashes", `{"tbs_hashes":[`+empty+`]}`); w.Code != http.StatusOK {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	wantB2BError(t, p.callB2B(t, s, token, "/v0/b2b/sdo_from_hash", empty), http.StatusBadRequest, "json_validation_error -- SIG_BB600")
}
