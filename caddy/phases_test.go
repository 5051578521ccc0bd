package caddyesign_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

// listen starts a server that calls serve for each connection, then closes the
// connection. It returns its port.
func listen(t *testing.T, serve func(net.Conn)) (port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			wg.Go(func() {
				defer stop()
				defer conn.Close()
				serve(conn)
			})
		}
	})
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return port
}

// readHead reads the header of a request.
func readHead(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 16) // so that it reads little more than the header
	for {
		if line, err := r.ReadString('\n'); err != nil || line == "\r\n" {
			return
		}
	}
}

// Each phase of a call has a limit. When the limit ends a call, everything that the
// call has begun ends too.
func TestEveryPhaseHasALimit(t *testing.T) {
	const large = 32 << 20 // more than the buffers of two sockets
	failed, ends := make(chan struct{}, 1), make(chan struct{}, 1)
	for _, test := range []struct {
		name   string
		https  bool
		serve  func(net.Conn)
		option string
		size   int
		kind   string
	}{
		{"TLS handshake", true, func(conn net.Conn) {
			_, _ = io.Copy(io.Discard, conn)
			ends <- struct{}{}
		}, "tls_timeout 100ms", 1, "connection_timeout"},
		{"upload over HTTP/1.1", false, func(conn net.Conn) {
			readHead(conn)
			<-failed
			_, _ = io.Copy(io.Discard, conn)
			ends <- struct{}{}
		}, "write_timeout 100ms", large, "connection_write_timeout"},
		{"upload over HTTP/2", true, func(conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
			f := http2.NewFramer(conn, conn)
			_ = f.WriteSettings()
			for {
				if frame, err := f.ReadFrame(); err != nil {
					break
				} else if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
					_ = f.WriteSettingsAck()
				} else if _, ok := frame.(*http2.RSTStreamFrame); ok {
					break
				}
			}
			ends <- struct{}{}
		}, "write_timeout 100ms", 1 << 20, "connection_write_timeout"},
		{"header of the response", false, func(conn net.Conn) {
			_, _ = io.Copy(io.Discard, conn)
			ends <- struct{}{}
		}, "response_header_timeout 100ms", large, "http_response_timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			serve, scheme, trust := test.serve, "http", ""
			if test.https {
				ca := newCA(t)
				cert := ca.issue(t, "")
				file := filepath.Join(f.dir, "ca.pem")
				if err := os.WriteFile(file, ca.pem(), 0o600); err != nil {
					t.Fatal(err)
				}
				scheme, trust = "https", "tls_trust_pool file "+file
				if test.kind != "connection_timeout" {
					serve = func(conn net.Conn) {
						test.serve(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}))
					}
				}
			}
			f.start(fmt.Sprintf(`bankid_esign signdoc {
				callers local
				upstream signdoc %s://localhost:%s
				transport http {
					%s
					%s
				}
			}`, scheme, listen(t, serve), test.option, trust))
			f.do("POST", "/v1/signdoc/convert", strings.Repeat("x", test.size)).is(504).byGateway(test.kind)
			failed <- struct{}{}
			<-ends
			select {
			case <-failed: // for a server that did not wait for it
			default:
			}
		})
	}
}

// If a response stops, it is broken off, and the log says why.
func TestResponseThatStopsBreaksOff(t *testing.T) {
	f := newFixture(t)
	ended := make(chan struct{})
	f.upstream.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(ended)
	})
	f.start(`bankid_esign signdoc csc timestamp {
		callers local
		UPSTREAM
		transport http {
			read_timeout 100ms
		}
	}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil || string(body) != "half" || res.StatusCode != 200 {
		t.Errorf("%d, %q, %v: want half a body, and that it is one", res.StatusCode, body, err)
	}
	<-ended
	const want = "timeout while reading the response: no progress for 100ms"
	eventually(t, func() bool { return strings.Contains(f.logged(), want) })
}
