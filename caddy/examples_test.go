package caddyesign_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// specs is the path of a call that exists in every environment.
const specs = "/v1/signdoc/convert/pdf/specs"

// An exampleGateway is one of the examples, running with the sandbox.
type exampleGateway struct {
	t       *testing.T
	dir     string // the storage and the log
	address string // instead of the port in the example
}

// adminLine matches the line with an example's admin endpoint.
var adminLine = regexp.MustCompile(`(?m)^\tadmin unix/.*\n`)

// startExample runs the example with the given file name. It changes the ports, which
// are bound to loopback, the admin endpoint, and the place of the storage. It waits
// until the given names have certificates.
func startExample(t *testing.T, name string, hosts ...string) *exampleGateway {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("examples", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, set := os.LookupEnv("BANKID_ENVIRONMENT"); set {
		t.Fatal("BANKID_ENVIRONMENT is set: the examples would not run on the sandbox")
	}
	e := &exampleGateway{t: t, dir: t.TempDir(), address: ports.Address(t)}
	options, output := "admin off\npersist_config off\nskip_install_trust\nauto_https disable_redirects\nstorage file_system "+e.dir+"\n", "output file "+e.dir+"/log\n"
	config := strings.Replace(string(text), "\tlog {\n", "\tlog {\n"+output, 1)
	if config == string(text) {
		options += "log {\n" + output + "}\n"
	}
	config = adminLine.ReplaceAllString(strings.Replace(config, "{\n", "{\n"+options, 1), "")
	json := adapt(t, config)
	for _, listen := range []string{`":443"`, `"127.0.0.1:8080"`} {
		json = []byte(strings.ReplaceAll(string(json), listen, `"`+e.address+`"`))
	}
	if err := caddy.Load(json, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, host := range hosts {
		eventually(t, func() bool {
			conn, err := tls.Dial("tcp", e.address, &tls.Config{ServerName: host, InsecureSkipVerify: true}) //nolint:gosec // it asks whether there is one
			if err != nil {
				return false
			}
			return conn.Close() == nil
		})
	}
	return e
}

// client returns an HTTP client that calls the gateway under any name, and shows the
// given certificates.
func (e *exampleGateway) client(certs ...tls.Certificate) *http.Client {
	e.t.Helper()
	roots := x509.NewCertPool()
	if root, err := os.ReadFile(filepath.Join(e.dir, "pki", "authorities", "local", "root.crt")); err == nil {
		roots.AppendCertsFromPEM(root)
	}
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, e.address)
		},
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs},
	}}
}

// call makes a request, and returns the status and the body, or an error from the
// handshake.
func (e *exampleGateway) call(client *http.Client, method, url, body string, edit func(*http.Request)) (int, string, error) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if edit != nil {
		edit(req)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	response, err := io.ReadAll(res.Body)
	return res.StatusCode, string(response), err
}

// is asserts the status of a call. If it is a success, is also asserts that the response
// is from the sandbox.
func (e *exampleGateway) is(want int, client *http.Client, method, url, body string, edit func(*http.Request)) {
	e.t.Helper()
	status, response, err := e.call(client, method, url, body, edit)
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, url, err)
	}
	if status != want {
		e.t.Errorf("%s %s: status %d, want %d: %.300s", method, url, status, want, response)
	}
}

// logs asserts that the access log has a line with all of the given parts, and that the
// log does not show the sign_id of the test.
func (e *exampleGateway) logs(parts ...string) {
	e.t.Helper()
	found := false
	eventually(e.t, func() bool {
		log, err := os.ReadFile(filepath.Join(e.dir, "log"))
		if err != nil {
			e.t.Fatal(err)
		}
		if strings.Contains(string(log), loggedID) {
			e.t.Fatal("the log has a sign_id")
		}
		for line := range strings.Lines(string(log)) {
			found = found || strings.Contains(line, `"logger":"http.log.access`) &&
				!slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
		}
		return found
	})
}

// loggedID is a sign_id that must not be in any log.
const loggedID = "c29tZS1vcmRlcg"

// shown runs the curl command in the comment of the example, in a directory with the
// given files. words are pairs of a text in the command and its replacement. All hosts
// resolve to the gateway's address.
func (e *exampleGateway) shown(name string, files map[string][]byte, words ...string) {
	e.t.Helper()
	text, err := os.ReadFile(filepath.Join("examples", name))
	if err != nil {
		e.t.Fatal(err)
	}
	_, line, found := strings.Cut(string(text), "\n#\tcurl ")
	if !found {
		e.t.Fatalf("%s shows no call", name)
	}
	line, _, _ = strings.Cut(line, "\n")
	dir := e.t.TempDir()
	write := func(file string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
	for file, content := range files {
		write(file, content)
	}
	if root, err := os.ReadFile(filepath.Join(e.dir, "pki", "authorities", "local", "root.crt")); err == nil {
		write("root.pem", root)
	}
	cmd := exec.CommandContext(e.t.Context(), "bash", "-c", "curl --silent --show-error --fail --connect-to ::"+e.address+" "+strings.NewReplacer(words...).Replace(line))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || len(out) == 0 {
		e.t.Errorf("curl %s: %v: %s", line, err, out)
	}
}

// pemFiles returns a certificate and its key as files of the given name.
func pemFiles(t *testing.T, name string, cert tls.Certificate) map[string][]byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		name + ".pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		name + ".key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
}

// writeTo writes content to a new file and puts its name into the environment.
func writeTo(t *testing.T, variable string, content []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(variable, file)
}

// issueTo issues a certificate of the authority to a caller with the given subject.
func issueTo(t *testing.T, ca *certAuthority, name pkix.Name) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: name,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// passwordHash is the hash of "correct".
const passwordHash = "$2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW" //nolint:gosec // of a test

func TestExampleSidecar(t *testing.T) {
	for _, name := range []string{"sidecar.caddyfile", "systemd.caddyfile"} {
		t.Run(name, func(t *testing.T) {
			e := startExample(t, name)
			e.is(http.StatusOK, e.client(), "GET", "http://localhost:8080"+specs, "", nil)
			e.is(http.StatusForbidden, e.client(), "GET", "http://localhost:8080"+specs, "", func(r *http.Request) {
				r.Header.Set("X-Forwarded-For", "192.0.2.1")
			})
			e.shown(name, nil)
		})
	}
}

func TestExampleMutualTLS(t *testing.T) {
	callers, strangers := newCA(t), newCA(t)
	writeTo(t, "CALLERS_CA", callers.pem())
	e := startExample(t, "mutual-tls.caddyfile", "esign.internal")
	app := issueTo(t, callers, pkix.Name{CommonName: "app"})
	e.is(http.StatusOK, e.client(app), "GET", "https://esign.internal"+specs+"?sign_id="+loggedID, "", nil)
	e.logs(`"client_common_name":"app"`, `"status":200`, "sign_id=REDACTED")
	e.shown("mutual-tls.caddyfile", pemFiles(t, "app", app))
	archive := pkix.Name{CommonName: "archive", Organization: []string{"Example"}}
	e.is(http.StatusOK, e.client(issueTo(t, callers, archive)), "GET", "https://esign.internal"+specs, "", nil)
	// These are from the same authority, but not listed.
	for _, name := range []string{"other", "archive", "app,O=app", "", "app,archive", "CN=app", "{http.request.tls.client.subject}"} {
		e.is(http.StatusForbidden, e.client(issueTo(t, callers, pkix.Name{CommonName: name})), "GET", "https://esign.internal"+specs, "", nil)
	}
	e.logs(`"client_common_name":"other"`, `"status":403`)
	// OpenSSL prints this subject otherwise. The response has it as it must be listed.
	seal := pkix.Name{CommonName: "seal", Organization: []string{"Example"}}
	seal.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "NTRNO-123456785"}}
	status, response, err := e.call(e.client(issueTo(t, callers, seal)), "GET", "https://esign.internal"+specs, "", nil)
	if want := "CN=seal,O=Example,2.5.4.97=#130f4e54524e4f2d313233343536373835"; err != nil || status != http.StatusForbidden || !strings.Contains(response, want) {
		t.Errorf("status %d, %q, %v, want the subject %s", status, response, err, want)
	}
	for who, client := range map[string]*http.Client{"nobody": e.client(), "a stranger": e.client(strangers.issue(t, ""))} {
		if status, _, err := e.call(client, "GET", "https://esign.internal"+specs, "", nil); err == nil {
			t.Errorf("%s gets past the handshake, and the status %d", who, status)
		}
	}
}

func TestExampleTenants(t *testing.T) {
	north, south := newCA(t), newCA(t)
	writeTo(t, "NORTH_CA", north.pem())
	writeTo(t, "SOUTH_CA", south.pem())
	e := startExample(t, "tenants.caddyfile", "north.esign.internal", "south.esign.internal")
	e.is(http.StatusOK, e.client(north.issue(t, "")), "GET", "https://north.esign.internal"+specs, "", nil)
	e.is(http.StatusOK, e.client(south.issue(t, "")), "GET", "https://south.esign.internal"+specs, "", nil)
	if status, _, err := e.call(e.client(north.issue(t, "")), "GET", "https://south.esign.internal"+specs, "", nil); err == nil {
		t.Errorf("a caller of one tenant gets status %d at the other", status)
	}
	e.shown("tenants.caddyfile", pemFiles(t, "north", north.issue(t, "")))
	// Nor is there one over a connection that was made to the other site.
	e.is(http.StatusMisdirectedRequest, e.client(north.issue(t, "")), "GET", "https://north.esign.internal"+specs, "", func(r *http.Request) {
		r.Host = "south.esign.internal"
	})
}

func TestExampleSeal(t *testing.T) {
	t.Setenv("SEALER_PASSWORD_HASH", passwordHash)
	e := startExample(t, "seal.caddyfile", "seal.internal")
	const url = "https://seal.internal/v0/b2b/csc/v2/credentials/list"
	e.is(http.StatusOK, e.client(), "POST", url, "{}", func(r *http.Request) { r.SetBasicAuth("sealer", "correct") })
	e.is(http.StatusUnauthorized, e.client(), "POST", url, "{}", nil)
	e.logs(`"user_id":"sealer"`, `"status":200`)
	e.shown("seal.caddyfile", nil, "--user sealer", "--user sealer:correct")
}

func TestExampleOwnProxy(t *testing.T) {
	t.Setenv("APP_PASSWORD_HASH", passwordHash)
	e := startExample(t, "own-proxy.caddyfile", "esign.internal")
	login := func(r *http.Request) { r.SetBasicAuth("app", "correct") }
	e.is(http.StatusOK, e.client(), "GET", "https://esign.internal"+specs, "", login)
	// A response that is not about the token does not mention one.
	if status, body, err := e.call(e.client(), "GET", "https://esign.internal"+specs, "", nil); err != nil || status != http.StatusUnauthorized || body != "401 Unauthorized" {
		t.Errorf("without a password: %d %q, %v", status, body, err)
	}
	e.is(http.StatusNotFound, e.client(), "GET", "https://esign.internal/csc/v2/info", "", login)
	e.shown("own-proxy.caddyfile", nil, "--user app", "--user app:correct")
}

func TestExampleForwardAuth(t *testing.T) {
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "known" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(login.Close)
	t.Setenv("LOGIN_SERVICE", login.Listener.Addr().String())
	e := startExample(t, "forward-auth.caddyfile", "esign.internal")
	e.is(http.StatusOK, e.client(), "GET", "https://esign.internal"+specs, "", func(r *http.Request) { r.Header.Set("X-Api-Key", "known") })
	e.is(http.StatusUnauthorized, e.client(), "GET", "https://esign.internal"+specs, "", nil)
	e.shown("forward-auth.caddyfile", nil, "X-Api-Key: …", "X-Api-Key: known")
}

// If a configuration in the examples or documents has a credential, it does not let
// every user of the machine load another configuration.
func TestExamplesKeepTheAdminEndpointToThemselves(t *testing.T) {
	configs := make(map[string]string)
	files, err := filepath.Glob("examples/*.caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../Caddyfile.example", "ops/Caddyfile") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		configs[file] = string(text)
	}
	for _, d := range readDocuments(t) {
		for i, b := range d.Blocks {
			if b.Kind == "caddyfile" && strings.Contains(b.Text, "client_id") {
				configs[d.Path+" block "+strconv.Itoa(i)] = b.Text
			}
		}
	}
	if len(configs) < 12 {
		t.Errorf("there are %d configurations", len(configs))
	}
	for name, text := range configs {
		var cfg caddy.Config
		if err := json.Unmarshal(adapt(t, text), &cfg); err != nil {
			t.Fatal(err)
		}
		if cfg.Admin == nil || !strings.HasPrefix(cfg.Admin.Listen, "unix/") || !strings.HasSuffix(cfg.Admin.Listen, "|0600") {
			t.Errorf("%s: the admin endpoint is %+v", name, cfg.Admin)
		}
	}
}
