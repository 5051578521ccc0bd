package caddyesign_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"slices"
	"testing"

	"golang.org/x/oauth2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// These are the steps of a signing journey, and the URL that the person is sent back
// to.
const (
	cscToken             = "/csc/v2/oauth2/token"
	credentialsList      = "/csc/v2/credentials/list"
	credentialsInfo      = "/csc/v2/credentials/info"
	credentialsAuthorize = "/csc/v2/credentials/authorize"
	signHash             = "/csc/v2/signatures/signHash"

	redirectURI = "https://rp.example/callback?from=bankid"
)

// These are the object identifiers of SHA-256, and of ECDSA with SHA-256.
const (
	sha256OID       = "2.16.840.1.101.3.4.2.1"
	ecdsaWithSHA256 = "1.2.840.10045.4.3.2"
)

// hashOf returns the SHA-256 hash of content in base64.
func hashOf(content []byte) string {
	hash := sha256.Sum256(content)
	return encoded(hash[:])
}

// consent sends a browser to the bank, where the person consents. It returns the code
// that the browser brings back.
func (j *journey) consent() string {
	j.t.Helper()
	j.verifier = oauth2.GenerateVerifier()
	query := url.Values{
		"response_type": {"code"}, "client_id": {sandbox.ClientID}, "redirect_uri": {redirectURI},
		"state": {"s"}, "lang": {"nb"}, "scope": {"esign/csc"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(j.verifier)}, "code_challenge_method": {"S256"},
	}
	response := j.visit("GET", "/csc/v2/oauth2/authorize?"+query.Encode(), "").is(302)
	location, err := response.Location()
	if err != nil {
		j.t.Fatal(err)
	}
	back := location.Query()
	if location.Host != "rp.example" || back.Get("from") != "bankid" || back.Get("state") != "s" || back.Get("code") == "" {
		j.t.Fatalf("the browser is sent to %s", location)
	}
	return back.Get("code")
}

// exchange exchanges a code for a service token, with the verifier of the last consent.
func (j *journey) exchange(code, redirectURI string) *reply {
	j.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {j.verifier}}
	return j.call("POST", cscToken, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// A signing is one person's signing session, with its service token.
type signing struct {
	*journey
	token string
}

// sign begins a signing session.
func (j *journey) sign() *signing {
	j.t.Helper()
	var granted struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
	}
	r := j.exchange(j.consent(), redirectURI).passed(1, 200)
	r.into(&granted)
	if granted.Token == "" || granted.Type != "Bearer" {
		j.t.Fatalf("the response is %s", r.body)
	}
	if !slices.Contains(j.bank.issued(), bearerOf(r.seen[0])) {
		j.t.Error("the code was not exchanged with the gateway's token")
	}
	return &signing{j, granted.Token}
}

// bearerOf returns the bearer token that a call carried.
func bearerOf(e *bankCall) string {
	if len(e.authorization) != 1 || len(e.authorization[0]) < 7 || e.authorization[0][:7] != "Bearer " {
		return ""
	}
	return e.authorization[0][7:]
}

// at makes a call that carries only the service token.
func (s *signing) at(path string, body map[string]any) *reply {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := s.post(path, string(text), "Authorization", "Bearer "+s.token)
	for _, e := range r.seen {
		if bearerOf(e) != s.token || e.proof != "" {
			s.t.Errorf("%s carries %q", path, e.authorization)
		}
	}
	return r
}

// list lists the person's credentials, and returns the first.
func (s *signing) list() string {
	s.t.Helper()
	var list struct {
		IDs []string `json:"credentialIDs"`
	}
	s.at(credentialsList, map[string]any{}).passed(1, 200).into(&list)
	if len(list.IDs) != 1 {
		s.t.Fatalf("the credentials are %v", list.IDs)
	}
	return list.IDs[0]
}

// authorize asks for permission to sign hashes.
func (s *signing) authorize(credential string, hashes ...string) string {
	s.t.Helper()
	var leave struct {
		SAD string `json:"SAD"`
	}
	s.at(credentialsAuthorize, authorization(credential, hashes...)).passed(1, 200).into(&leave)
	if leave.SAD == "" {
		s.t.Fatal("there is no SAD")
	}
	return leave.SAD
}

// authorization returns the body of credentials/authorize.
func authorization(credential string, hashes ...string) map[string]any {
	return map[string]any{
		"credentialID": credential, "numSignatures": len(hashes), "hashes": hashes, "hashAlgorithmOID": sha256OID,
	}
}

// signature returns the body of signHash.
func signature(credential, sad string, hashes ...string) map[string]any {
	return map[string]any{"credentialID": credential, "SAD": sad, "hashes": hashes, "hashAlgorithmOID": sha256OID, "signAlgo": ecdsaWithSHA256}
}

// Journey B: a person consents in the browser, and signs 50 hashes.
func TestJourneyOfASignature(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	j.post("/csc/v2/info", `{"lang":"nb"}`).passed(1, 200).bare().says(`"specs":"2.0.0.2"`)
	j.call("GET", "/csc/v2/oauth2/authorize?client_id="+sandbox.ClientID, "").
		refused(404, "http_request_denied", "browser: redirect it to BankID directly")

	s := j.sign()
	credential := s.list()
	var info struct {
		Cert struct {
			Chain [][]byte `json:"certificates"`
		} `json:"cert"`
	}
	s.at(credentialsInfo, map[string]any{"credentialID": credential, "certificates": "chain"}).passed(1, 200).into(&info)
	if len(info.Cert.Chain) != 3 {
		t.Fatalf("the chain has %d certificates", len(info.Cert.Chain))
	}

	documents, hashes := make([][]byte, 50), make([]string, 50)
	for i := range documents {
		documents[i] = []byte(rand.Text())
		hashes[i] = hashOf(documents[i])
	}
	sad := s.authorize(credential, hashes...)
	var signed struct {
		Signatures [][]byte `json:"signatures"`
	}
	s.at(signHash, signature(credential, sad, hashes...)).passed(1, 200).into(&signed)

	certificate, err := x509.ParseCertificate(info.Cert.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(info.Cert.Chain[1])
	if err != nil {
		t.Fatal(err)
	}
	roots, issuers := x509.NewCertPool(), x509.NewCertPool()
	issuers.AddCert(issuer)
	authority := j.visit("GET", "/sandbox/ca.pem", "").is(200).body
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatalf("the authority is %s", authority)
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, Intermediates: issuers, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("the certificate: %v", err)
	}
	if len(signed.Signatures) != len(documents) {
		t.Fatalf("there are %d signatures", len(signed.Signatures))
	}
	for i, document := range documents {
		if err := certificate.CheckSignature(x509.ECDSAWithSHA256, document, signed.Signatures[i]); err != nil {
			t.Errorf("signature %d: %v", i+1, err)
		}
	}

	j.write("document", documents[0])
	j.write("signature.der", signed.Signatures[0])
	j.write("ca.pem", authority)
	j.write("person.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
	j.write("issuer.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Raw}))
	j.openssl("person.pem: OK", "verify", "-CAfile", "ca.pem", "-untrusted", "issuer.pem", "person.pem")
	j.openssl("", "x509", "-in", "person.pem", "-noout", "-pubkey", "-out", "public.pem")
	j.openssl("Verified OK", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature.der", "document")
}

// A person can sign again, with a new consent and the gateway's same token.
func TestJourneyOfManySignatures(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	for range 5 {
		s := j.sign()
		credential, hash := s.list(), hashOf([]byte(s.token))
		s.at(signHash, signature(credential, s.authorize(credential, hash), hash)).passed(1, 200)
	}
	if n := j.bank.granted("esign/csc"); n != 1 {
		t.Errorf("%d tokens were issued, want one", n)
	}
}
