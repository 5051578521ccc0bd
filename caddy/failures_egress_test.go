package caddyesign_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// proxyPassword is the password of the egress proxy. It must not be shown anywhere.
const proxyPassword = "pr0xy-planted"

// connectServer returns a proxy that responds to CONNECT with response. If that is 200, it
// forwards to target.
func connectServer(response, target string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, response)
		if strings.HasPrefix(response, "HTTP/1.1 200 ") {
			tunnel(conn, target)
		}
	}
}

// socksServer returns a SOCKS5 proxy that requires a user and a password. It responds
// to these with login, and to the connect request with reply. If both are 0, it forwards
// to target.
func socksServer(login, reply byte, target string) func(net.Conn) {
	return func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		skip := func(n byte) byte { // skips n bytes, and returns the last one
			var last byte
			for range n {
				last, _ = reader.ReadByte()
			}
			return last
		}
		skip(skip(2))
		_, _ = conn.Write([]byte{5, 2})
		skip(skip(2)) // the user name
		skip(skip(1))
		_, _ = conn.Write([]byte{1, login})
		if login != 0 {
			return
		}
		skip(4 + 4 + 2) // the request, with an IPv4 address and a port
		_, _ = conn.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
		if reply == 0 {
			tunnel(conn, target)
		}
	}
}

// tunnel forwards in both directions until both sides have ended.
func tunnel(conn net.Conn, target string) {
	onward, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{conn: onward, onward: conn} {
		wg.Go(func() {
			_, _ = io.Copy(to, from)
			_ = to.(*net.TCPConn).CloseWrite() // only that: a full close could lose an alert on the way
		})
	}
	wg.Wait()
	onward.Close()
}

// If calls go through an egress proxy, the caller and the log are told so, and are told
// whether the proxy is the part that does not work.
func TestFailuresOfAnEgressProxy(t *testing.T) {
	cert, trusted, _ := newCertificate(t, time.Now().Add(time.Hour))
	refusing := "127.0.0.1:" + listen(t, handshake(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert,
		MaxVersion: tls.VersionTLS12, // with 1.3, the request could be under way when the alert comes
	}))
	connect := func(response string) func(net.Conn) { return connectServer(response, refusing) }
	const alert = "tls_alert_received;alert-id=40;alert-message=handshake_failure"
	for name, test := range map[string]struct {
		scheme        string
		serve         func(net.Conn) // nil if nothing listens
		kind, details string         // PROXY stands for the proxy's URL
		logs          string         // if it differs from details
	}{
		"403": {"http", connect("HTTP/1.1 403 Forbidden\r\n\r\n"), "destination_unavailable", "the egress proxy PROXY responds with 403 Forbidden", ""},
		"407": {"http", connect("HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"), "destination_unavailable", "the egress proxy PROXY responds with 407 Proxy Authentication Required", ""},
		"429": {"http", connect("HTTP/1.1 429 \r\n\r\n"), "destination_unavailable", "the egress proxy PROXY responds with 429 Too Many Requests", ""},
		"502": {"http", connect("HTTP/1.0 502 Bad Gateway\r\n\r\nno"), "destination_unavailable", "the egress proxy PROXY responds with 502 Bad Gateway", ""},
		"503": {"http", connect("HTTP/1.1 503\r\n\r\n"), "destination_unavailable", "the egress proxy PROXY responds with 503 Service Unavailable", ""},
		"504": {"http", connect("HTTP/1.1 504 Gateway Timeout\r\n\r\n"), "destination_unavailable", "the egress proxy PROXY responds with 504 Gateway Timeout", ""},
		"599": {"http", connect("HTTP/1.1 599 Odd\r\n\r\n"), "destination_unavailable", "the egress proxy PROXY responds with 599", ""},

		"does not listen":             {"http", nil, "connection_refused", "the egress proxy PROXY cannot be reached", "connection refused"},
		"hangs up":                    {"http", connect(""), "http_response_incomplete", "through the egress proxy PROXY", "unexpected EOF"},
		"does not speak HTTP":         {"http", connect("220 smtp.example.com ESMTP\r\n\r\n"), "http_protocol_error", "through the egress proxy PROXY", "malformed HTTP "},
		"has TLS that is not trusted": {"https", handshake(&tls.Config{Certificates: []tls.Certificate{newUntrusted(t)}}), "tls_certificate_error", "the egress proxy PROXY cannot be reached", "certificate signed by unknown authority"},
		"has no TLS":                  {"https", func(conn net.Conn) { _, _ = io.WriteString(conn, "220 smtp.example.com ESMTP\r\n") }, "tls_protocol_error", "the egress proxy PROXY cannot be reached", "tls: "},
		"is not to blame":             {"http", connect("HTTP/1.1 200 OK\r\n\r\n"), alert, "through the egress proxy PROXY", "remote error: tls: handshake failure"},

		"SOCKS, no such user":     {"socks5", socksServer(1, 0, refusing), "destination_unavailable", "the egress proxy PROXY does not connect: username/password authentication failed", "authentication failed"},
		"SOCKS, not allowed":      {"socks5", socksServer(0, 2, refusing), "destination_unavailable", "the egress proxy PROXY does not connect: unknown error connection not allowed by ruleset", "not allowed by ruleset"},
		"SOCKS, host unreachable": {"socks5h", socksServer(0, 4, refusing), "destination_unavailable", "the egress proxy PROXY does not connect: unknown error host unreachable", "host unreachable"},
		"SOCKS, refused":          {"socks5", socksServer(0, 5, refusing), "destination_unavailable", "the egress proxy PROXY does not connect: unknown error connection refused", "connection refused"},
		"SOCKS, does not listen":  {"socks5", nil, "connection_refused", "the egress proxy PROXY cannot be reached", "connection refused"},
		"SOCKS, hangs up":         {"socks5", func(net.Conn) {}, "destination_unavailable", "the egress proxy PROXY does not connect: ", "socks connect"},
		"SOCKS, is not to blame":  {"socks5", socksServer(0, 0, refusing), alert, "through the egress proxy PROXY", "remote error: tls: handshake failure"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			address := ports.Address(t)
			if test.serve != nil {
				address = "127.0.0.1:" + listen(t, test.serve)
			}
			proxy := test.scheme + "://" + address
			f.start(`bankid_esign signdoc {
				callers local
				upstream signdoc https://127.0.0.1:1
				transport http {
					network_proxy url ` + test.scheme + "://gateway:" + proxyPassword + "@" + address + `
					tls_trust_pool file ` + trusted + `
					tls_server_name 127.0.0.1
				}
			}`)
			details := strings.ReplaceAll(test.details, "PROXY", proxy)
			for _, response := range []*response{f.do("GET", path, "").is(502), f.do("POST", "/v1/signdoc/pades", "{}").is(502), f.do("DELETE", path, "").is(502)} {
				status := response.Header.Get("Proxy-Status")
				if !strings.Contains(status, ";error="+test.kind+";") || !strings.Contains(status, `;details="`+details) {
					t.Errorf("Proxy-Status is %q, want error %s and details %s", status, test.kind, details)
				}
				if strings.Contains(status, proxyPassword) || strings.Contains(status, "gateway:") {
					t.Errorf("it shows the proxy's credentials: %s", status)
				}
			}
			logged := false
			for line := range strings.Lines(f.logged()) {
				if !strings.Contains(line, `"logger":"http.log.error"`) {
					continue
				}
				logged = logged || (strings.Contains(line, "through the egress proxy "+proxy) && strings.Contains(line, strings.ReplaceAll(test.logs, "PROXY", proxy)))
				if strings.Contains(line, proxyPassword) {
					t.Errorf("it logs the proxy's password: %s", line)
				}
			}
			if !logged {
				t.Errorf("the log does not have %q and the proxy:\n%s", test.logs, f.logged())
			}
		})
	}
}

// newUntrusted returns a certificate that nothing trusts.
func newUntrusted(t *testing.T) tls.Certificate {
	cert, _, _ := newCertificate(t, time.Now().Add(time.Hour))
	return cert
}

// Calls go through an egress proxy that works.
func TestCallsThroughAnEgressProxy(t *testing.T) {
	f := newFixture(t)
	cert, trusted, _ := newCertificate(t, time.Now().Add(time.Hour))
	f.upstream.Server.Close()
	f.upstream.Server = httptest.NewUnstartedServer(f.upstream)
	f.upstream.Server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	f.upstream.Server.StartTLS()
	t.Cleanup(f.upstream.Server.Close)
	target := f.upstream.Listener.Addr().String()
	for scheme, serve := range map[string]func(net.Conn){
		"http":   connectServer("HTTP/1.1 200 Connection established\r\n\r\n", target),
		"socks5": socksServer(0, 0, target),
	} {
		f.start(`bankid_esign signdoc {
			callers local
			upstream signdoc https://127.0.0.1:1
			transport http {
				network_proxy url ` + scheme + "://gateway:" + proxyPassword + "@" + "127.0.0.1:" + listen(t, serve) + `
				tls_trust_pool file ` + trusted + `
			}
		}`)
		f.do("GET", path, "").is(200)
		f.do("POST", "/v1/signdoc/pades", "{}").is(200)
	}
}
