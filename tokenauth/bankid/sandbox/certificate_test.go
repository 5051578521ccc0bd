package sandbox_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// download returns what a sandbox has at a URL that is in a certificate.
func download(t *testing.T, s http.Handler, url, contentType string) []byte {
	t.Helper()
	path, ok := strings.CutPrefix(url, bankid.Sandbox.ESign)
	if !ok {
		t.Fatalf("%s is not in the sandbox", url)
	}
	w := send(t, s, call{method: "GET", target: path})
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType {
		t.Fatalf("%s: status %d, Content-Type %q", url, w.Code, w.Header().Get("Content-Type"))
	}
	return w.Body.Bytes()
}

// personOf returns the certificates of a credential of CSC for a token with a scope.
func personOf(t *testing.T, s http.Handler, scope string) []*x509.Certificate {
	t.Helper()
	granted := decode[map[string]any](t, exchange(t, s, bearer(t, s, scope), authorizationCode(t, s)), http.StatusOK)
	token, _ := granted["access_token"].(string)
	list := decode[struct{ CredentialInfos []described }](t, ask(t, s, credentialsList, token, body{"credentialInfo": true, "certificates": "chain"}), http.StatusOK)
	return parsed(t, list.CredentialInfos[0].Cert.Certificates)
}

// sealOf returns the certificates of the credential of B2B.
func sealOf(t *testing.T, s http.Handler) []*x509.Certificate {
	t.Helper()
	p := newProver(t)
	list := decode[struct{ CredentialInfos []described }](t,
		p.callB2B(t, s, p.bound(t, s, "esign/b2b"), "/v0/b2b/csc/v2/credentials/list", `{"credentialInfo":true,"certificates":"chain"}`), http.StatusOK)
	return parsed(t, list.CredentialInfos[0].Cert.Certificates)
}

// timestampOf returns the certificate of the time-stamping authority.
func timestampOf(t *testing.T, s http.Handler) *x509.Certificate {
	t.Helper()
	dir := t.TempDir()
	w := create(t, s, "/v1/timestamp/token", bearer(t, s, "esign/qtsa"), strings.NewReader(imprint("x")))
	write(t, dir, "token.der", decode[map[string][]byte](t, w, http.StatusOK)["timestamp"])
	rest := []byte(mustOpenssl(t, dir, "pkcs7", "-inform", "DER", "-in", "token.der", "-print_certs"))
	for {
		block, next := pem.Decode(rest)
		if block == nil {
			t.Fatal("there is no certificate of the authority")
		}
		if c := parsed(t, [][]byte{block.Bytes})[0]; !c.IsCA {
			return c
		}
		rest = next
	}
}

func parsed(t *testing.T, list [][]byte) []*x509.Certificate {
	t.Helper()
	var certificates []*x509.Certificate
	for _, der := range list {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		certificates = append(certificates, certificate)
	}
	return certificates
}

func inPEM(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

// extension returns the value of an extension, nil if there is none.
func extension(certificate *x509.Certificate, id string) []byte {
	i := slices.IndexFunc(certificate.Extensions, func(e pkix.Extension) bool { return e.Id.String() == id })
	if i < 0 {
		return nil
	}
	return certificate.Extensions[i].Value
}

// text returns the string in the value of an extension.
func text(t *testing.T, value []byte) string {
	t.Helper()
	var s string
	if value == nil {
		return ""
	}
	if rest, err := asn1.Unmarshal(value, &s); err != nil || len(rest) > 0 {
		t.Fatalf("%x: %v", value, err)
	}
	return s
}

// A person's certificate is as those of BankID's preproduction.
func TestCertificateOfAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		person := sandbox.Persons()[0]
		for scope, number := range map[string]string{"esign/csc": "", "esign/csc esign/nnin": person.NationalID} {
			chain := personOf(t, s, scope)
			leaf := chain[0]
			if !leaf.NotBefore.Equal(time.Now()) || leaf.NotAfter.Sub(leaf.NotBefore) != 15*time.Minute {
				t.Errorf("it is valid from %v to %v", leaf.NotBefore, leaf.NotAfter)
			}
			names := make(map[string]any)
			for _, name := range leaf.Subject.Names {
				names[name.Type.String()] = name.Value
			}
			if names["2.5.4.42"] != person.GivenName || names["2.5.4.4"] != person.Surname || leaf.Subject.CommonName != person.Name() ||
				!slices.Equal(leaf.Subject.Country, []string{"NO"}) || !strings.HasPrefix(leaf.Subject.SerialNumber, "UN:NO-") {
				t.Errorf("the subject is %v", leaf.Subject)
			}
			if leaf.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment || leaf.ExtKeyUsage != nil || leaf.IsCA {
				t.Errorf("usages are %b, %v", leaf.KeyUsage, leaf.ExtKeyUsage)
			}
			var policies []string
			for _, policy := range leaf.Policies {
				policies = append(policies, policy.String())
			}
			if !slices.Equal(policies, []string{"2.16.578.1.61.1.1.1", "0.4.0.194112.1.2"}) {
				t.Errorf("policies are %v", policies)
			}
			const bankIDs = "2.16.578.1.61.2."
			pid := text(t, extension(leaf, bankIDs+"3"))
			if text(t, extension(leaf, bankIDs+"1")) != "NO" || text(t, extension(leaf, bankIDs+"2")) != "BANKID" || !strings.HasPrefix(pid, "UN:NO-") {
				t.Errorf("the extensions are %v", leaf.Extensions)
			}
			if got := text(t, extension(leaf, bankIDs+"4")); got != number {
				t.Errorf("with scope %s, the identity number is %q", scope, got)
			}
			if bytes.Contains(leaf.Raw, []byte(person.NationalID)) != (number != "") {
				t.Errorf("with scope %s, the number is somewhere, or is not", scope)
			}
			if !strings.Contains(chain[1].Subject.CommonName, "SANDBOX") || !strings.HasSuffix(chain[1].Subject.CommonName, "CA 1a") || len(chain) != 3 {
				t.Errorf("%v issued it", chain[1].Subject)
			}
		}
		if a, b := personOf(t, s, "esign/csc")[0], personOf(t, s, "esign/csc")[0]; a.SerialNumber.Cmp(b.SerialNumber) == 0 || bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo) {
			t.Error("two signatures have the same certificate or key")
		}
	})
}

// What OpenSSL prints of the certificates that sign.
func TestOpenSSLReadsCertificates(t *testing.T) {
	s, dir := newServer(t, sandbox.Options{}), t.TempDir()
	const urls = "URI:http://127.0.0.1:9771/sandbox/"
	for name, test := range map[string]struct {
		certificate *x509.Certificate
		want        []string
	}{
		"person": {personOf(t, s, "esign/csc")[0], []string{
			"Digital Signature, Non Repudiation", "Policy: 2.16.578.1.61.1.1.1", "Policy: 0.4.0.194112.1.2",
			urls + "ca1a.crl", "CA Issuers - " + urls + "ca1a.cer", "OCSP - " + urls + "ocsp",
			"serialNumber = UN:NO-9999-5100-", "GN = Kari", "SN = SANDBOX Nordmann",
		}},
		"seal":      {sealOf(t, s)[0], []string{"Digital Signature, Non Repudiation", "Policy: 0.4.0.194112.1.3", "organizationIdentifier = NTRNO-310000000", urls + "ca1a.crl", urls + "ocsp"}},
		"timestamp": {timestampOf(t, s), []string{"X509v3 Extended Key Usage: critical\n                Time Stamping\n", "Digital Signature\n", urls + "ca1a.crl", urls + "ocsp"}},
	} {
		file := name + ".pem"
		write(t, dir, file, inPEM(test.certificate))
		out := mustOpenssl(t, dir, "x509", "-in", file, "-noout", "-text")
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing", name, want)
			}
		}
		write(t, dir, "statements.der", extension(test.certificate, "1.3.6.1.5.5.7.1.3"))
		out = mustOpenssl(t, dir, "asn1parse", "-inform", "DER", "-in", "statements.der")
		use := map[string]string{"person": "0.4.0.1862.1.6.1", "seal": "0.4.0.1862.1.6.2", "timestamp": "0.4.0.1862.1.6.2"}[name]
		for _, want := range []string{"0.4.0.1862.1.1\n", "0.4.0.1862.1.5\n", "IA5STRING         :https://", "PRINTABLESTRING   :en", "0.4.0.1862.1.6\n", use + "\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in %s", name, want, out)
			}
		}
	}
}

// Everything that it takes to validate a certificate is where the certificate says.
func TestOpenSSLValidatesChains(t *testing.T) {
	s, dir := newServer(t, sandbox.Options{}), t.TempDir()
	caOf(t, s, dir)
	for name, certificate := range map[string]*x509.Certificate{"person": personOf(t, s, "esign/csc")[0], "seal": sealOf(t, s)[0], "timestamp": timestampOf(t, s)} {
		issuer := parsed(t, [][]byte{download(t, s, certificate.IssuingCertificateURL[0], "application/pkix-cert")})[0]
		root := parsed(t, [][]byte{download(t, s, issuer.IssuingCertificateURL[0], "application/pkix-cert")})[0]
		trusted, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err != nil || !bytes.Equal(inPEM(root), trusted) {
			t.Errorf("%s: the root is not ca.pem: %v", name, err)
		}
		write(t, dir, "leaf.pem", inPEM(certificate))
		write(t, dir, "issuer.pem", inPEM(issuer))
		write(t, dir, "leaf.crl", download(t, s, certificate.CRLDistributionPoints[0], "application/pkix-crl"))
		write(t, dir, "issuer.crl", download(t, s, issuer.CRLDistributionPoints[0], "application/pkix-crl"))
		var lists string
		for _, file := range []string{"leaf.crl", "issuer.crl"} {
			lists += mustOpenssl(t, dir, "crl", "-inform", "DER", "-in", file)
		}
		write(t, dir, "crls.pem", []byte(lists))
		if out := mustOpenssl(t, dir, "crl", "-inform", "DER", "-in", "leaf.crl", "-noout", "-CAfile", "issuer.pem"); !strings.Contains(out, "verify OK") {
			t.Errorf("%s: the list: %s", name, out)
		}
		if out := mustOpenssl(t, dir, "verify", "-x509_strict", "-crl_check_all", "-CRLfile", "crls.pem", "-CAfile", "ca.pem", "-untrusted", "issuer.pem", "leaf.pem"); !strings.HasSuffix(out, ": OK\n") {
			t.Errorf("%s: %s", name, out)
		}
		if out, err := openssl(t, dir, "verify", "-CAfile", "ca.pem", "leaf.pem"); err == nil {
			t.Errorf("%s: the root has issued it: %s", name, out)
		}
	}
}

// askOCSP sends the request in request.der of dir, and puts the response into
// response.der.
func askOCSP(t *testing.T, s http.Handler, dir string) {
	t.Helper()
	request, err := os.ReadFile(filepath.Join(dir, "request.der"))
	if err != nil {
		t.Fatal(err)
	}
	w := send(t, s, call{method: "POST", target: "/sandbox/ocsp", contentType: "application/ocsp-request", body: bytes.NewReader(request)})
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/ocsp-response" {
		t.Fatalf("status %d, Content-Type %q", w.Code, w.Header().Get("Content-Type"))
	}
	write(t, dir, "response.der", w.Body.Bytes())
	// A client may also put it into the path.
	get := send(t, s, call{method: "GET", target: "/sandbox/ocsp/" + strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(base64.StdEncoding.EncodeToString(request))})
	if get.Code != http.StatusOK || get.Header().Get("Content-Type") != "application/ocsp-response" {
		t.Fatalf("GET: status %d, Content-Type %q", get.Code, get.Header().Get("Content-Type"))
	}
	// They differ in the signature at most, and in the time.
	if len(get.Body.Bytes()) < w.Body.Len()-8 {
		t.Errorf("GET: %d bytes, POST: %d", get.Body.Len(), w.Body.Len())
	}
}

func TestOpenSSLAsksOCSP(t *testing.T) {
	s, dir := newServer(t, sandbox.Options{}), t.TempDir()
	caOf(t, s, dir)
	chain := personOf(t, s, "esign/csc")
	write(t, dir, "person.pem", inPEM(chain[0]))
	write(t, dir, "issuer.pem", inPEM(chain[1]))
	write(t, dir, "seal.pem", inPEM(sealOf(t, s)[0]))
	for _, hash := range []string{"-sha1", "-sha256", "-sha512"} {
		request := []string{hash, "-issuer", "issuer.pem", "-cert", "person.pem", hash, "-cert", "seal.pem"}
		mustOpenssl(t, dir, append([]string{"ocsp", "-reqout", "request.der"}, request...)...)
		askOCSP(t, s, dir)
		verify := []string{"ocsp", "-respin", "response.der", "-CAfile", "ca.pem", "-verify_other", "issuer.pem"}
		// OpenSSL compares the nonces, if there is no other request.
		out := mustOpenssl(t, dir, append(verify, "-reqin", "request.der")...)
		if !strings.Contains(out, "Response verify OK") || strings.Contains(out, "WARNING") {
			t.Errorf("%s: OpenSSL says %s", hash, out)
		}
		out = mustOpenssl(t, dir, slices.Concat(verify, []string{"-no_nonce"}, request)...)
		for _, want := range []string{"Response verify OK", "person.pem: good", "seal.pem: good"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing", hash, want)
			}
		}
	}
	out := mustOpenssl(t, dir, "ocsp", "-respin", "response.der", "-resp_text", "-noverify")
	for _, want := range []string{"Archive Cutoff", "OCSP No Check", "OCSP Nonce"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in the response", want)
		}
	}
}

// The responder knows only what its authority has issued.
func TestOCSPOfOtherCertificates(t *testing.T) {
	s, dir := newServer(t, sandbox.Options{}), t.TempDir()
	caOf(t, s, dir)
	chain, other := personOf(t, s, "esign/csc"), personOf(t, newServer(t, sandbox.Options{}), "esign/csc")
	for name, certificate := range map[string]*x509.Certificate{
		"person.pem": chain[0], "issuer.pem": chain[1], "other.pem": other[0], "otherissuer.pem": other[1],
	} {
		write(t, dir, name, inPEM(certificate))
	}
	for name, test := range map[string]struct{ want, issuer, which, certificate string }{
		"a short number":      {"0x1234: unknown", "issuer.pem", "-serial", "0x1234"},
		"a number of another": {"other.pem: unknown", "issuer.pem", "-cert", "other.pem"},
		"another authority":   {"Responder Error: unauthorized", "otherissuer.pem", "-cert", "other.pem"},
		"the root":            {"Responder Error: unauthorized", "ca.pem", "-cert", "issuer.pem"},
	} {
		want, request := test.want, []string{"-issuer", test.issuer, test.which, test.certificate}
		mustOpenssl(t, dir, append([]string{"ocsp", "-reqout", "request.der"}, request...)...)
		askOCSP(t, s, dir)
		// OpenSSL returns an error for an error only.
		out, _ := openssl(t, dir, append([]string{"ocsp", "-respin", "response.der", "-no_nonce", "-CAfile", "ca.pem", "-verify_other", "issuer.pem"}, request...)...)
		if !strings.Contains(out, want) {
			t.Errorf("%s: %q is missing", name, want)
		}
	}
}

func TestOCSPRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	ask := func(contentType, body string) (int, string) {
		w := send(t, s, call{method: "POST", target: "/sandbox/ocsp", contentType: contentType, body: strings.NewReader(body)})
		return w.Code, w.Body.String()
	}
	const requestType = "application/ocsp-request"
	for _, body := range []string{"", "x", "\x30\x00", "\x30\x80", strings.Repeat("\x30\x82", 1000)} {
		if status, got := ask(requestType, body); status != http.StatusOK || got != "\x30\x03\x0a\x01\x01" {
			t.Errorf("%.10x: status %d, body %x, want malformedRequest", body, status, got)
		}
	}
	if status, _ := ask("text/plain", ""); status != http.StatusUnsupportedMediaType {
		t.Errorf("another type: status %d", status)
	}
	if status, _ := ask(requestType, strings.Repeat("x", 64<<10+1)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: status %d", status)
	}
	for _, path := range []string{"/sandbox/ocsp/", "/sandbox/ocsp/!", "/sandbox/ocsp/AAAA", "/sandbox/ocsp//"} {
		w := send(t, s, call{method: "GET", target: path})
		if w.Code != http.StatusOK || w.Body.String() != "\x30\x03\x0a\x01\x01" {
			t.Errorf("%s: status %d, body %x, want malformedRequest", path, w.Code, w.Body)
		}
	}
	if w := send(t, s, call{method: "GET", target: "/sandbox/ocsp"}); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET without a request: status %d", w.Code)
	}
}

// Certificates, revocation lists and OCSP responses have the sandbox's time.
func TestCertificatesFollowTheClock(t *testing.T) {
	s, dir := newServer(t, sandbox.Options{}), t.TempDir()
	caOf(t, s, dir)
	for _, years := range []int{-3, 3} {
		offset := time.Until(time.Now().AddDate(years, 0, 0))
		if err := s.Inject(sandbox.Fault{Effect: sandbox.MoveClock, Offset: offset}); err != nil {
			t.Fatal(err)
		}
		near := func(what string, got time.Time) {
			t.Helper()
			if off := got.Sub(time.Now().Add(offset)).Abs(); off > time.Minute {
				t.Errorf("%d years, %s: it is %v off", years, what, off)
			}
		}
		chain := personOf(t, s, "esign/csc")
		near("certificate", chain[0].NotBefore)
		list, err := x509.ParseRevocationList(download(t, s, chain[0].CRLDistributionPoints[0], "application/pkix-crl"))
		if err != nil {
			t.Fatal(err)
		}
		near("revocation list", list.ThisUpdate)
		write(t, dir, "person.pem", inPEM(chain[0]))
		write(t, dir, "issuer.pem", inPEM(chain[1]))
		mustOpenssl(t, dir, "ocsp", "-reqout", "request.der", "-issuer", "issuer.pem", "-cert", "person.pem")
		askOCSP(t, s, dir)
		out := mustOpenssl(t, dir, "ocsp", "-respin", "response.der", "-resp_text", "-noverify")
		for _, field := range []string{"Produced At: ", "This Update: "} {
			_, after, _ := strings.Cut(out, field)
			value, _, _ := strings.Cut(after, "\n")
			got, err := time.Parse("Jan _2 15:04:05 2006 MST", value)
			if err != nil {
				t.Fatal(err)
			}
			near(field, got)
		}
		var claims jwt.Claims
		info, err := jwt.ParseSigned(collected(t, s, bearer(t, s, "esign"), orderBody(pdf("x"))).SignerInfo, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		if err := info.UnsafeClaimsWithoutVerification(&claims); err != nil {
			t.Fatal(err)
		}
		near("SignerInfo", claims.IssuedAt.Time())
		p := newProver(t)
		p.ahead = offset
		summary := decode[struct {
			Summaries []struct{ SigningTime time.Time } `json:"adesVSummaries"`
		}](t, p.callB2B(t, s, p.bound(t, s, "esign/b2b"), "/v0/b2b/ades/xades",
			`{"xmlBytesB64":"PGEvPg==","hashAlgorithmOID":"2.16.840.1.101.3.4.2.2","signAlgo":"1.2.840.113549.1.1.12","xadesType":"B"}`), http.StatusOK)
		near("summary of B2B", summary.Summaries[0].SigningTime)
		at := time.Now().Add(offset).Unix()
		for _, certificate := range []*x509.Certificate{chain[0], timestampOf(t, s)} {
			write(t, dir, "leaf.pem", inPEM(certificate))
			if out := mustOpenssl(t, dir, "verify", "-attime", strconv.FormatInt(at, 10), "-CAfile", "ca.pem", "-untrusted", "issuer.pem", "leaf.pem"); !strings.HasSuffix(out, ": OK\n") {
				t.Errorf("%d years: %s", years, out)
			}
		}
	}
}

// All that a document takes to be validated later can be put into it.
func TestOpenSSLVerifiesWhatIsEmbedded(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, person := range sandbox.Persons() {
		dir := t.TempDir()
		caOf(t, s, dir)
		write(t, dir, "contract", []byte("contract"))
		cms, certificate, ocsp, crls, err := s.SignAs(person, sum("contract"))
		if err != nil || len(crls) != 2 {
			t.Fatalf("%d lists: %v", len(crls), err)
		}
		var lists string
		for _, crl := range crls {
			write(t, dir, "crl.der", crl)
			lists += mustOpenssl(t, dir, "crl", "-inform", "DER", "-in", "crl.der")
		}
		write(t, dir, "crls.pem", []byte(lists))
		write(t, dir, "cms.der", cms)
		write(t, dir, "leaf.pem", inPEM(certificate))
		write(t, dir, "issuer.pem", inPEM(parsed(t, [][]byte{download(t, s, certificate.IssuingCertificateURL[0], "application/pkix-cert")})[0]))
		verify := []string{"cms", "-verify", "-binary", "-cades", "-inform", "DER", "-in", "cms.der", "-CAfile", "ca.pem", "-purpose", "any", "-out", "verified", "-content", "contract"}
		mustOpenssl(t, dir, verify...)
		if out := mustOpenssl(t, dir, "verify", "-crl_check_all", "-CRLfile", "crls.pem", "-CAfile", "ca.pem", "-untrusted", "issuer.pem", "leaf.pem"); !strings.HasSuffix(out, ": OK\n") {
			t.Errorf("%s: %s", person.Name(), out)
		}
		write(t, dir, "response.der", ocsp)
		out := mustOpenssl(t, dir, "ocsp", "-respin", "response.der", "-no_nonce", "-CAfile", "ca.pem", "-verify_other", "issuer.pem", "-issuer", "issuer.pem", "-cert", "leaf.pem")
		if !strings.Contains(out, "Response verify OK") || !strings.Contains(out, "leaf.pem: good") {
			t.Errorf("%s: %s", person.Name(), out)
		}
		token, err := s.Stamp(sum("contract"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "token.der", token)
		mustOpenssl(t, dir, "ts", "-verify", "-token_in", "-in", "token.der", "-data", "contract", "-CAfile", "ca.pem")
		write(t, dir, "contract", []byte("another"))
		if out, err := openssl(t, dir, verify...); err == nil {
			t.Errorf("%s: another contract verifies: %s", person.Name(), out)
		}
	}
}

// A certificate that has expired signs nothing.
func TestCertificateExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{Assumptions: sandbox.Assumptions{ServiceTokenLifetime: time.Hour}})
		inTime, late := serviceToken(t, s, "sandbox-1"), serviceToken(t, s, "sandbox-2")
		signs := func(token string) *httptest.ResponseRecorder {
			consent := decode[map[string]any](t, ask(t, s, credentialsAuthorize, token, toAuthorize(sum("a"))), http.StatusOK)
			return ask(t, s, signHash, token, body{
				"credentialID": "sandbox-credential", "SAD": consent["SAD"], "hashes": [][]byte{sum("a")},
				"signAlgo": ecdsaWithSHA256, "hashAlgorithmOID": sha256OID,
			})
		}
		for _, token := range []string{inTime, late} {
			decode[map[string]any](t, ask(t, s, credentialsList, token, body{}), http.StatusOK)
		}
		time.Sleep(15 * time.Minute)
		decode[map[string][]string](t, signs(inTime), http.StatusOK)
		time.Sleep(time.Nanosecond)
		wantCSCError(t, signs(late), http.StatusBadRequest, "certificate_expired")
	})
}
