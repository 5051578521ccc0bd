package caddyesign_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newCertificate returns a self-signed certificate for 127.0.0.1 that is valid until
// the given time, and writes it and its key to files.
func newCertificate(t *testing.T, until time.Time) (cert tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certFile, keyFile
}

// handshake serves TLS. It closes the connection at the first request.
func handshake(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		secure := tls.Server(conn, config)
		_, _ = secure.Read(make([]byte, 1)) // if the handshake has failed, the alert is on its way
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		for { // otherwise the connection would be reset, and the alert lost
			if _, err := conn.Read(make([]byte, 4096)); err != nil {
				return
			}
		}
	}
}

// refuseClient is handshake with TLS 1.3 for a server that refuses the client's
// certificate. It reads all of the client's encrypted records before it responds; the
// last one is the request. Otherwise, if it refused while the request is written, Go's
// client might return the write error instead of the alert.
func refuseClient(records int, config *tls.Config) func(net.Conn) {
	serve := handshake(config)
	return func(conn net.Conn) {
		serve(&recordsAtOnce{TCPConn: conn.(*net.TCPConn), records: records})
	}
}

// recordsAtOnce is a connection whose encrypted TLS records can be read only when all
// of them have arrived.
type recordsAtOnce struct {
	*net.TCPConn
	records  int
	received bytes.Buffer
}

func (c *recordsAtOnce) Read(p []byte) (int, error) {
	const header, applicationData = 5, 23 // bytes; the type of an encrypted record
	for encrypted := false; c.received.Len() == 0 || (encrypted && c.records > 0); {
		if _, err := io.CopyN(&c.received, c.TCPConn, header); err != nil {
			return 0, err
		}
		head := c.received.Bytes()[c.received.Len()-header:]
		if encrypted = head[0] == applicationData; encrypted {
			c.records--
		}
		if _, err := io.CopyN(&c.received, c.TCPConn, int64(binary.BigEndian.Uint16(head[3:]))); err != nil {
			return 0, err
		}
	}
	return c.received.Read(p)
}

// The caller and the log are told why TLS to the API's host fails.
func TestTLSFailuresOfTheAPI(t *testing.T) {
	cert, trusted, _ := newCertificate(t, time.Now().Add(time.Hour))
	expired, trustedExpired, _ := newCertificate(t, time.Now().Add(-time.Hour))
	_, ownCert, ownKey := newCertificate(t, time.Now().Add(time.Hour))
	own := "\ntls_client_auth " + ownCert + " " + ownKey
	certs := []tls.Certificate{cert}
	alert := func(id, message string) string {
		return "tls_alert_received;alert-id=" + id + ";alert-message=" + message
	}
	for name, test := range map[string]struct {
		serve                 func(net.Conn)
		transport, kind, logs string
	}{
		"no cipher suite in common": {
			handshake(&tls.Config{Certificates: certs, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}}), //nolint:gosec // to be refused
			"", alert("40", "handshake_failure"), "remote error: tls: handshake failure",
		},
		"no version in common": {
			handshake(&tls.Config{Certificates: certs, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), //nolint:gosec // to be refused
			"", alert("70", "protocol_version"), "remote error: tls: protocol version not supported",
		},
		"no protocol in common": {
			handshake(&tls.Config{Certificates: certs, NextProtos: []string{"smtp"}}),
			"", alert("120", "no_application_protocol"), "remote error: tls: no application protocol",
		},
		"a client certificate is wanted": {
			refuseClient(3, &tls.Config{Certificates: certs, ClientAuth: tls.RequireAnyClientCert}),
			"", alert("116", "certificate_required"), "remote error: tls: certificate required",
		},
		"a client certificate is wanted, TLS 1.2": {
			handshake(&tls.Config{Certificates: certs, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}),
			"", alert("40", "handshake_failure"), "remote error: tls: handshake failure",
		},
		"another client certificate is wanted": {
			refuseClient(4, &tls.Config{Certificates: certs, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}),
			own, alert("48", "unknown_ca"), "remote error: tls: unknown certificate authority",
		},
		"the client certificate is refused": {
			refuseClient(4, &tls.Config{Certificates: certs, ClientAuth: tls.RequireAnyClientCert, VerifyConnection: func(tls.ConnectionState) error {
				return errors.New("no")
			}}),
			own, alert("42", "bad_certificate"), "remote error: tls: bad certificate",
		},
		"no host of that name": {
			handshake(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}),
			"", alert("112", "unrecognized_name"), "remote error: tls: unrecognized name",
		},
		"trouble of its own": {
			handshake(&tls.Config{Certificates: certs, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }}),
			"", alert("80", "internal_error"), "remote error: tls: internal error",
		},
		"an alert that has no name": {
			func(conn net.Conn) { _, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 77}) },
			"", "tls_alert_received;alert-id=77,", "remote error: tls: alert(77)",
		},
		"a record that is none": {
			func(conn net.Conn) { _, _ = conn.Write([]byte{22, 3, 3, 0, 4, 9, 0, 0, 0}) },
			"", "tls_protocol_error", "tls: ",
		},
		"no TLS": {
			func(conn net.Conn) { _, _ = conn.Write([]byte("220 smtp.example.com ESMTP\r\n")) },
			"", "tls_protocol_error", "first record does not look like a TLS handshake",
		},
		"plain HTTP": {
			func(conn net.Conn) {
				_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
			},
			"", "tls_protocol_error", "first record does not look like a TLS handshake",
		},
		"hangs up": {
			func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) },
			"", "connection_terminated", "EOF",
		},
		"the certificate is not trusted": {
			handshake(&tls.Config{Certificates: certs}),
			"\ntls_trust_pool file " + ownCert, "tls_certificate_error", "certificate signed by unknown authority",
		},
		"the certificate has expired": {
			handshake(&tls.Config{Certificates: []tls.Certificate{expired}}),
			"\ntls_trust_pool file " + trustedExpired, "tls_certificate_error", "certificate has expired",
		},
		"the certificate is another host's": {
			handshake(&tls.Config{Certificates: certs}),
			"\ntls_server_name api.example", "tls_certificate_error", "certificate is not valid for any names, but wanted to match api.example",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			transport := test.transport
			if !strings.Contains(transport, "tls_trust_pool") {
				transport += "\ntls_trust_pool file " + trusted
			}
			f.start("bankid_esign signdoc {\ncallers local\nupstream signdoc https://127.0.0.1:" + listen(t, test.serve) +
				"\ntransport http {" + transport + "\n}\n}")
			response := f.do("GET", path, "").is(502)
			if got := response.Header.Get("Proxy-Status") + ","; !strings.Contains(got, ";error="+test.kind) {
				t.Errorf("Proxy-Status is %q, want error %s", got, test.kind)
			}
			if !strings.Contains(f.logged(), test.logs) {
				t.Errorf("%q is not logged:\n%s", test.logs, f.logged())
			}
		})
	}
}

// A host that accepts connections and never speaks TLS counts as not connected.
func TestTLSThatIsNeverFinished(t *testing.T) {
	f := newFixture(t)
	f.start("bankid_esign signdoc {\ncallers local\nupstream signdoc https://127.0.0.1:" + listen(t, func(conn net.Conn) {
		_, _ = io.Copy(io.Discard, conn)
	}) + "\ntransport http {\ntls_timeout 50ms\n}\n}")
	f.do("GET", path, "").is(504).byGateway("connection_timeout")
}
