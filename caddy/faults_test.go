package caddyesign_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A rawUpstream is an API host that responds to the first request of a connection, and
// closes the connection without a response on the next. A server does this if it drops
// an idle connection at the wrong moment.
type rawUpstream struct {
	net.Listener
	mu      sync.Mutex
	targets []string
}

// newRawUpstream starts a rawUpstream.
func newRawUpstream(t *testing.T) *rawUpstream {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &rawUpstream{Listener: ln}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { conn.Close() })
			wg.Go(func() { u.serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return u
}

// serve responds to the first request on conn, and drops it on the second.
func (u *rawUpstream) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for n := 1; ; n++ {
		req, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		u.mu.Lock()
		u.targets = append(u.targets, req.Method+" "+req.RequestURI)
		u.mu.Unlock()
		if n > 1 {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

// count returns how often the upstream saw the call.
func (u *rawUpstream) count(target string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, t := range u.targets {
		if t == target {
			n++
		}
	}
	return n
}

func TestCallsThatMustNotBeRetriedAreSentOnce(t *testing.T) {
	f := newFixture(t)
	u := newRawUpstream(t)
	f.start(fmt.Sprintf(`bankid_esign signdoc csc timestamp {
		callers local
		upstream signdoc http://%[1]s
		upstream csc http://%[1]s
		upstream timestamp http://%[1]s
		lb_retries 3
		lb_try_duration 2s
		lb_try_interval 1ms
		header_up Idempotency-Key operator
	}`, u.Addr()))
	for _, test := range []struct{ method, path, body string }{
		{"DELETE", "/v1/signdoc/pades?sign_id=1", ""},
		{"POST", "/v1/signdoc/pades", "{}"},
		{"POST", "/v1/signdoc/convert", ""},
		{"POST", "/csc/v2/oauth2/token", "grant_type=authorization_code"},
		{"POST", "/csc/v2/credentials/list", "{}"},
		{"POST", "/csc/v2/signatures/signHash", "{}"},
		{"POST", "/v1/timestamp/pades/lta", strings.Repeat("x", 2<<20)},
	} {
		t.Run(test.method+test.path, func(t *testing.T) {
			f.in(t)
			// This leaves an idle connection. The next call is sent on it, and dropped.
			f.do("POST", "/csc/v2/info", "{}").is(200)
			f.do(test.method, test.path, test.body,
				"Idempotency-Key", "callers", "X-Idempotency-Key", "callers", "Authorization", "Bearer service").is(502).byGateway("connection_terminated")
			if n := u.count(test.method + " " + test.path); n != 1 {
				t.Errorf("it was sent %d times, want once", n)
			}
		})
	}
	// A status request can be retried, and is retried.
	f.do("POST", "/csc/v2/info", "{}").is(200)
	f.do("GET", "/v1/signdoc/pades?sign_id=2", "").is(200)
}

func TestCallsAreRetriedWhenNothingWasSent(t *testing.T) {
	f := newFixture(t)
	address := ports.Address(t)
	f.start(fmt.Sprintf(`bankid_esign signdoc {
		callers local
		upstream signdoc http://%s
		lb_try_duration 20s
		lb_try_interval 5ms
	}`, address))
	// Nothing listens until the gateway has tried to connect.
	responses := make(chan *response, 4)
	for _, body := range []string{"{}", strings.Repeat("x", 1<<20), strings.Repeat("y", 3<<20)} {
		go func() { responses <- f.do("POST", "/v1/signdoc/pades", body) }()
	}
	go func() {
		chunked := io.NopCloser(strings.NewReader(strings.Repeat("z", 4<<20)))
		req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+"/v1/signdoc/pades", chunked)
		responses <- roundTrip(t, req)
	}()
	eventually(t, func() bool { return strings.Count(f.logged(), "connection refused") > 10 })
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()
	sizes := make(map[int]bool)
	for range cap(responses) {
		sizes[len((<-responses).is(200).body)] = true
	}
	for _, size := range []int{2, 1 << 20, 3 << 20, 4 << 20} {
		if !sizes[size] {
			t.Errorf("no body of %d bytes came back: %v", size, sizes)
		}
	}
}

func TestRefusedConnectionIsTheProxysError(t *testing.T) {
	f := newFixture(t)
	f.start(fmt.Sprintf(`bankid_esign signdoc {
		callers local
		upstream signdoc http://%s
	}`, ports.Address(t)))
	f.do("GET", path, "").is(502).byGateway("connection_refused")
}

func TestSlowResponseIsAGatewayTimeout(t *testing.T) {
	f := newFixture(t)
	release := make(chan struct{})
	defer close(release)
	f.upstream.handle(func(http.ResponseWriter, *http.Request) { <-release })
	f.start(`bankid_esign signdoc csc timestamp {
		callers local
		UPSTREAM
		transport http {
			response_header_timeout 50ms
		}
	}`)
	f.do("DELETE", path, "").is(504).byGateway("http_response_timeout")
	if n := len(f.upstream.seen()); n != 1 {
		t.Errorf("upstream saw %d calls, want 1", n)
	}
}

func TestRejectedTokenIsRenewedAndTheCallRetried(t *testing.T) {
	f := newFixture(t)
	f.upstream.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	f.start(`bankid_esign signdoc {
		callers local
		upstream signdoc ` + f.upstream.URL + `
	}`)
	body := strings.Repeat("pdf", 1000)
	if got := string(f.do("POST", "/v1/signdoc/pades", body).is(200).body); got != body {
		t.Errorf("the retried body has %d bytes, want %d", len(got), len(body))
	}
	if n := len(f.upstream.seen()); n != 2 {
		t.Errorf("upstream saw %d calls, want 2", n)
	}
	if n := len(f.issuer.TokenRequests()); n != 2 {
		t.Errorf("%d token requests were made, want 2", n)
	}
}

// BankID's document has invalid_client as the only 401 of the CSC token exchange. It
// causes one renewal and one log line, however often it comes. An invalid_grant, which
// is about the code, causes neither.
func TestExchangeRefusedAsInvalidClient(t *testing.T) {
	for code, renewed := range map[string]bool{"invalid_client": true, "invalid_grant": false} {
		t.Run(code, func(t *testing.T) {
			f := newFixture(t)
			f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) {
				tokenauthtest.WriteError(w, http.StatusUnauthorized, code)
			})
			f.start(`bankid_esign csc {
				callers local
				upstream csc ` + f.upstream.URL + `
			}`)
			for range 4 {
				f.do("POST", "/csc/v2/oauth2/token", "grant_type=authorization_code&code=x").is(401)
			}
			calls, requests, lines := 4, 1, 0
			if renewed {
				calls, requests, lines = 5, 2, 1
			}
			if n := len(f.upstream.seen()); n != calls {
				t.Errorf("upstream saw %d calls, want %d", n, calls)
			}
			if n := len(f.issuer.TokenRequests()); n != requests {
				t.Errorf("%d token requests were made, want %d", n, requests)
			}
			if n := strings.Count(f.logged(), "the API refuses the access token"); n != lines {
				t.Errorf("%d lines in the log, want %d", n, lines)
			}
		})
	}
}

func TestManyRejectionsCauseOneFetch(t *testing.T) {
	f := newFixture(t)
	f.upstream.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	f.start(`bankid_esign signdoc {
		callers local
		upstream signdoc ` + f.upstream.URL + `
	}`)
	var wg sync.WaitGroup
	var bad atomic.Int32
	for range 100 {
		wg.Go(func() {
			if f.do("POST", "/v1/signdoc/pades", "{}").StatusCode != 200 {
				bad.Add(1)
			}
		})
	}
	wg.Wait()
	if bad.Load() != 0 {
		t.Errorf("%d of 100 calls failed", bad.Load())
	}
	if n := len(f.issuer.TokenRequests()); n != 2 {
		t.Errorf("%d token requests were made, want 2", n)
	}
}

func TestSecondRejectionGoesToTheCaller(t *testing.T) {
	f := newFixture(t)
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "no")
	})
	f.start(`bankid_esign signdoc {
		callers local
		upstream signdoc ` + f.upstream.URL + `
	}`)
	for range 1000 {
		response := f.do("GET", path, "").is(401)
		if string(response.body) != "no" || response.Header.Get("Proxy-Status") != "" || response.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Fatalf("BankID's response was changed: %v %s", response.Header, response.body)
		}
	}
	if n := len(f.issuer.TokenRequests()); n != 2 {
		t.Errorf("%d token requests were made, want 2", n)
	}
}

func TestSameTransportTwiceInOneRequest(t *testing.T) {
	f := newFixture(t)
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	f.start(`invoke api
	handle_errors 503 {
		invoke api
	}
	}
	&(api) {
		bankid_esign signdoc {
			callers local
			upstream signdoc ` + f.upstream.URL + `
			@bad status 500
			handle_response @bad {
				error 503
			}
		}`)
	f.do("POST", "/v1/signdoc/pades", "{}").is(503).byGateway("proxy_internal_error")
	if n := len(f.upstream.seen()); n != 1 {
		t.Errorf("the call was sent %d times, want once", n)
	}
}

// breaksOff makes a request that ends too early. It asserts that the response, if there
// is one, says so.
func (f *fixture) breaksOff(t *testing.T, request string) {
	t.Helper()
	conn := f.dial(t, request)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest && res.StatusCode != 499 {
		t.Errorf("status is %d, want 400; Proxy-Status: %s", res.StatusCode, res.Header.Get("Proxy-Status"))
	}
}

func TestCutOffUploadIsTheCallersError(t *testing.T) {
	f := newFixture(t)
	f.start(`bankid_esign signdoc {
		callers local
		fail_duration 1m
		upstream signdoc ` + f.upstream.URL + `
	}`)
	f.do("GET", path, "").is(200)
	f.breaksOff(t, "POST /v1/signdoc/pades HTTP/1.1\r\nHOST\r\nContent-Length: 100\r\n\r\nhalf")
	f.do("GET", path, "").is(200)
	if n := len(f.upstream.seen()); n != 2 {
		t.Errorf("upstream saw %d calls, want 2", n)
	}
}

func TestUploadOverMaxSizeIsTooLarge(t *testing.T) {
	for name, buffer := range map[string]string{"held": "1MiB", "streamed": "1KiB"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.start(`request_body {
				max_size 64KiB
			}
			bankid_esign signdoc {
				callers local
				request_buffer ` + buffer + `
				upstream signdoc ` + f.upstream.URL + `
			}`)
			// Its length is unknown: otherwise Caddy's request_body refuses it.
			body := struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 100<<10))}
			res, err := http.Post("http://"+f.addr+path, "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("status is %s, want 413", res.Status)
			}
			if status := res.Header.Get("Proxy-Status"); !strings.Contains(status, "error=http_request_error") {
				t.Errorf("Proxy-Status is %q", status)
			}
		})
	}
}

func TestErrorRoutesSeeTheKindOfEveryError(t *testing.T) {
	f := newFixture(t)
	f.start(`bankid_esign signdoc {
		callers local
		upstream signdoc http://` + ports.Address(t) + `
	}
	handle_errors {
		respond {http.bankid_esign.error}
	}`)
	if got := string(f.do("GET", path, "").body); got != "connection_refused" {
		t.Errorf("the error page says %q", got)
	}
}

// A fault in a caller's body does not count as a failure of the API's host.
func TestBrokenUploadIsNoFailureOfTheAPI(t *testing.T) {
	for name, request := range map[string]string{
		"not held, bad chunk": "POST /csc/v2/info HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZZ\r\n",
		"not held, short":     "POST /csc/v2/info HTTP/1.1\r\nHOST\r\nContent-Length: 10\r\n\r\nhello",
		"held, bad chunk":     "POST /v1/signdoc/pades HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZZ\r\n",
		"large, bad chunk":    "POST /v1/signdoc/pades HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + strings.Repeat("x", 2<<20) + "\r\nZZZ\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.start(strings.Replace(localSite, "callers local", "callers local\nfail_duration 1m", 1))
			f.breaksOff(t, request)
			f.do("POST", "/csc/v2/info", "{}").is(200)
			f.do("GET", path, "").is(200)
		})
	}
}

// Another handler has read a malformed upload before the gateway, and Caddy has put what came
// in its place. That is not sent as if it were all.
func TestMalformedUploadThatAnotherHandlerHasRead(t *testing.T) {
	for name, site := range map[string]string{
		"placeholder": "route {\nlog_append body {http.request.body}\n" + localSite + "\n}",
		"vars":        "vars body {http.request.body}\n" + localSite,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.start(site)
			f.do("POST", path, "{}").is(200)
			f.upstream.seen()
			conn := f.dial(t, "POST "+path+" HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n")
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusBadRequest || !strings.Contains(res.Header.Get("Proxy-Status"), "http_request_error") {
				t.Errorf("the response is %s, %s", res.Status, res.Header.Get("Proxy-Status"))
			}
			if calls := f.upstream.seen(); len(calls) != 0 {
				t.Errorf("the API has got %q", calls[0].body)
			}
		})
	}
}

// A token may expire while a body arrives, and no other token may be available.
func TestOutageOfTheIssuerIsNoFailureOfTheAPI(t *testing.T) {
	waits(t)
	f := newFixture(t)
	var had atomic.Bool
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		if had.Swap(true) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		tokenauthtest.WriteToken(w, "short", 2)
	})
	f.start("bankid_esign signdoc {\ncallers local\nfail_duration 1m\nupstream signdoc " + f.upstream.URL + "\n}")
	f.do("GET", path, "").is(200)
	body, rest := io.Pipe()
	responses := make(chan *response, 1)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+path, body)
		responses <- roundTrip(t, req)
	}()
	_, _ = io.WriteString(rest, "begun")
	eventually(t, func() bool { return f.do("GET", path, "").StatusCode == 503 })
	rest.Close()
	if a := (<-responses).is(503).byGateway("destination_unavailable"); a.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	f.do("GET", "/v1/signdoc/jwks", "").is(200) // this call needs no token
}
