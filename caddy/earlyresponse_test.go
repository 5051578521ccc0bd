package caddyesign_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// countedBody counts the bytes that are read from it.
type countedBody struct {
	io.Reader
	read atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read.Add(int64(n))
	return n, err
}

// newEarlyAPI starts an API host that responds with 413 before it has read the body. The
// response has a length, or none, or is longer than the limit for holding back. The
// Accept field of a call says which, or else kind.
func newEarlyAPI(t *testing.T, kind string) (url string) {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		switch cmp.Or(r.Header.Get("Accept"), kind) {
		case "chunked":
			_ = http.NewResponseController(w).Flush()
		case "long":
			_, _ = io.WriteString(w, strings.Repeat("x", 100<<10))
		}
		_, _ = io.WriteString(w, "too large")
	}))
	t.Cleanup(api.Close)
	return api.URL
}

// h2c returns the protocols for HTTP/2 without TLS.
func h2c() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return protocols
}

// Over HTTP/2, a response ends the body of its call, and many callers read the response
// only after they have sent the whole body. So every response comes after the body.
func TestResponseOverHTTP2ComesAfterTheBody(t *testing.T) {
	const size = 4 << 20
	unavailable := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	for name, test := range map[string]struct {
		site, upstream, path string
		token                http.HandlerFunc
		status               int
	}{
		"caller refused":       {"callers authenticated", "", path, nil, 403},
		"no such call":         {"callers local", "", "/nowhere", nil, 404},
		"API is not there":     {"callers local", "http://" + ports.Address(t), path, nil, 502},
		"API refuses":          {"callers local", newEarlyAPI(t, ""), path, nil, 413},
		"API refuses, chunked": {"callers local", newEarlyAPI(t, "chunked"), path, nil, 413},
		"no token":             {"callers local", "", path, unavailable, 503},
		"no token, error page": {"callers local\n}\nhandle_errors {\nrespond {err.status_code}", "", path, unavailable, 503},
	} {
		for kind, length := range map[string]int64{"length": size, "chunked": -1} {
			t.Run(name+" "+kind, func(t *testing.T) {
				f := newFixture(t)
				f.global = "servers " + f.addr + " {\nprotocols h1 h2c\n}"
				f.issuer.HandleToken(test.token)
				f.start("bankid_esign signdoc {\nupstream signdoc " + cmp.Or(test.upstream, f.upstream.URL) + "\n" + test.site + "\n}")
				transport := &http.Transport{Protocols: h2c()}
				defer transport.CloseIdleConnections()
				body := &countedBody{Reader: io.LimitReader(rand.NewChaCha8([32]byte{}), size)}
				req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+test.path, body)
				req.ContentLength = length
				res, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				content, err := io.ReadAll(res.Body)
				if res.StatusCode != test.status || err != nil {
					t.Errorf("status is %d, want %d; body: %.100q, %v", res.StatusCode, test.status, content, err)
				}
				if n := body.read.Load(); n != size {
					t.Errorf("the response came after %d bytes", n)
				}
			})
		}
	}
}

// Over HTTP/1, an API's early response reaches its caller at once and whole, although the
// caller sends no more of the body.
func TestEarlyResponseOverHTTP1ComesAtOnce(t *testing.T) {
	const sent = 2 << 20 // more than is read into memory before the call is made
	f := newFixture(t).start("bankid_esign signdoc {\ncallers local\nupstream signdoc " + newEarlyAPI(t, "") + "\n}")
	for _, response := range []string{"", "chunked"} {
		for kind, body := range map[string]string{
			"Content-Length: 3000000":    strings.Repeat("x", sent),
			"Content-Length: 2097153":    strings.Repeat("x", sent), // one byte is missing
			"Transfer-Encoding: chunked": fmt.Sprintf("%x\r\n%s", 3000000, strings.Repeat("x", sent)),
		} {
			t.Run(response+" "+kind, func(t *testing.T) {
				conn := f.dial(t, "POST "+path+" HTTP/1.1\r\nHOST\r\nAccept: "+response+"\r\n"+kind+"\r\n\r\n"+body)
				_ = conn.SetReadDeadline(time.Now().Add(drainTime / 2))
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				content, err := io.ReadAll(res.Body)
				if res.StatusCode != 413 || string(content) != "too large" || err != nil || !res.Close {
					t.Errorf("status is %d, body: %q, %v; closes: %t", res.StatusCode, content, err, res.Close)
				}
			})
		}
	}
}

// After an early response, the rest of the body is not taken for a call.
func TestNothingAfterAnEarlyResponseIsACall(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	for _, rest := range []string{smuggled, strings.Repeat(smuggled, 100_000)} {
		f := newFixture(t).start("route {\nrespond /smuggled SMUGGLED\nbankid_esign signdoc {\ncallers local\nupstream signdoc " + newEarlyAPI(t, "") + "\n}\n}")
		conn := f.dial(t, fmt.Sprintf("POST %s HTTP/1.1\r\nHOST\r\nContent-Length: %d\r\n\r\n%s", path, 2<<20+len(rest), strings.Repeat("x", 2<<20)))
		received := bufio.NewReader(conn)
		res, err := http.ReadResponse(received, nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		go func() { _, _ = io.WriteString(conn, rest+smuggled) }()
		if more, _ := io.ReadAll(received); len(bytes.TrimPrefix(more, []byte("too large"))) > 0 {
			t.Errorf("there is more: %q", more)
		}
	}
}

// Callers that are not admitted cannot block the gateway by slow uploads, and do not
// keep the bodies of others from being read.
func TestStrangersAreHeardInPlacesOfTheirOwn(t *testing.T) {
	for kind, length := range map[string]int{"long": 3_000_000, "short": 30_000} {
		t.Run(kind, func(t *testing.T) { testStrangers(t, length) })
	}
}

// testStrangers refuses callers that begin to send bodies of length bytes.
func testStrangers(t *testing.T, length int) {
	const strangers, heard = 200, 64
	f := newFixture(t).start("handle /v1/signdoc/pades {\nbankid_esign signdoc {\nupstream signdoc " + newEarlyAPI(t, "") + "\n}\n}\nhandle {\n" + localSite + "\n}")
	var ended atomic.Int64
	var reading sync.WaitGroup
	t.Cleanup(reading.Wait)
	for range strangers {
		conn := f.dial(t, fmt.Sprintf("POST %s HTTP/1.1\r\nHOST\r\nContent-Length: %d\r\n\r\nbegun", path, length))
		reading.Go(func() {
			if response, _ := io.ReadAll(conn); bytes.HasPrefix(response, []byte("HTTP/1.1 403 ")) {
				ended.Add(1)
			}
		})
	}
	eventually(t, func() bool { return ended.Load() == strangers-heard })
	for range 3 {
		f.do("POST", "/nowhere", strings.Repeat("x", 8<<20)).is(404).byGateway("http_request_denied")
	}
	if n := ended.Load(); n != strangers-heard {
		t.Errorf("%d strangers are not heard, want %d", n, strangers-heard)
	}
}

// A body that a caller sends for ever after its response is not read for ever.
func TestEndlessBodyEnds(t *testing.T) {
	f := newFixture(t).start(localSite)
	conn := f.dial(t, "POST /nowhere HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk := "100000\r\n" + strings.Repeat("x", 1<<20) + "\r\n"
	sent := 0
	for ; sent < 1000; sent++ {
		if _, err := io.WriteString(conn, chunk); err != nil {
			break
		}
	}
	if sent < 30 || sent > 200 {
		t.Errorf("%d MiB were read", sent)
	}
}

// An early response that is too long to be held back arrives whole.
func TestLongEarlyResponseIsWhole(t *testing.T) {
	f := newFixture(t)
	f.global = "servers " + f.addr + " {\nprotocols h1 h2c\n}"
	f.start("bankid_esign signdoc {\ncallers local\nupstream signdoc " + newEarlyAPI(t, "long") + "\n}")
	for name, protocols := range map[string]*http.Protocols{"HTTP/1": nil, "HTTP/2": h2c()} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{Protocols: protocols}
			defer transport.CloseIdleConnections()
			req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+path, io.LimitReader(rand.NewChaCha8([32]byte{}), 4<<20))
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if content, err := io.ReadAll(res.Body); res.StatusCode != 413 || len(content) != 100<<10+9 || err != nil {
				t.Errorf("status is %d, with %d bytes, %v", res.StatusCode, len(content), err)
			}
		})
	}
}

// After the refusal of a short body, the connection is used again.
func TestRefusedCallKeepsItsConnection(t *testing.T) {
	f := newFixture(t)
	for _, site := range []string{localSite, ownProxy(f.upstream.URL, "", "")} {
		f.start(site)
		f.keepsConnection(t)
	}
}

// keepsConnection makes calls that are refused, and asserts that all use one
// connection.
func (f *fixture) keepsConnection(t *testing.T) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for i, size := range []int{1, 1000, 60_000, 1} {
		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
		req, _ := http.NewRequestWithContext(ctx, "POST", f.url+"/nowhere", strings.NewReader(strings.Repeat("x", size)))
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != 404 || reused != (i > 0) {
			t.Errorf("%d bytes: status is %d, connection is used again: %t", size, res.StatusCode, reused)
		}
	}
}

// Callers that wait to be asked for a body, and callers that keep no connection open,
// get their response.
func TestRefusedUploadOfUnusualCallers(t *testing.T) {
	f := newFixture(t).start(localSite)
	for name, head := range map[string]string{
		"waits":                    "HTTP/1.1\r\nHOST\r\nExpect: 100-continue\r\nContent-Length: 3000000\r\n\r\n",
		"waits, chunked":           "HTTP/1.1\r\nHOST\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.0":                 "HTTP/1.0\r\nHOST\r\nContent-Length: 3000000\r\n\r\nbegun",
		"HTTP/1.0, kept alive":     "HTTP/1.0\r\nHOST\r\nConnection: keep-alive\r\nContent-Length: 3000000\r\n\r\nbegun",
		"closes":                   "HTTP/1.1\r\nHOST\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\nbegun",
		"sends nothing of its own": "HTTP/1.1\r\nHOST\r\nContent-Length: 3000000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := f.dial(t, "POST /nowhere "+head)
			_ = conn.SetReadDeadline(time.Now().Add(drainTime / 2))
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if rest, err := io.ReadAll(res.Body); res.StatusCode != 404 || !res.Close || len(rest) > 0 || err != nil {
				t.Errorf("status is %d, closes: %t; body: %q, %v", res.StatusCode, res.Close, rest, err)
			}
		})
	}
}

// An early response that does not come to its end is sent as it comes. So the caller sees
// its status, although the server waits for the rest of the body.
func TestEarlyResponseThatDoesNotEndIsSeen(t *testing.T) {
	over := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
		_ = http.NewResponseController(w).Flush()
		<-over
	}))
	f := newFixture(t)
	t.Cleanup(api.Close)
	t.Cleanup(func() { close(over) })
	f.global = "servers " + f.addr + " {\nprotocols h1 h2c\n}"
	f.start("bankid_esign signdoc {\ncallers local\nupstream signdoc " + api.URL + "\n}")
	var calls sync.WaitGroup
	for name, protocols := range map[string]*http.Protocols{"HTTP/1": nil, "HTTP/2": h2c()} {
		calls.Go(func() {
			body, sender := io.Pipe()
			defer sender.Close()
			go func() { _, _ = io.CopyN(sender, rand.NewChaCha8([32]byte{}), 2<<20) }() // and no more than that
			transport := &http.Transport{Protocols: protocols}
			defer transport.CloseIdleConnections()
			req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+path, body)
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			defer res.Body.Close()
			content := make([]byte, len("too large"))
			if _, err := io.ReadFull(res.Body, content); err != nil || res.StatusCode != 413 || string(content) != "too large" {
				t.Errorf("%s: status is %d, body: %q, %v", name, res.StatusCode, content, err)
			}
		})
	}
	calls.Wait()
}
