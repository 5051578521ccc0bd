package caddyesign_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// ownProxy returns an operator's own reverse_proxy to upstream, with subdirectives of
// it and of its transport.
func ownProxy(upstream, proxy, transport string) string {
	return "reverse_proxy " + upstream + " {\n" + proxy + "\ntransport bankid_esign {\napi signdoc\nupstream " + upstream + "\n" + transport + "\n}\n}"
}

// gatewayTo returns a gateway to upstream, with the same subdirectives.
func gatewayTo(upstream, proxy, transport string) string {
	return "bankid_esign signdoc {\ncallers local\nupstream signdoc " + upstream + "\n" + proxy + "\n" + transport + "\n}"
}

// newRespondingAPI starts an API host. It responds with status as soon as it has the
// header of a call and some bytes of its body. Then it reads on for as long as the
// caller sends.
func newRespondingAPI(t *testing.T, status int, some int64) (url string) {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.CopyN(io.Discard, r.Body, some)
		w.Header().Set("Content-Length", "6")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "response")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	t.Cleanup(api.Close)
	return api.URL
}

// The rest of a body is not taken for a call if the body breaks off, or if the response
// comes before its end, whichever handler responds. The same holds behind an operator's
// own reverse_proxy.
func TestNothingOfABodyIsACall(t *testing.T) {
	// Without full duplex, Go's server reads most of a body before it responds.
	servers := map[string][]string{"gateway": {"enable_full_duplex"}, "own proxy": {"", "enable_full_duplex"}}
	for name, test := range map[string]struct {
		upstream, proxy, transport string
		token                      http.HandlerFunc
		path, after                string
	}{
		"no token":           {upstream: newRespondingAPI(t, 200, 0), token: noToken},
		"no token, buffers":  {upstream: newRespondingAPI(t, 200, 0), token: noToken, proxy: "request_buffers 64KiB"},
		"no token, its page": {upstream: newRespondingAPI(t, 200, 0), token: noToken, after: "handle_errors {\nrespond {err.status_code}\n}"},
		"no such call":       {upstream: newRespondingAPI(t, 200, 0), path: "/nowhere"},
		"no host":            {upstream: "http://" + ports.Address(t)},
		"200":                {upstream: newRespondingAPI(t, 200, 0)},
		"200, streamed":      {upstream: newRespondingAPI(t, 200, 1<<10), transport: "request_buffer 1KiB"},
		"401":                {upstream: newRespondingAPI(t, 401, 0)},
		"413, streamed":      {upstream: newRespondingAPI(t, 413, 1<<20), transport: "request_buffer 1KiB"},
		"502, handled":       {upstream: newRespondingAPI(t, 502, 1<<10), transport: "request_buffer 1KiB", proxy: "@bad status 502\nhandle_response @bad {\nrespond handled 502\n}"},
		"502, dropped":       {upstream: newRespondingAPI(t, 502, 1<<10), transport: "request_buffer 1KiB", proxy: "@bad status 502\nhandle_response @bad {\nvars dropped true\n}"},
		"502, retries":       {upstream: newRespondingAPI(t, 502, 1<<10), transport: "request_buffer 1KiB", proxy: "lb_retries 2\nrequest_buffers 2KiB"},
	} {
		for kind, site := range map[string]string{
			"gateway":   gatewayTo(test.upstream, test.proxy, test.transport),
			"own proxy": ownProxy(test.upstream, test.proxy, test.transport),
		} {
			for _, server := range servers[kind] {
				t.Run(name+" "+kind+" "+server, func(t *testing.T) {
					f := newFixture(t)
					f.issuer.HandleToken(test.token)
					if server != "" {
						f.global = "servers " + f.addr + " {\n" + server + "\n}"
					}
					f.start("route {\nrespond /smuggled SMUGGLED\n" + site + "\n}\n" + test.after)
					f.hidesNoCall(t, cmp.Or(test.path, path))
				})
			}
		}
	}
}

// noToken refuses token requests.
func noToken(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

// hidesNoCall asserts that a call hidden in a body is not made.
func (f *fixture) hidesNoCall(t *testing.T, path string) {
	t.Helper()
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	chunk := func(size int) string { return fmt.Sprintf("%x\r\n%s\r\n", size, strings.Repeat("x", size)) }
	for kind, body := range map[string]string{
		"chunk, long":   fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%s%x\r\n", chunk(3<<20), len(smuggled)),
		"length, short": fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 100<<10+len(smuggled), strings.Repeat("x", 100<<10)),
		"length, long":  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 3<<20+len(smuggled), strings.Repeat("x", 3<<20)),
		"length, cut":   "Content-Length: 5000\r\n\r\n",
	} {
		conn := f.dial(t, "")
		_ = conn.SetDeadline(time.Now().Add(drainTime / 2))
		go func() {
			_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\n"+body+smuggled)
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		responses, _ := io.ReadAll(conn) // until the gateway closes the connection
		if strings.Contains(string(responses), "SMUGGLED") {
			t.Errorf("%s: it is a call", kind)
		}
	}
}

// The guard is active wherever an operator's own reverse_proxy can be.
func TestNothingOfABodyIsACallInAnyRoute(t *testing.T) {
	own := ownProxy(newRespondingAPI(t, 200, 1<<10), "", "request_buffer 1KiB")
	for name, test := range map[string]struct {
		before, site string
		byHost       bool
	}{
		"named route":      {before: "&(own) {\n" + own + "\n}", site: "invoke own"},
		"error route":      {site: "error /v1/* 500\nhandle_errors {\n" + own + "\n}"},
		"handle":           {site: "handle /v1/* {\n" + own + "\n}"},
		"with a gateway":   {site: "handle /v1/* {\n" + own + "\n}\nhandle {\n" + gatewayTo("http://127.0.0.1:1", "", "") + "\n}"},
		"behind a gateway": {site: gatewayTo(newRespondingAPI(t, 404, 0), "@none status 404\nhandle_response @none {\n"+own+"\n}", "")},
		"two":              {site: "@never header X-Never never\nhandle @never {\n" + own + "\n}\nhandle {\n" + own + "\n}"},
		"by host":          {site: own, byHost: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.global = "auto_https off\nservers " + f.addr + " {\nenable_full_duplex\n}"
			config := adapt(t, strings.Replace(f.caddyfile("route /smuggled {\nrespond SMUGGLED\n}\n"+test.site), "http://:", test.before+"\nhttp://:", 1))
			if test.byHost { // without a subroute, which is possible only in JSON
				config = bytes.Replace(config, []byte(`{"handle":[{"handler":"reverse_proxy"`), []byte(`{"match":[{"host":["127.0.0.1"]}],"handle":[{"handler":"reverse_proxy"`), 1)
				if !bytes.Contains(config, []byte(`"host"`)) {
					t.Fatal("no host is chosen")
				}
			}
			f.load(config)
			f.hidesNoCall(t, path)
		})
	}
}

// There too, an early response comes after the upload over HTTP/2, and at once over
// HTTP/1.
func TestEarlyResponseBehindAnOwnProxy(t *testing.T) {
	const size = 4 << 20
	f := newFixture(t)
	f.global = "servers " + f.addr + " {\nprotocols h1 h2c\n}"
	f.start(ownProxy(newEarlyAPI(t, ""), "", ""))
	for _, kind := range []string{"", "chunked", "long"} {
		for name, protocols := range map[string]*http.Protocols{"HTTP/1": nil, "HTTP/2": h2c()} {
			t.Run(name+" "+kind, func(t *testing.T) {
				transport := &http.Transport{Protocols: protocols}
				defer transport.CloseIdleConnections()
				body := &countedBody{Reader: io.LimitReader(rand.NewChaCha8([32]byte{}), size)}
				req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+path, body)
				req.Header.Set("Accept", kind)
				res, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				content, err := io.ReadAll(res.Body)
				if res.StatusCode != 413 || !strings.HasSuffix(string(content), "too large") || err != nil {
					t.Errorf("status is %d; body: %.100q, %v", res.StatusCode, content, err)
				}
				if n := body.read.Load(); n != size && protocols != nil && kind != "long" {
					t.Errorf("the response came after %d bytes", n)
				}
			})
		}
	}
}

// A caller that stops sending, and waits for the end of an early response without a
// length, gets the response whole, with its trailer. So does a caller that sends
// everything.
func TestEarlyResponseWithoutALengthIsWhole(t *testing.T) {
	for name, stops := range map[string]bool{"sends all": false, "stops": true} {
		t.Run(name, func(t *testing.T) {
			if stops {
				caddyesign.ShortPauses(t)
			}
			testEarlyWithoutALength(t, stops)
		})
	}
}

// testEarlyWithoutALength makes calls whose callers stop sending before the end, or not.
func testEarlyWithoutALength(t *testing.T, stops bool) {
	t.Helper()
	const size = 3 << 20
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") == "late" { // so that the gateway waits longer
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.CopyN(io.Discard, r.Body, size)
		}
		w.Header().Set("Trailer", "X-Trailer")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, r.Header.Get("Accept"))
		_ = http.NewResponseController(w).Flush()
		if r.Header.Get("Accept") == "long" {
			_, _ = io.WriteString(w, strings.Repeat("x", 200<<10))
		}
		w.Header().Set("X-Trailer", "trailer")
	}))
	defer api.Close()
	for kind, site := range map[string]string{"gateway": gatewayTo(api.URL, "", ""), "own proxy": ownProxy(api.URL, "", "")} {
		f := newFixture(t)
		f.global = "servers " + f.addr + " {\nprotocols h1 h2c\n}"
		f.start(site)
		var calls sync.WaitGroup
		for name, protocols := range map[string]*http.Protocols{"HTTP/1": nil, "HTTP/2": h2c()} {
			for _, length := range []string{"short", "long", "late"} {
				calls.Go(func() {
					body, sender := io.Pipe()
					defer sender.Close()
					go func() {
						if _, err := io.CopyN(sender, rand.NewChaCha8([32]byte{}), size); err == nil && !stops {
							sender.Close()
						}
					}()
					ctx, cancel := context.WithTimeout(t.Context(), drainTime/2)
					defer cancel()
					req, _ := http.NewRequestWithContext(ctx, "POST", f.url+path, body)
					req.Header.Set("Accept", length)
					transport := &http.Transport{Protocols: protocols}
					defer transport.CloseIdleConnections()
					res, err := transport.RoundTrip(req)
					if err != nil {
						t.Errorf("%s, %s, %s: %v", kind, name, length, err)
						return
					}
					defer res.Body.Close()
					content, err := io.ReadAll(res.Body)
					if want := map[string]int{"short": 5, "long": 4 + 200<<10, "late": 4}[length]; err != nil || len(content) != want || res.Trailer.Get("X-Trailer") != "trailer" {
						t.Errorf("%s, %s, %s: status is %d, %d bytes, trailer %q, %v", kind, name, length, res.StatusCode, len(content), res.Trailer, err)
					}
				})
			}
		}
		calls.Wait()
	}
}
