package sandbox_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// OIDs of hash algorithms and of ECDSA with them.
const (
	sha256OID = "2.16.840.1.101.3.4.2.1"
	sha384OID = "2.16.840.1.101.3.4.2.2"

	ecdsaWithSHA256 = "1.2.840.10045.4.3.2"
	ecdsaWithSHA384 = "1.2.840.10045.4.3.3"
)

// A body is the JSON object of a request.
type body map[string]any

// with returns the body with other members; nil removes one.
func (b body) with(more body) body {
	changed := maps.Clone(b)
	maps.Copy(changed, more)
	maps.DeleteFunc(changed, func(_ string, value any) bool { return value == nil })
	return changed
}

// ask sends JSON to a CSC endpoint.
func ask(t testing.TB, s http.Handler, target, token string, content body) *httptest.ResponseRecorder {
	t.Helper()
	encoded, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, s, call{method: "POST", target: target, authorization: "Bearer " + token, contentType: jsonType, body: bytes.NewReader(encoded)})
}

// listed returns a service token that was used at credentials/list.
func listed(t testing.TB, s http.Handler) string {
	t.Helper()
	token := serviceToken(t, s, "sandbox-listed")
	decode[map[string][]string](t, ask(t, s, credentialsList, token, body{}), http.StatusOK)
	return token
}

// sum is a hash of a text, SHA-256, as CSC wants it.
func sum(text string) []byte {
	hash := sha256.Sum256([]byte(text))
	return hash[:]
}

// toAuthorize is a good body of credentials/authorize.
func toAuthorize(hashes ...[]byte) body {
	return body{"credentialID": "sandbox-credential", "numSignatures": len(hashes), "hashes": hashes, "hashAlgorithmOID": sha256OID}
}

// authorized returns a service token that is ready for signHash, and a good
// body for it.
func authorized(t testing.TB, s http.Handler, hashes ...[]byte) (string, body) {
	t.Helper()
	token := listed(t, s)
	answer := decode[map[string]any](t, ask(t, s, credentialsAuthorize, token, toAuthorize(hashes...)), http.StatusOK)
	if sad, _ := answer["SAD"].(string); !strings.HasPrefix(sad, "sandbox-") || answer["expiresIn"] != 60.0 {
		t.Fatalf("answer is %v", answer)
	}
	return token, body{"credentialID": "sandbox-credential", "SAD": answer["SAD"], "hashes": hashes, "signAlgo": ecdsaWithSHA256, "hashAlgorithmOID": sha256OID}
}

type described struct {
	Key struct {
		Status string
		Algo   []string
		Len    int
		Curve  string
	}
	Cert struct {
		Status                                                string
		Certificates                                          [][]byte
		IssuerDN, SerialNumber, SubjectDN, ValidFrom, ValidTo string
	}
	Auth      struct{ Mode string }
	SCAL      string
	Multisign int
}

// The whole journey: what a person consents to, openssl verifies.
func TestCSCJourney(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	w := exchange(t, s, bearer(t, s, "esign/csc"), authorizationCode(t, s))
	granted := decode[map[string]any](t, w, http.StatusOK)
	token, _ := granted["access_token"].(string)
	if !strings.HasPrefix(token, "sandbox-") || granted["token_type"] != "Bearer" || granted["expires_in"] != 300.0 {
		t.Errorf("token response is %v", granted)
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}

	listing := decode[struct {
		CredentialIDs   []string
		CredentialInfos []described
	}](t, ask(t, s, credentialsList, token, body{"credentialInfo": true, "certificates": "none", "onlyValid": true}), http.StatusOK)
	if len(listing.CredentialIDs) != 1 || len(listing.CredentialInfos) != 1 || listing.CredentialInfos[0].Cert.Certificates != nil {
		t.Fatalf("list is %+v", listing)
	}
	id := listing.CredentialIDs[0]

	info := decode[described](t, ask(t, s, credentialsInfo, token, body{"credentialID": id, "certificates": "chain", "certInfo": true}), http.StatusOK)
	if info.Key.Status != "enabled" || !slices.Equal(info.Key.Algo, []string{"1.2.840.10045.2.1"}) || info.Key.Len != 256 || info.SCAL != "2" || info.Multisign != 50 || info.Auth.Mode != "explicit" || len(info.Cert.Certificates) != 3 {
		t.Fatalf("info is %+v", info)
	}
	// The surname (2.5.4.4) is the last part of the subject, so it is the first of the text, RFC 4514, section 2.1.
	if !strings.HasPrefix(info.Cert.SubjectDN, "2.5.4.4=#") || !strings.HasSuffix(info.Cert.SubjectDN, ",C=NO") {
		t.Errorf("the subject is %s", info.Cert.SubjectDN)
	}
	if !strings.Contains(info.Cert.SubjectDN, "SANDBOX") || !strings.Contains(info.Cert.IssuerDN, "SANDBOX") || len(info.Cert.ValidTo) != len("20060102150405Z") {
		t.Errorf("certificate is %+v", info.Cert)
	}

	dir := t.TempDir()
	write := func(name string, content []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	certificate := func(name string, der []byte) string {
		return write(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	leaf, ca, root := certificate("leaf.pem", info.Cert.Certificates[0]), certificate("ca.pem", info.Cert.Certificates[1]), certificate("root.pem", info.Cert.Certificates[2])
	if got := mustOpenssl(t, "", "verify", "-x509_strict", "-CAfile", root, "-untrusted", ca, leaf); !strings.HasSuffix(got, ": OK\n") {
		t.Errorf("openssl verify: %q", got)
	}
	publicKey := write("public.pem", []byte(mustOpenssl(t, "", "x509", "-in", leaf, "-noout", "-pubkey")))

	document := []byte("the contract")
	hashes := [][]byte{sum("the contract"), bytes.Repeat([]byte{7}, 32)}
	consent := decode[map[string]any](t, ask(t, s, credentialsAuthorize, token, toAuthorize(hashes...)), http.StatusOK)
	signed := decode[struct{ Signatures [][]byte }](t, ask(t, s, signHash, token, body{
		"credentialID": id, "SAD": consent["SAD"], "hashes": hashes, "signAlgo": ecdsaWithSHA256, "hashAlgorithmOID": sha256OID,
		"operationMode": "S", "clientData": "x",
	}), http.StatusOK)
	if len(signed.Signatures) != 2 {
		t.Fatalf("%d signatures", len(signed.Signatures))
	}
	got := mustOpenssl(t, "", "dgst", "-sha256", "-verify", publicKey, "-signature", write("signature", signed.Signatures[0]), write("document", document))
	if got != "Verified OK\n" {
		t.Errorf("openssl dgst: %q", got)
	}
	got = mustOpenssl(t, "", "pkeyutl", "-verify", "-pubin", "-inkey", publicKey, "-in", write("hash", hashes[1]), "-sigfile", write("signature", signed.Signatures[1]))
	if got != "Signature Verified Successfully\n" {
		t.Errorf("openssl pkeyutl: %q", got)
	}
}

func TestSignedHashesMayComeInAnotherOrder(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	token, good := authorized(t, s, sum("a"), sum("b"), sum("a"))
	decode[map[string][]string](t, ask(t, s, signHash, token, good.with(body{"hashes": [][]byte{sum("b"), sum("a"), sum("a")}})), http.StatusOK)
}

func TestMostHashes(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	hashes := make([][]byte, 50)
	for i := range hashes {
		hashes[i] = sum(strings.Repeat("x", i))
	}
	token, good := authorized(t, s, hashes...)
	if got := decode[map[string][]string](t, ask(t, s, signHash, token, good), http.StatusOK)["signatures"]; len(got) != 50 {
		t.Errorf("%d signatures", len(got))
	}
}

func TestSADExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		inTime, first := authorized(t, s, sum("a"))
		late, second := authorized(t, s, sum("a"))
		time.Sleep(60*time.Second - 1)
		decode[map[string][]string](t, ask(t, s, signHash, inTime, first), http.StatusOK)
		time.Sleep(time.Nanosecond)
		w := ask(t, s, signHash, late, second)
		wantCSCError(t, w, http.StatusBadRequest, "invalid_sad")
		if !strings.Contains(w.Body.String(), "SAD expired") {
			t.Errorf("body is %s", w.Body)
		}
	})
}
