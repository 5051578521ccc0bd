package caddyesign_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// path is the path of a call that each of the sites below allows.
const path = "/v1/signdoc/pades?sign_id=x"

func TestCallersLocal(t *testing.T) {
	f := newFixture(t).start(localSite)
	_, port, _ := net.SplitHostPort(f.addr)
	for _, test := range []struct {
		name   string
		host   string
		header []string
		status int
	}{
		{"direct", f.addr, nil, 200},
		{"by name", "localhost:" + port, nil, 200},
		{"IPv6", "[::1]:" + port, nil, 200},
		{"rebound name", "evil.example:" + port, nil, 403},
		{"name like an address", "127.0.0.1.evil.example:" + port, nil, 403},
		{"forwarded for", f.addr, []string{"X-Forwarded-For", "127.0.0.1"}, 403},
		{"forwarded", f.addr, []string{"Forwarded", "for=127.0.0.1"}, 403},
		{"via", f.addr, []string{"Via", "1.1 nginx"}, 403},
		{"real IP", f.addr, []string{"X-Real-IP", "127.0.0.1"}, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "GET", f.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = test.host
			for i := 0; i < len(test.header); i += 2 {
				req.Header.Set(test.header[i], test.header[i+1])
			}
			response := roundTrip(t, req).is(test.status)
			if test.status == 403 {
				response.byGateway("http_request_denied")
			}
			if got := len(f.upstream.seen()); got != map[int]int{200: 1, 403: 0}[test.status] {
				t.Errorf("upstream saw %d calls", got)
			}
		})
	}
}

func TestCallersLocalBehindAProxyOnTheSameHost(t *testing.T) {
	f := newFixture(t)
	front := ports.Address(t)
	f.start(localSite + "\n}\nhttp://" + front + " {\nreverse_proxy " + f.addr)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+front+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, req).is(403).byGateway("http_request_denied")
	if calls := f.upstream.seen(); len(calls) != 0 {
		t.Error("the call went through")
	}
}

func TestCallersOnAUnixSocket(t *testing.T) {
	f := newFixture(t)
	socket := filepath.Join(f.dir, "gateway.sock")
	f.start(localSite + "\n}\nhttp:// {\nbind unix/" + socket + "\n" + localSite)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("status is %d, want 200", res.StatusCode)
	}
}

func TestBrowsersOfOtherSitesAreRefused(t *testing.T) {
	for _, callers := range []string{"local", "any"} {
		f := newFixture(t).start(strings.Replace(localSite, "local", callers, 1))
		for _, header := range [][]string{
			{"Origin", "https://evil.example"},
			{"Origin", "null"},
			{"Origin", "http://localhost:1"},
			{"Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "same-site"},
			{"Sec-Fetch-Site", "none"},
			{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"},
		} {
			for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
				response := f.do(method, path, "", header...).is(403).byGateway("http_request_denied")
				for name := range response.Header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s %v: the response has %s", method, header, name)
					}
				}
			}
		}
		f.do("GET", path, "", "Origin", f.url, "Sec-Fetch-Site", "same-origin").is(200)
		if calls := f.upstream.seen(); len(calls) != 1 {
			t.Errorf("upstream saw %d calls, want 1", len(calls))
		}
	}
}

func TestCallersAuthenticatedByPassword(t *testing.T) {
	f := newFixture(t).start(`basic_auth {
		app ` + passwordHash + `
	}
	bankid_esign signdoc csc timestamp {
		UPSTREAM
	}`)
	auth := func(password string) []string {
		req := http.Request{Header: http.Header{}}
		req.SetBasicAuth("app", password)
		return []string{"Authorization", req.Header.Get("Authorization")}
	}
	f.do("GET", path, "").is(401)
	f.do("GET", path, "", auth("wrong")...).is(401)
	f.do("GET", path, "", auth("correct")...).is(200)
	if calls := f.upstream.seen(); len(calls) != 1 || !strings.HasPrefix(calls[0].Header.Get("Authorization"), "Bearer token-") {
		t.Errorf("upstream saw %d calls, want one with the gateway's token", len(calls))
	}
	// One field cannot carry both the password and a CSC service token.
	f.do("POST", "/csc/v2/credentials/list", "{}", auth("correct")...).is(403).byGateway("http_request_denied")
	if calls := f.upstream.seen(); len(calls) != 0 {
		t.Error("the gateway's password reached BankID")
	}
}

func TestCallersMustBeAuthenticatedByDefault(t *testing.T) {
	f := newFixture(t).start(`bankid_esign signdoc {
		upstream signdoc http://127.0.0.1:1
	}`)
	f.do("GET", path, "").is(403).byGateway("http_request_denied")
	if log := f.logged(); !strings.Contains(log, "caller refused") || !strings.Contains(log, "basic_auth") {
		t.Error("the log does not say what to add")
	}
}

func TestCallersAuthenticatedByCertificate(t *testing.T) {
	for _, test := range []struct {
		name, mode string
		cert       string // "", "trusted", "foreign"
		status     int
	}{
		{"verified", "require_and_verify", "trusted", 200},
		{"verified if given", "verify_if_given", "trusted", 200},
		{"none given", "verify_if_given", "", 403},
		{"requested, not verified", "request", "trusted", 403},
		{"required, not verified", "require", "foreign", 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			ca, foreign := newCA(t), newCA(t)
			serverCert := filepath.Join(f.dir, "server.pem")
			ca.issue(t, serverCert)
			caFile := filepath.Join(f.dir, "ca.pem")
			if err := os.WriteFile(caFile, ca.pem(), 0o600); err != nil {
				t.Fatal(err)
			}
			trust := ""
			if strings.Contains(test.mode, "verify") {
				trust = "trust_pool file " + caFile
			}
			f.global = "auto_https off"
			_, port, _ := net.SplitHostPort(f.addr)
			f.url = "https://localhost:" + port
			f.site = f.url
			f.start(fmt.Sprintf(`tls %s %s {
				client_auth {
					mode %s
					%s
				}
			}
			bankid_esign signdoc csc timestamp {
				UPSTREAM
			}`, serverCert, serverCert, test.mode, trust))
			pool := x509.NewCertPool()
			pool.AddCert(ca.cert)
			config := &tls.Config{RootCAs: pool, ServerName: "localhost"}
			switch test.cert {
			case "trusted":
				config.Certificates = []tls.Certificate{ca.issue(t, "")}
			case "foreign":
				config.Certificates = []tls.Certificate{foreign.issue(t, "")}
			}
			transport := &http.Transport{TLSClientConfig: config}
			defer transport.CloseIdleConnections()
			req, err := http.NewRequestWithContext(t.Context(), "GET", f.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != test.status {
				t.Errorf("status is %d, want %d", res.StatusCode, test.status)
			}
		})
	}
}

// A certAuthority issues certificates for localhost.
type certAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCA makes a certificate authority.
func newCA(t *testing.T) *certAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &certAuthority{cert, key}
}

// pem returns the authority's own certificate.
func (ca *certAuthority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// issue issues a certificate. If file is not "", it writes certificate and key there.
func (ca *certAuthority) issue(t *testing.T, file string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames:    []string{"localhost"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if file != "" {
		if err := os.WriteFile(file, append(certPEM, keyPEM...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
