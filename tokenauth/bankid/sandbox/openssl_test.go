package sandbox_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

const (
	queryType = "application/timestamp-query"
	replyType = "application/timestamp-reply"
)

// openssl runs OpenSSL in a directory and returns what it said.
func openssl(t *testing.T, dir string, arguments ...string) (string, error) {
	t.Helper()
	command := exec.Command("openssl", arguments...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	t.Logf("$ openssl %s\n%s", strings.Join(arguments, " "), out)
	return string(out), err
}

// mustOpenssl is openssl where a failure ends the test.
func mustOpenssl(t *testing.T, dir string, arguments ...string) string {
	t.Helper()
	out, err := openssl(t, dir, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// stamped sends query.tsq of dir to a sandbox, and puts reply.tsr and the
// sandbox's ca.pem there.
func stamped(t *testing.T, s http.Handler, dir string) {
	t.Helper()
	query, err := os.ReadFile(filepath.Join(dir, "query.tsq"))
	if err != nil {
		t.Fatal(err)
	}
	w := send(t, s, call{
		method: "POST", target: "/v1/timestamp/token", authorization: bearer(t, s, "esign/qtsa"),
		contentType: queryType, body: bytes.NewReader(query),
	})
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != replyType {
		t.Fatalf("status %d, Content-Type %q, body %q", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	write(t, dir, "reply.tsr", w.Body.Bytes())
	caOf(t, s, dir)
}

// caOf puts the sandbox's ca.pem into dir.
func caOf(t *testing.T, s http.Handler, dir string) {
	t.Helper()
	w := send(t, s, call{method: "GET", target: "/sandbox/ca.pem"})
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/pem-certificate-chain" {
		t.Fatalf("status %d, Content-Type %q", w.Code, w.Header().Get("Content-Type"))
	}
	write(t, dir, "ca.pem", w.Body.Bytes())
}

func TestOpenSSLVerifiesToken(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for name, options := range map[string][]string{
		"SHA-256":      {"-sha256", "-cert"},
		"SHA-384":      {"-sha384", "-cert"},
		"SHA-512":      {"-sha512", "-cert"},
		"no nonce":     {"-sha256", "-cert", "-no_nonce"},
		"known policy": {"-sha256", "-cert", "-tspolicy", "2.999.3161.1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "data", []byte("what was signed"))
			write(t, dir, "other", []byte("something else"))
			mustOpenssl(t, dir, append([]string{"ts", "-query", "-data", "data", "-out", "query.tsq"}, options...)...)
			stamped(t, s, dir)
			for _, what := range [][]string{{"-queryfile", "query.tsq"}, {"-data", "data"}} {
				out := mustOpenssl(t, dir, append([]string{"ts", "-verify", "-in", "reply.tsr", "-CAfile", "ca.pem"}, what...)...)
				if !strings.Contains(out, "Verification: OK") {
					t.Errorf("OpenSSL says %q", out)
				}
			}
			if out, err := openssl(t, dir, "ts", "-verify", "-in", "reply.tsr", "-CAfile", "ca.pem", "-data", "other"); err == nil {
				t.Errorf("OpenSSL accepts the token for other data: %q", out)
			}
			out := mustOpenssl(t, dir, "ts", "-reply", "-in", "reply.tsr", "-text")
			for _, want := range []string{"Status: Granted.", "Version: 1", "Policy OID: 2.999.3161.1", "Accuracy: 0x01 seconds", "Ordering: no"} {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing in %q", want, out)
				}
			}
		})
	}
}

func TestOpenSSLRejectsAnotherSandbox(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "data", []byte("what was signed"))
	mustOpenssl(t, dir, "ts", "-query", "-data", "data", "-cert", "-out", "query.tsq")
	stamped(t, newServer(t, sandbox.Options{}), dir)
	other := send(t, newServer(t, sandbox.Options{}), call{method: "GET", target: "/sandbox/ca.pem"})
	write(t, dir, "ca.pem", other.Body.Bytes())
	if out, err := openssl(t, dir, "ts", "-verify", "-in", "reply.tsr", "-CAfile", "ca.pem", "-queryfile", "query.tsq"); err == nil {
		t.Errorf("OpenSSL accepts the token: %q", out)
	}
}

// A token without its certificate is of use to a client that has that already.
func TestOpenSSLCertificateOnlyIfRequested(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	dir := t.TempDir()
	write(t, dir, "data", []byte("what was signed"))
	certificates := func() string {
		stamped(t, s, dir)
		mustOpenssl(t, dir, "ts", "-reply", "-in", "reply.tsr", "-token_out", "-out", "token.der")
		return mustOpenssl(t, dir, "pkcs7", "-inform", "DER", "-in", "token.der", "-print_certs")
	}
	mustOpenssl(t, dir, "ts", "-query", "-data", "data", "-cert", "-out", "query.tsq")
	with := certificates()
	if strings.Count(with, "BEGIN CERTIFICATE") != 2 || !strings.Contains(with, "SANDBOX TSA") {
		t.Errorf("certificates are %q", with)
	}
	write(t, dir, "tsa.pem", []byte(with[strings.Index(with, "CN = SANDBOX TSA"):]))
	write(t, dir, "all.pem", []byte(with))
	usage := mustOpenssl(t, dir, "x509", "-in", "tsa.pem", "-noout", "-text")
	if !strings.Contains(usage, "X509v3 Extended Key Usage: critical\n                Time Stamping\n") {
		t.Errorf("certificate is %s", usage)
	}

	mustOpenssl(t, dir, "ts", "-query", "-data", "data", "-out", "query.tsq")
	if without := certificates(); strings.Contains(without, "BEGIN CERTIFICATE") {
		t.Errorf("certificates are %q", without)
	}
	if out, err := openssl(t, dir, "ts", "-verify", "-in", "reply.tsr", "-CAfile", "ca.pem", "-queryfile", "query.tsq"); err == nil {
		t.Errorf("OpenSSL needs no certificate: %q", out)
	}
	mustOpenssl(t, dir, "ts", "-verify", "-in", "reply.tsr", "-CAfile", "ca.pem", "-untrusted", "all.pem", "-queryfile", "query.tsq")
}

func TestOpenSSLReadsRejections(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for want, options := range map[string][]string{
		"Failure info: unrecognized or unsupported algorithm identifier":     {"-sha1"},
		"Failure info: the requested TSA policy is not supported by the TSA": {"-sha256", "-tspolicy", "1.2.3.4"},
	} {
		dir := t.TempDir()
		write(t, dir, "data", []byte("what was signed"))
		mustOpenssl(t, dir, append([]string{"ts", "-query", "-data", "data", "-out", "query.tsq"}, options...)...)
		stamped(t, s, dir)
		out := mustOpenssl(t, dir, "ts", "-reply", "-in", "reply.tsr", "-text")
		for _, want := range []string{"Status: Rejected.", want, "TST info:\nNot included."} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in %q", want, out)
			}
		}
	}
}

func TestOpenSSLVerifiesTokenFromJSON(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	dir := t.TempDir()
	write(t, dir, "data", []byte("what was signed"))
	w := create(t, s, "/v1/timestamp/token", bearer(t, s, "esign/qtsa"), strings.NewReader(imprint("what was signed")))
	write(t, dir, "token.der", decode[map[string][]byte](t, w, http.StatusOK)["timestamp"])
	write(t, dir, "ca.pem", send(t, s, call{method: "GET", target: "/sandbox/ca.pem"}).Body.Bytes())
	mustOpenssl(t, dir, "ts", "-verify", "-in", "token.der", "-token_in", "-CAfile", "ca.pem", "-data", "data")
	out := mustOpenssl(t, dir, "ts", "-reply", "-in", "token.der", "-token_in", "-text")
	if !strings.Contains(out, "Nonce: 0x1FF0") {
		t.Errorf("the nonce is missing in %q", out)
	}
}

func TestOpenSSLVerifiesSeal(t *testing.T) {
	s, p, dir := newServer(t, sandbox.Options{}), newProver(t), t.TempDir()
	answer := decode[struct {
		Results []struct {
			CMS []byte `json:"cms"`
		} `json:"sign_results"`
	}](t, p.callB2B(t, s, p.bound(t, s, "esign/b2b"), hashPath, `["`+hashOf("text")+`"]`), http.StatusOK)
	caOf(t, s, dir)
	write(t, dir, "text", []byte("text"))
	write(t, dir, "other", []byte("other"))
	write(t, dir, "seal.der", answer.Results[0].CMS)
	verify := []string{"cms", "-verify", "-binary", "-inform", "DER", "-in", "seal.der", "-CAfile", "ca.pem", "-cades", "-out", "verified", "-content"}
	mustOpenssl(t, dir, append(verify, "text")...)
	if out, err := openssl(t, dir, append(verify, "other")...); err == nil {
		t.Errorf("another text verifies: %s", out)
	}
}
