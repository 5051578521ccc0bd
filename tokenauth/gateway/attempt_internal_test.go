package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A deed is something that a frameServer does to a call. It reports whether the
// connection goes on.
type deed func(f *http2.Framer, stream uint32) bool

// goesAway promises that the stream was not processed. The stream before it was, if there
// was one on the connection.
func goesAway(code http2.ErrCode) deed {
	return func(f *http2.Framer, stream uint32) bool { return f.WriteGoAway(max(stream, 2)-2, code, nil) == nil }
}

func resetsStream(code http2.ErrCode) deed {
	return func(f *http2.Framer, stream uint32) bool { return f.WriteRSTStream(stream, code) == nil }
}

func responds(f *http2.Framer, stream uint32) bool { return writeStatus(f, stream, "200", true) }

func writeStatus(f *http2.Framer, stream uint32, status string, end bool) bool {
	var block bytes.Buffer
	_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: status})
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end}) == nil
}

// A frameServer speaks HTTP/2. It does one of its deeds to each of the first calls, and
// responds to the others.
type frameServer struct {
	url   string
	deeds []deed

	mu      sync.Mutex
	headers []*http2.MetaHeadersFrame
	calls   int
}

// newFrameServer starts a server, over TLS if there is a certificate.
func newFrameServer(t *testing.T, cert *tls.Certificate, deeds ...deed) *frameServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &frameServer{url: "http://" + ln.Addr().String(), deeds: deeds}
	if cert != nil {
		s.url = "https://" + ln.Addr().String()
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"h2"}})
	}
	var wg, accepting sync.WaitGroup
	var conns sync.Map
	t.Cleanup(func() {
		ln.Close()
		accepting.Wait() // the last connection may have been accepted just now
		conns.Range(func(conn, _ any) bool {
			conn.(net.Conn).Close()
			return true
		})
		wg.Wait()
	})
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Store(conn, nil)
			wg.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	return s
}

// serve serves a connection.
func (s *frameServer) serve(conn net.Conn) {
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if f.WriteSettings() != nil {
		return
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() && f.WriteSettingsAck() != nil {
				return
			}
		case *http2.PingFrame:
			if !frame.IsAck() && f.WritePing(true, frame.Data) != nil {
				return
			}
		case *http2.MetaHeadersFrame:
			s.mu.Lock()
			s.headers = append(s.headers, frame)
			s.mu.Unlock()
			if frame.StreamEnded() && !s.call(f, frame.StreamID) {
				return
			}
		case *http2.DataFrame:
			if frame.StreamEnded() && !s.call(f, frame.StreamID) {
				return
			}
		}
	}
}

// call does the next deed, or responds.
func (s *frameServer) call(f *http2.Framer, stream uint32) bool {
	s.mu.Lock()
	n := s.calls
	s.calls++
	s.mu.Unlock()
	if n < len(s.deeds) {
		return s.deeds[n](f, stream)
	}
	return responds(f, stream)
}

// seen returns how many calls have come.
func (s *frameServer) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// testCert returns a certificate for 127.0.0.1, and the TLS configuration of a client that
// trusts it.
func testCert(t *testing.T) (*tls.Certificate, *tls.Config) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return &server.TLS.Certificates[0], &tls.Config{RootCAs: pool}
}

// baseCase is a round tripper that can be the Base of a Transport.
type baseCase struct {
	name   string
	traits BaseTraits
	h2c    bool
	client func(t *testing.T, config *tls.Config) *http.Transport
}

// bases are two transports of net/http: with its own HTTP/2, and with that of
// golang.org/x/net.
func bases() []baseCase {
	std := func(_ *testing.T, config *tls.Config) *http.Transport {
		return &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}
	}
	xnet := func(t *testing.T, config *tls.Config) *http.Transport {
		base := &http.Transport{TLSClientConfig: config.Clone()}
		if err := http2.ConfigureTransport(base); err != nil { //nolint:staticcheck // as Caddy does
			t.Fatal(err)
		}
		return base
	}
	h2c := func(t *testing.T, config *tls.Config) *http.Transport {
		base := xnet(t, config)
		base.Protocols = new(http.Protocols)
		base.Protocols.SetUnencryptedHTTP2(true)
		return base
	}
	return []baseCase{
		{"net/http", BaseTraits{}, false, std},
		{"x/net", BaseTraits{OnlyUnprocessed: true}, false, xnet},
		{"x/net without TLS", BaseTraits{OnlyUnprocessed: true, Cleartext: true}, true, h2c},
	}
}

// roundTrip sends req through base in one attempt.
func roundTrip(base http.RoundTripper, req *http.Request, traits BaseTraits, limits Limits, safe bool) (*http.Response, error) {
	a, ctx := newAttempt(req.Context(), traits, limits, nil, safe, req.Body == nil, req.URL.Scheme == "http")
	return a.roundTrip(base, req.WithContext(ctx))
}

// send makes a request as a Transport does: its body has a type that Base does not know.
func send(t *testing.T, base http.RoundTripper, traits BaseTraits, limits Limits, method, url, body string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		held := &heldBody{}
		if err := held.fill(strings.NewReader(body), int64(len(body))); err != nil {
			t.Fatal(err)
		}
		req.Body, req.ContentLength = held.reader(), held.length
	}
	res, err := roundTrip(base, req, traits, limits, false)
	if res != nil {
		res.Body.Close()
	}
	return err
}

// A server sees a call once, even if its client would retry it. The error says what the
// server has promised.
func TestBaseSendsOnce(t *testing.T) {
	cert, config := testCert(t)
	const unprocessed, unknown, other = "unprocessed", "unknown", "other"
	for _, test := range []struct {
		name string
		deed deed
		warm bool // the connection was used before
		want string
		// The results with the HTTP/2 of net/http, for a call with a body and for one
		// without. It also retries after PROTOCOL_ERROR, and does not say why.
		stdBody, std string
	}{
		{"GOAWAY below the stream", goesAway(http2.ErrCodeNo), true, unprocessed, unknown, unknown},
		{"GOAWAY of a new connection", goesAway(http2.ErrCodeNo), false, unprocessed, unknown, unknown},
		{"GOAWAY with an error", goesAway(http2.ErrCodeEnhanceYourCalm), false, unprocessed, unprocessed, unprocessed},
		{"REFUSED_STREAM", resetsStream(http2.ErrCodeRefusedStream), true, unprocessed, unknown, unprocessed},
		{"PROTOCOL_ERROR", resetsStream(http2.ErrCodeProtocol), true, other, unknown, unknown},
		{"INTERNAL_ERROR", resetsStream(http2.ErrCodeInternal), true, other, other, other},
		{"the connection ends", func(*http2.Framer, uint32) bool { return false }, true, other, other, other},
	} {
		for _, base := range bases() {
			for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodGet} {
				for _, body := range []string{"", "body"} {
					if body != "" && method == http.MethodGet {
						continue
					}
					t.Run(fmt.Sprint(test.name, "/", base.name, "/", method, body), func(t *testing.T) {
						deeds, warm := []deed{test.deed}, 0
						if test.warm {
							deeds, warm = []deed{responds, test.deed}, 1
						}
						serverCert := cert
						if base.h2c {
							serverCert = nil
						}
						server := newFrameServer(t, serverCert, deeds...)
						client := base.client(t, config)
						defer client.CloseIdleConnections()
						if test.warm {
							if err := send(t, client, base.traits, Limits{}, method, server.url, ""); err != nil {
								t.Fatal(err)
							}
						}
						err := send(t, client, base.traits, Limits{}, method, server.url, body)
						want := test.want
						switch {
						case !base.traits.OnlyUnprocessed && body == "":
							want = test.std
						case !base.traits.OnlyUnprocessed:
							want = test.stdBody
						}
						got := other
						switch {
						case err == nil:
							got = "response"
						case isUnprocessed(err):
							got = unprocessed
						case errors.Is(err, errRetried):
							got = unknown
						}
						if got != want {
							t.Errorf("error is %v (%s), want one that is %s", err, got, want)
						}
						if n := server.seen() - warm; n != 1 {
							t.Errorf("the server saw the call %d times", n)
						}
					})
				}
			}
		}
	}
}

// Over HTTP/1.1, a call is retried only if it was not written.
func TestBaseSendsOnceOverHTTP1(t *testing.T) {
	cert, config := testCert(t)
	for _, secure := range []bool{false, true} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			t.Run(fmt.Sprint(method, secure), func(t *testing.T) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				url := "http://" + ln.Addr().String()
				if secure {
					url = "https://" + ln.Addr().String()
					ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*cert}})
				}
				var wg sync.WaitGroup
				var mu sync.Mutex
				var got []string
				// Each connection takes two calls, and responds to the first one.
				serve := func(conn net.Conn) {
					defer conn.Close()
					r := bufio.NewReader(conn)
					for n := range 2 {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						mu.Lock()
						got = append(got, req.Header.Get("N"))
						mu.Unlock()
						if n == 0 {
							fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
						}
					}
				}
				wg.Go(func() {
					for {
						conn, err := ln.Accept()
						if err != nil {
							return
						}
						wg.Go(func() { serve(conn) })
					}
				})
				client := &http.Transport{TLSClientConfig: config.Clone()}
				defer client.CloseIdleConnections()
				for _, n := range []string{"first", "second"} {
					req, _ := http.NewRequestWithContext(t.Context(), method, url, nil)
					req.Header.Set("N", n)
					if !secure && method == http.MethodGet {
						req.Body = emptyBody{} // as Transport.setBody does
					}
					res, err := roundTrip(client, req, BaseTraits{}, Limits{}, false)
					if (err == nil) != (n == "first") {
						t.Errorf("%s: %v", n, err)
					}
					if res != nil {
						res.Body.Close()
					}
					if n == "second" && secure && method == http.MethodGet && !errors.Is(err, io.EOF) {
						t.Errorf("error is %v", err)
					}
				}
				client.CloseIdleConnections()
				ln.Close()
				wg.Wait()
				if strings.Join(got, " ") != "first second" {
					t.Errorf("the server saw %v", got)
				}
			})
		}
	}
}

// A call without a body is sent as net/http alone sends it: the header ends the stream, and
// only POST has a content-length.
func TestEmptyBodyOverHTTP2(t *testing.T) {
	cert, config := testCert(t)
	for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodGet} {
		server := newFrameServer(t, cert)
		client := bases()[1].client(t, config)
		if err := send(t, client, BaseTraits{}, Limits{Write: time.Minute, Read: time.Minute}, method, server.url, ""); err != nil {
			t.Fatal(err)
		}
		client.CloseIdleConnections()
		header := server.headers[0]
		length := ""
		for _, field := range header.RegularFields() {
			if field.Name == "content-length" {
				length = field.Value
			}
		}
		if want := map[string]string{http.MethodPost: "0"}[method]; !header.StreamEnded() || length != want {
			t.Errorf("%s: END_STREAM is %v, content-length %q, want %q", method, header.StreamEnded(), length, want)
		}
	}
}

// Interim responses reach the caller, except 101: no call asks for that, and HTTP/2 does
// not have it.
func TestInterimResponsesOverHTTP2(t *testing.T) {
	cert, config := testCert(t)
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		for status, want := range map[string]error{"103": nil, "101": ErrSwitched} {
			server := newFrameServer(t, cert, func(f *http2.Framer, stream uint32) bool {
				return writeStatus(f, stream, status, false) && (want != nil || responds(f, stream))
			})
			client := bases()[1].client(t, config)
			var seen []int
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
					seen = append(seen, code)
					return nil
				},
			})
			req, err := http.NewRequestWithContext(ctx, method, server.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := roundTrip(client, req, BaseTraits{}, Limits{}, method == http.MethodGet)
			if res != nil {
				res.Body.Close()
			}
			if !errors.Is(err, want) || (len(seen) == 1) != (want == nil) {
				t.Errorf("%s, %s: error is %v, and the caller saw %v", method, status, err, seen)
			}
			client.CloseIdleConnections()
		}
	}
}

// An interim response may come while the call ends for another reason, in another
// goroutine.
func TestSwitchAfterTheEnd(t *testing.T) {
	ended, told := make(chan struct{}), make(chan struct{})
	a, ctx := newAttempt(t.Context(), BaseTraits{}, Limits{}, nil, false, true, false)
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.example", nil)
	base := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(req.Context())
		go func() {
			defer close(told)
			close(ended)
			_ = trace.Got1xxResponse(http.StatusSwitchingProtocols, nil)
		}()
		<-ended
		return nil, io.EOF
	})
	_, err := a.roundTrip(base, req) //nolint:bodyclose // there is no response
	<-told
	if !errors.Is(err, io.EOF) && !errors.Is(err, ErrSwitched) {
		t.Errorf("the error is %v", err)
	}
}
