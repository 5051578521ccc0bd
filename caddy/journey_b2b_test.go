package caddyesign_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

const (
	cmsesFromHashes = "/v0/b2b/cmses_from_hashes"
	b2bCSC          = "/v0/b2b/csc/v2"
)

// sha256WithRSA is the object identifier of RSA with SHA-256.
const sha256WithRSA = "1.2.840.113549.1.1.11"

// sealed asserts that a call reached the bank with a proof and a bound token, which the
// caller does not have.
func (r *reply) sealed() *reply {
	r.t.Helper()
	r.passed(1, 200)
	if e := r.seen[0]; e.proof == "" || len(e.authorization) != 1 || !strings.HasPrefix(e.authorization[0], "DPoP ") {
		r.t.Errorf("%s carries %q and proof %q", e.call, e.authorization, e.proof)
	}
	return r
}

// organisation returns the certificate of the organisation that makes the seal.
func (j *journey) organisation() (credential string, certificate *x509.Certificate) {
	j.t.Helper()
	var list struct {
		IDs []string `json:"credentialIDs"`
	}
	j.post(b2bCSC+"/credentials/list", "{}").sealed().into(&list)
	if len(list.IDs) != 1 {
		j.t.Fatalf("the credentials are %v", list.IDs)
	}
	var info struct {
		Cert struct {
			Certificates [][]byte `json:"certificates"`
		} `json:"cert"`
	}
	j.post(b2bCSC+"/credentials/info", `{"credentialID":"`+list.IDs[0]+`","certificates":"single"}`).sealed().into(&info)
	if len(info.Cert.Certificates) != 1 {
		j.t.Fatalf("there are %d certificates", len(info.Cert.Certificates))
	}
	certificate, err := x509.ParseCertificate(info.Cert.Certificates[0])
	if err != nil {
		j.t.Fatal(err)
	}
	return list.IDs[0], certificate
}

// Journey D: an organisation makes seals, from hashes and with CSC. Its applications
// hold neither a key, nor a token, nor a proof.
func TestJourneyOfASeal(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	for _, method := range []string{"GET", "POST"} {
		j.call(method, b2bCSC+"/info", "").passed(1, 200).bare().says("SANDBOX")
	}
	document := []byte(rand.Text())
	credential, certificate := j.organisation()

	var seals struct {
		Results []struct {
			Hash string `json:"signed_hash"`
			CMS  []byte `json:"cms"`
		} `json:"sign_results"`
	}
	j.post(cmsesFromHashes, `["`+hashOf(document)+`"]`).sealed().into(&seals)
	if len(seals.Results) != 1 || seals.Results[0].Hash != hashOf(document) {
		t.Fatalf("the results are %+v", seals.Results)
	}

	var signed struct {
		Signatures [][]byte `json:"signatures"`
	}
	j.post(b2bCSC+"/signatures/signHash", fmt.Sprintf(`{"credentialID":%q,"hashes":[%q],"signAlgo":%q}`,
		credential, hashOf(document), sha256WithRSA)).sealed().into(&signed)
	if len(signed.Signatures) != 1 {
		t.Fatalf("there are %d signatures", len(signed.Signatures))
	}
	if err := certificate.CheckSignature(x509.SHA256WithRSA, document, signed.Signatures[0]); err != nil {
		t.Error(err)
	}
	if n := j.bank.granted("esign/b2b"); n != 1 {
		t.Errorf("there are %d tokens, want one for the whole journey", n)
	}

	j.write("document", document)
	j.write("seal.der", seals.Results[0].CMS)
	j.write("signature.bin", signed.Signatures[0])
	organisation := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
	j.write("organisation.pem", organisation)
	// The organisation may vouch for itself, or the sandbox's authority may vouch for
	// it.
	j.write("trusted.pem", append(organisation, j.visit("GET", "/sandbox/ca.pem", "").is(200).body...))
	j.openssl("CMS Verification successful", "cms", "-verify", "-inform", "DER", "-in", "seal.der", "-binary",
		"-content", "document", "-CAfile", "trusted.pem", "-purpose", "any", "-out", "verified")
	j.openssl("", "x509", "-in", "organisation.pem", "-noout", "-pubkey", "-out", "public.pem")
	j.openssl("Verified OK", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature.bin", "document")
}

// Each path of the B2B signer is called, each time with a new proof.
func TestJourneyOfEverySeal(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	hash, pdf := hashOf([]byte("text")), encoded(pdftest.Plain("Avtale"))
	tbs := `{"hash":"` + hash + `","mime_type":"text/plain","description":"d"}`
	const algorithms = `"hashAlgorithmOID":"` + sha256OID + `","signAlgo":"` + sha256WithRSA + `"`
	var seals struct {
		OCSP    string `json:"client_ocsp"`
		Results []struct {
			CMS string `json:"cms"`
		} `json:"sign_results"`
	}
	j.post("/v0/b2b/pades/cmses_from_hashes", `["`+hash+`"]`).sealed().into(&seals)
	proofs := make(map[string]bool)
	for path, body := range map[string]string{
		"sdo_from_hash":    tbs,
		"sdos_from_hashes": `{"tbs_hashes":[` + tbs + `]}`,
		"sdo_from_text":    `{"text_to_sign":"text","description":"d"}`,
		"sdos_from_docs":   `{"tbs_documents":[{"pdf":"` + pdf + `","description":"d"}]}`,
		"sdo_from_cmses": `{"cms_and_ocsps":[{"cms":"` + seals.Results[0].CMS + `","ocsp":"` + seals.OCSP + `"}],` +
			`"mime_type":"text/plain","description":"d"}`,
		"cmses_from_hashes": `["` + hash + `"]`,
		"ades/pades":        `{"pdfBytesB64":"` + pdf + `",` + algorithms + `,"padesType":"LT","reason":"r"}`,
		"ades/xades":        `{"xmlBytesB64":"PGEvPg==",` + algorithms + `,"xadesType":"B"}`,
	} {
		proofs[j.post("/v0/b2b/"+path, body).sealed().seen[0].proof] = true
	}
	if len(proofs) != 8 {
		t.Errorf("there are %d different proofs for 8 calls", len(proofs))
	}
}

func TestJourneyOfASealBroken(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	hash := hashOf([]byte("text"))
	list := func(n int) string { return `["` + strings.Repeat(hash+`","`, n-1) + hash + `"]` }
	const signHash = b2bCSC + "/signatures/signHash"
	sign := func(credential, hashes, algorithm string) string {
		return fmt.Sprintf(`{"credentialID":%q,"hashes":%s,"signAlgo":%q}`, credential, hashes, algorithm)
	}
	for _, test := range []struct{ name, path, body, says string }{
		{"no hash", "/v0/b2b/sdos_from_hashes", `{"tbs_hashes":[]}`, "1 to 15 elements"},
		{"16 hashes", cmsesFromHashes, list(16), "0 to 15 elements"},
		{"not base64", cmsesFromHashes, `["!"]`, "is not the base64 of a SHA-256 hash"},
		{"null member", "/v0/b2b/sdo_from_text", `{"text_to_sign":"x","description":null}`, ""},
		{"unknown member", "/v0/b2b/sdo_from_text", `{"text_to_sign":"x","description":"d","more":1}`, "is not the JSON of this request"},
		{"text over the limit", "/v0/b2b/sdo_from_text", `{"text_to_sign":"` + strings.Repeat("x", 5_000_001) + `","description":"d"}`, "more than 5000000 characters"},
		{"not a PDF", "/v0/b2b/ades/pades", `{"pdfBytesB64":"eA==","hashAlgorithmOID":"` + sha256OID + `","signAlgo":"` + sha256WithRSA + `","padesType":"B"}`, "is not a PDF file that can be read"},
		{"half of the JSON", cmsesFromHashes, `["`, "is not the JSON of this request"},
		{"unknown credential", signHash, sign("another", list(1), sha256WithRSA), "credentialID is missing or unknown"},
		{"51 hashes", signHash, sign("sandbox-b2b-credential", list(51), sha256WithRSA), "1 to 50 elements"},
		{"hash of another length", signHash, sign("sandbox-b2b-credential", `["eA=="]`, sha256WithRSA), "is not the base64 of a SHA-256 hash"},
		{"unknown algorithm", signHash, sign("sandbox-b2b-credential", list(1), ecdsaWithSHA256), "not a supported pair"},
		{"step of personal CSC", b2bCSC + "/credentials/list", `{"SAD":"x"}`, "is not the JSON of this request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			j.in(t)
			j.post(test.path, test.body).passed(1, 400).says(`"error":"`, ` -- SIG`, `"error_reference":"`, test.says)
		})
	}
}
