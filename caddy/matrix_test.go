package caddyesign_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// A fault is what happens to a call when it is sent for the first time.
type fault struct {
	name    string
	script  script        // for an upstream with HTTP/1.1
	script2 script2       // for an upstream with HTTP/2
	proxy   string        // further subdirectives of the transport
	header  []string      // of the request
	prepare func(*matrix) // called before the calls are made

	// again reports whether the call is retried, and then succeeds. nil means never.
	again func(matrixCall) bool

	// spares reports whether the fault does not affect the call. nil means that it
	// always does.
	spares func(matrixCall) bool

	// These are what the caller gets otherwise: the status; the proxy error, as a
	// regular expression, if the error is the gateway's; and whether the body breaks
	// off.
	status int
	error  string
	cut    bool

	unseen bool // the upstream does not see the call
	waits  bool // it takes seconds
}

// faults are all the faults that a call can meet on its way. The expected result
// follows from the call's kind, retry class and method, so a new row of the table
// needs no change here.
func faults() []fault {
	const (
		refused    = `{"error":"invalid_token"}`
		ambiguous  = `{"error":"invalid_grant"}`
		terminated = "connection_terminated"
		broken     = "(http_response_incomplete|connection_terminated)"
		brief      = "response_header_timeout 2s"
	)
	// A call that the upstream promises not to have processed is retried, if its
	// body is held.
	always := func(matrixCall) bool { return true }
	safeGet := func(c matrixCall) bool { return c.Retry == gateway.Safe && c.Method == http.MethodGet }
	return []fault{
		{name: "401", script: respond("401 Unauthorized", refused), again: refusedFor(bankid.APIs()...), status: 401},
		// In CSC, the code may be what is refused.
		{name: "401 of a code", script: respond("401 Unauthorized", ambiguous), again: refusedFor(bankid.SignDoc, bankid.Timestamp, bankid.B2B), status: 401},
		{name: "403 for a new token", script: respond("403 Forbidden", ""), status: 403},
		{name: "403 for an old token", script: respond("403 Forbidden", ""), waits: true, prepare: (*matrix).age, again: refusedFor(bankid.SignDoc, bankid.Timestamp), status: 403},
		{name: "101", script: respond("101 Switching Protocols", ""), again: safeGet, status: 502, error: "http_protocol_error"},
		{name: "status below 100", script: respond("099 Odd", ""), again: safeGet, status: 502, error: "http_protocol_error"},
		{name: "425", script: respond("425 Too Early", ""), status: 425},
		{name: "502", script: respond("502 Bad Gateway", ""), status: 502},
		{name: "503", script: respond("503 Service Unavailable", ""), status: 503},
		{name: "connection refused", prepare: func(m *matrix) { m.upstream.Close() }, status: 502, error: "connection_refused", unseen: true},
		{name: "reset of an idle connection on reuse", script: resets(""), prepare: (*matrix).warm, again: safeGet, status: 502, error: terminated},
		{name: "reset before the response", script: resets(""), again: safeGet, status: 502, error: terminated},
		{name: "reset in the header of the response", script: resets("HTTP/1.1 200 O"), again: safeGet, status: 502, error: broken},
		{name: "reset in the body of the response", script: resets("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), status: 200, cut: true},
		{name: "timeout", script: hangs, waits: true, proxy: brief, again: safeGet, status: 504, error: "http_response_timeout"},
		{name: "GOAWAY", script2: goesAway, again: always},
		{name: "REFUSED_STREAM", script2: resetsStream(http2.ErrCodeRefusedStream), again: always},
		{name: "PROTOCOL_ERROR of a stream", script2: resetsStream(http2.ErrCodeProtocol), again: safeGet, status: 502, error: terminated},
		{name: "INTERNAL_ERROR of a stream", script2: resetsStream(http2.ErrCodeInternal), again: safeGet, status: 502, error: terminated},
		{name: "reset of an HTTP2 connection", script2: resets2, again: safeGet, status: 502, error: broken},
		{name: "timeout of a stream", script2: hangs2, waits: true, proxy: brief, again: safeGet, status: 504, error: "http_response_timeout"},
		{name: "early data", script: respond("200 OK", "ok"), header: []string{"Early-Data", "1"}, spares: safeGet, status: 425, error: "http_request_denied", unseen: true},
	}
}

// refusedFor returns a condition: the call is retried when its token is refused, in
// a way that has this meaning only for the given APIs.
func refusedFor(apis ...bankid.API) func(matrixCall) bool {
	return func(c matrixCall) bool {
		return slices.Contains(apis, bankid.API(c.Group)) && c.Retry != gateway.Never &&
			(c.Kind == gateway.Bearer || c.Kind == gateway.DPoP)
	}
}

// A matrixCall is a call of the table, with or without a body.
type matrixCall struct {
	gateway.Call
	n    int
	body string
}

// name returns the name of the subtest.
func (c matrixCall) name() string {
	name := c.Method + strings.ReplaceAll(c.Path, "/", " ")
	if c.body != "" {
		name += " with a body"
	}
	return name
}

// matrixCalls returns each row of the table without a body, and also with one if the
// call can have it.
func matrixCalls() []matrixCall {
	var calls []matrixCall
	for _, row := range bankid.Calls(bankid.APIs()...) {
		bodies := []string{""}
		if row.Method != http.MethodGet {
			bodies = []string{"", "{}"}
		}
		for _, body := range bodies {
			calls = append(calls, matrixCall{row, len(calls), body})
		}
	}
	return calls
}

// A matrix is a gateway in front of an upstream with a fault. Each call has its own handler and client. So it does not find what
// another call left: a connection, or a token that was renewed just now and is not
// renewed again so soon.
type matrix struct {
	fault
	t        *testing.T
	upstream *scriptedUpstream
	calls    []matrixCall
	url      string
}

// newMatrices starts a gateway and an upstream for each fault. The gateways are sites of
// one configuration.
func newMatrices(t *testing.T, faults ...fault) []*matrix {
	f := newFixture(t)
	ca := newCA(t)
	cert := ca.issue(t, "")
	file := filepath.Join(f.dir, "ca.pem")
	if err := os.WriteFile(file, ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	var matrices []*matrix
	var sites strings.Builder
	for i, fault := range faults {
		m := &matrix{fault: fault, calls: matrixCalls(), url: "http://" + ports.Address(t)}
		m.upstream = newScriptedUpstream(t, fault.script, fault.script2, cert)
		transport := fault.proxy
		if fault.script2 != nil {
			transport += "\ntls_trust_pool file " + file
		}
		fmt.Fprintf(&sites, "}\nhttp://:%s {\nbind 127.0.0.1\n", m.url[strings.LastIndex(m.url, ":")+1:])
		for _, c := range m.calls {
			f.app += fmt.Sprintf("client f%dc%d {\nclient_id f%[1]dc%d\nclient_secret {file.%s}\n}\n", i, c.n, f.secret)
			fmt.Fprintf(&sites, `@c%d header X-Call %[1]d
			bankid_esign @c%[1]d %s {
				callers local
				client f%[3]dc%[1]d
				upstream %[2]s %[4]s
				lb_retries 2
				transport http {
					%s
				}
			}
			`, c.n, c.Group, i, m.upstream.url, transport)
		}
		matrices = append(matrices, m)
	}
	f.start(sites.String())
	return matrices
}

// A matrixResponse is the response that the caller got.
type matrixResponse struct {
	status int
	proxy  string // Proxy-Status
	body   string
	err    error
}

// call makes a call. Its query identifies it.
func (m *matrix) call(c matrixCall, query string) matrixResponse {
	req, err := http.NewRequestWithContext(m.t.Context(), c.Method, m.url+c.target(query), strings.NewReader(c.body))
	if err != nil {
		return matrixResponse{err: err}
	}
	req.Header.Set("X-Call", fmt.Sprint(c.n))
	req.Header.Set("Authorization", "Bearer callers-own")
	for i := 0; i < len(m.header); i += 2 {
		req.Header.Set(m.header[i], m.header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return matrixResponse{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return matrixResponse{res.StatusCode, res.Header.Get("Proxy-Status"), string(body), err}
}

// target returns the request target of a call.
func (c matrixCall) target(query string) string {
	return fmt.Sprintf("%s?%s=%d", c.Path, query, c.n)
}

// each makes all calls at the same time.
func (m *matrix) each(query string) []matrixResponse {
	got := make([]matrixResponse, len(m.calls))
	var wg sync.WaitGroup
	for i, c := range m.calls {
		wg.Go(func() { got[i] = m.call(c, query) })
	}
	wg.Wait()
	return got
}

// warm makes each call once without a fault. This leaves tokens, and idle connections
// to the upstream.
func (m *matrix) warm() {
	for i, got := range m.each("warm") {
		if got.status != 200 || got.body != "ok" {
			m.t.Fatalf("%s %s: %+v", m.calls[i].Method, m.calls[i].Path, got)
		}
	}
}

// age makes each call once without a fault. Then it waits until the tokens are so old
// that a 403 counts against them.
func (m *matrix) age() {
	m.warm()
	obtained := time.Now()
	eventually(m.t, func() bool { return time.Since(obtained) > 5*time.Second })
}

// The test counts how often the API host sees a call, and checks what the caller gets,
// for all calls of the table and all faults. The faults for which it has to wait are
// tried at the same time, and not with -short.
func TestRetryMatrix(t *testing.T) {
	var waiting []fault
	for _, f := range faults() {
		if f.waits {
			waiting = append(waiting, f)
			continue
		}
		t.Run(f.name, func(t *testing.T) { newMatrices(t, f)[0].test(t) })
	}
	if testing.Short() {
		return
	}
	t.Run("waiting", func(t *testing.T) {
		var all sync.WaitGroup
		for _, m := range newMatrices(t, waiting...) {
			all.Go(func() { t.Run(m.name, m.test) })
		}
		all.Wait()
	})
}

// test makes all calls.
func (m *matrix) test(t *testing.T) {
	m.t = t
	if m.prepare != nil {
		m.prepare(m)
	}
	for i, got := range m.each("fault") {
		c := m.calls[i]
		t.Run(c.name(), func(t *testing.T) { m.check(t, c, got) })
	}
}

// check checks the result of a call.
func (m *matrix) check(t *testing.T, c matrixCall, got matrixResponse) {
	fault := m.fault
	want, proxy, cut, seen := fault.status, "", fault.cut, 1
	switch {
	case fault.again != nil && fault.again(c):
		want, cut, seen = http.StatusOK, false, 2
	case fault.spares != nil && fault.spares(c):
		want = http.StatusOK
	default:
		if fault.error != "" {
			proxy = "bankid_esign;error=" + fault.error + "(;.*)?"
		}
		if fault.unseen {
			seen = 0
		}
	}
	if n := m.upstream.count(c.Method, c.target("fault")); n != seen {
		t.Errorf("the upstream saw it %d times, want %d", n, seen)
	}
	if got.status != want || (got.err != nil) != cut {
		t.Errorf("status is %d, want %d; %v", got.status, want, got.err)
	}
	if !regexp.MustCompile("^" + proxy + "$").MatchString(got.proxy) {
		t.Errorf("Proxy-Status is %q, want %q", got.proxy, proxy)
	}
	if want == http.StatusOK && !cut && got.body != "ok" {
		t.Errorf("body is %q", got.body)
	}
}
