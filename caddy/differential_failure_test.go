package caddyesign_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// A hostFailure is how a call fails at the API's host or on the way there.
type hostFailure struct {
	name      string
	host      func(t *testing.T) string // starts a host, and returns its address
	secure    bool                      // whether its URL is https
	transport string                    // subdirectives of the http transport
	status    int                       // of the response to the caller
	kind      string                    // the proxy error type; "" if the response does not say
}

// serving returns the host of a hostFailure that serves its connections with serve.
func serving(serve func(net.Conn)) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		return "127.0.0.1:" + listen(t, serve)
	}
}

// received returns what serves a connection with serve after it has read a request.
func received(serve func(*net.TCPConn)) func(*testing.T) string {
	return serving(func(conn net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		serve(conn.(*net.TCPConn))
	})
}

// hangUp ends a connection after the peer has.
func hangUp(conn *net.TCPConn) {
	_ = conn.CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
}

// framing returns the host of a hostFailure that responds over HTTP/2 with frames.
func framing(frames func(f *http2.Framer, stream uint32) error) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		h := newScriptedHost(t, true)
		h.expect(wireReply{frames: frames}, false)
		return h.Addr().String()
	}
}

// resetting returns the host of a hostFailure that resets each stream of HTTP/2.
func resetting(code http2.ErrCode) func(*testing.T) string {
	return framing(func(f *http2.Framer, stream uint32) error { return f.WriteRSTStream(stream, code) })
}

// everySecond returns the host of a hostFailure that responds to every second call with 200,
// and to the others with frames.
func everySecond(frames func(f *http2.Framer, stream uint32) error) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		var n atomic.Int32
		return framing(func(f *http2.Framer, stream uint32) error {
			if n.Add(1)%2 == 1 {
				return frames(f, stream)
			}
			const status200 = 0x88 // RFC 7541 appendix A
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{status200}, EndHeaders: true, EndStream: true})
		})(t)
	}
}

// silent serves a connection by nothing.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// hostFailures are the failures that both ways must show alike.
func hostFailures(t *testing.T) []hostFailure {
	t.Helper()
	cert, trusted, _ := newCertificate(t, time.Now().Add(time.Hour))
	config := &tls.Config{Certificates: []tls.Certificate{cert}}                                                                      //nolint:gosec // the client decides
	wantsClient := &tls.Config{Certificates: config.Certificates, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12} //nolint:gosec // its alert comes at once
	trusts := "tls_trust_pool file " + trusted
	dns := func(rcode int) string { return "resolvers " + newDNS(t, rcode) }
	named := func(*testing.T) string { return fmt.Sprintf("api%d.example:443", time.Now().UnixNano()) }
	return []hostFailure{
		{"nothing listens", func(t *testing.T) string { return ports.Address(t) }, false, "", 502, "connection_refused"},
		{"the DNS knows no such host", named, true, dns(3), 502, "dns_error"},
		{"the DNS is silent", named, true, "dial_timeout 50ms\n" + dns(-1), 504, "dns_timeout"},
		{"there is no time to connect", serving(silent), false, "dial_timeout 1ns", 504, "connection_timeout"},
		{"the certificate is not known", serving(handshake(config)), true, "", 502, "tls_certificate_error"},
		{"the certificate is another host's", serving(handshake(config)), true, "tls_server_name api.example\n" + trusts, 502, "tls_certificate_error"},
		{"a client certificate is wanted", serving(handshake(wantsClient)), true, trusts, 502, "tls_alert_received"},
		{"nothing fails, with TLS", serving(func(conn net.Conn) {
			secure := tls.Server(conn, config)
			if req, err := http.ReadRequest(bufio.NewReader(secure)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(secure, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				_ = secure.CloseWrite()
				silent(conn)
			}
		}), true, trusts, 200, ""},
		{"there is no TLS", serving(func(conn net.Conn) { _, _ = io.WriteString(conn, "220 smtp\r\n") }), true, "", 502, "tls_protocol_error"},
		{"the handshake does not end", serving(silent), true, "tls_timeout 50ms", 504, "connection_timeout"},
		{"the header does not come", serving(silent), false, "response_header_timeout 50ms", 504, "http_response_timeout"},
		{"the header does not come, HTTP/2", framing(func(*http2.Framer, uint32) error { return nil }), false, "versions h2c\nresponse_header_timeout 50ms", 504, "http_response_timeout"},
		{"the header does not end", received(func(conn *net.TCPConn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Cut: ")
			silent(conn)
		}), false, "response_header_timeout 50ms", 504, "http_response_timeout"},
		{"the body stands still", received(func(conn *net.TCPConn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 10\r\n\r\nfirst")
			silent(conn)
		}), false, "read_timeout 50ms", 200, ""},
		{"the connection ends before the response", received(hangUp), false, "", 502, "connection_terminated"},
		{"the connection is reset before the response", received(func(conn *net.TCPConn) { _ = conn.SetLinger(0) }), false, "", 502, "connection_terminated"},
		{"the connection ends in the header", received(func(conn *net.TCPConn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			hangUp(conn)
		}), false, "", 502, "http_response_incomplete"},
		{"the stream is reset", resetting(http2.ErrCodeInternal), false, "versions h2c", 502, "connection_terminated"},
		{"the stream is canceled", resetting(http2.ErrCodeCancel), false, "versions h2c", 502, "connection_terminated"},
		{"the stream ends without an error", resetting(http2.ErrCodeNo), false, "versions h2c", 502, "connection_terminated"},
		{"the stream is for HTTP/1.1", resetting(http2.ErrCodeHTTP11Required), false, "versions h2c", 502, "connection_terminated"},
		{"the stream is refused at first", everySecond(func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}), false, "versions h2c", 200, ""},
		{"GOAWAY below the call at first", everySecond(func(f *http2.Framer, _ uint32) error {
			return f.WriteGoAway(0, http2.ErrCodeNo, nil)
		}), false, "versions h2c", 200, ""},
		{"the stream is refused", resetting(http2.ErrCodeRefusedStream), false, "versions h2c", 503, "destination_unavailable"},
		{"GOAWAY with the call, and the end", framing(func(f *http2.Framer, stream uint32) error {
			_ = f.WriteGoAway(stream, http2.ErrCodeNo, nil)
			return io.EOF
		}), false, "versions h2c", 502, "connection_terminated"},
		{"GOAWAY with an error", framing(func(f *http2.Framer, stream uint32) error {
			_ = f.WriteGoAway(stream, http2.ErrCodeEnhanceYourCalm, []byte("slow down"))
			return io.EOF
		}), false, "versions h2c", 502, "connection_terminated"},
		{"the connection of HTTP/2 ends", framing(func(*http2.Framer, uint32) error { return io.EOF }), false, "versions h2c", 502, "http_response_incomplete"},
		{"a frame that is none", framing(func(f *http2.Framer, stream uint32) error {
			return f.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, stream, []byte{0xff, 0xff, 0xff})
		}), false, "versions h2c", 502, "http_protocol_error"},
	}
}

// If a call fails at the API's host or on the way there, neither its caller nor who reads the
// log and the metrics can tell which way it has taken.
func TestBothWaysFailAlike(t *testing.T) {
	waits(t)
	compareFailures(t, "", func(c *wireCall, n int) { c.http2 = n%2 == 1 })
}

// compareFailures makes calls that fail over pairs of gateways with the certificate cert. over
// sets the version of HTTP of call n.
func compareFailures(t *testing.T, cert string, over func(c *wireCall, n int)) {
	t.Helper()
	failures := hostFailures(t)
	pairs := make([]pair, len(failures))
	for i, failure := range failures {
		pairs[i] = pair{
			hosts: [2]string{failure.host(t), failure.host(t)}, secure: failure.secure, cert: cert,
			options: "transport http {\n" + failure.transport + "\n}",
		}
	}
	f, admin, lanes := startPairs(t, pairs)
	calls := []string{"GET /get", "GET /v1/signdoc/pades", "GET /v1/signdoc/pades", "POST /v1/signdoc/pades", "PUT /put", "DELETE /v1/signdoc/pades", "DELETE /v1/signdoc/pades", "HEAD /head"}
	var all sync.WaitGroup
	made := 0
	for i, failure := range failures {
		calls := calls
		if failure.status == http.StatusServiceUnavailable {
			calls = calls[:1] // it is retried for seconds
		}
		made += len(calls)
		all.Go(func() {
			for j, call := range calls {
				n := 100*i + j
				c := &wireCall{framing: "none", fields: []field{{"Accept-Case", fmt.Sprint(n)}}}
				c.method, c.target, _ = strings.Cut(call, " ")
				switch c.method {
				case "POST", "PUT":
					c.framing, c.body = "length", strings.Repeat("x", 1000)
				case "DELETE":
					c.target += fmt.Sprintf("?sign_id=%d", n)
				}
				over(c, j)
				var seen [2]string
				var both sync.WaitGroup
				for way, l := range lanes[i] {
					both.Go(func() { seen[way] = l.normal(c.send(t, l.name, l.addr)) })
				}
				both.Wait()
				if seen[0] != seen[1] {
					t.Errorf("%s: %s\nshort way: %q\nlong way: %q", failure.name, c, seen[0], seen[1])
				}
				if c.http3 && seen[0] == brokeOff && failure.kind == "" {
					continue
				}
				if !strings.Contains(seen[0], fmt.Sprint(failure.status)) || !strings.Contains(seen[0], "error="+failure.kind) && failure.kind != "" {
					t.Errorf("%s: %s\nseen is %q, want status %d and error=%s", failure.name, c, seen[0], failure.status, failure.kind)
				}
			}
		})
	}
	all.Wait()
	compareMetrics(t, admin)
	if err := caddy.Stop(); err != nil { // then all is logged
		t.Fatal(err)
	}
	if logged := compareLogs(t, f.logged(), lanes, func(int) bool { return true }); logged != made {
		t.Errorf("%d of %d calls were logged", logged, made)
	}
}
