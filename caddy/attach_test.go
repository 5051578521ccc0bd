package caddyesign_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

func TestEachRowCarriesItsAuthorization(t *testing.T) {
	f := newFixture(t).start(localSite)
	scopes := make(map[string]string)
	f.issuer.HandleToken(nil)
	for _, row := range bankid.Calls(bankid.CSC, bankid.SignDoc, bankid.Timestamp) {
		t.Run(row.Method+row.Path, func(t *testing.T) {
			f.in(t)
			path := row.Path + "?sign_id=a%2Fb"
			own := "Bearer callers-own"
			f.do(row.Method, path, "", "Authorization", own).is(200)
			calls := f.upstream.seen()
			if len(calls) != 1 {
				t.Fatalf("upstream saw %d calls, want 1", len(calls))
			}
			if got := calls[0].RequestURI; got != path {
				t.Errorf("request target is %q, want %q", got, path)
			}
			got := calls[0].Header["Authorization"]
			switch row.Kind {
			case gateway.Bearer:
				if len(got) != 1 || !strings.HasPrefix(got[0], "Bearer token-") {
					t.Errorf("Authorization is %q, want the gateway's token", got)
				} else {
					scopes[row.Group] = got[0]
				}
			case gateway.Pass:
				if !slices.Equal(got, []string{own}) {
					t.Errorf("Authorization is %q, want the caller's own", got)
				}
			case gateway.None, gateway.DPoP:
				if got != nil {
					t.Errorf("Authorization is %q, want none", got)
				}
			}
		})
	}
	tokens := slices.Sorted(maps.Values(scopes))
	if len(slices.Compact(tokens)) != 3 {
		t.Errorf("the APIs share tokens: %q", scopes)
	}
	var asked []string
	for _, req := range f.issuer.TokenRequests() {
		asked = append(asked, req.Form.Get("scope"))
	}
	slices.Sort(asked)
	if want := []string{"esign", "esign/csc", "esign/qtsa"}; !slices.Equal(asked, want) {
		t.Errorf("scopes asked for are %q, want %q", asked, want)
	}
}

func TestF25ConnectionHeaderCannotStripTheToken(t *testing.T) {
	f := newFixture(t).start(localSite)
	f.do("GET", "/v1/signdoc/pades?sign_id=x", "", "Connection", "Authorization, close").is(200)
	for _, call := range f.upstream.seen() {
		if !strings.HasPrefix(call.Header.Get("Authorization"), "Bearer token-") {
			t.Errorf("Authorization is %q, want the gateway's token", call.Header.Get("Authorization"))
		}
	}
}

func TestF25CallersCredentialsDoNotLeave(t *testing.T) {
	f := newFixture(t).start(localSite)
	const basic = "Basic Z2F0ZXdheTpwYXNzd29yZA=="
	for _, test := range []struct {
		name   string
		method string
		path   string
		header []string
		status int
		sent   int
	}{
		{"bearer row", "POST", "/v1/signdoc/pades", []string{"Authorization", basic}, 200, 1},
		{"none row", "POST", "/csc/v2/info", []string{"Authorization", basic}, 200, 1},
		{"pass row, basic", "POST", "/csc/v2/credentials/list", []string{"Authorization", basic}, 403, 0},
		{"pass row, two values", "POST", "/csc/v2/credentials/list", []string{"Authorization", "Bearer a", "Authorization", basic}, 403, 0},
		{"pass row, two in one", "POST", "/csc/v2/credentials/list", []string{"Authorization", "Bearer a, " + basic}, 403, 0},
		{"proxy authorization", "POST", "/csc/v2/credentials/list", []string{"Proxy-Authorization", basic}, 200, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.in(t)
			f.do(test.method, test.path, "", test.header...).is(test.status)
			calls := f.upstream.seen()
			if len(calls) != test.sent {
				t.Fatalf("upstream saw %d calls, want %d", len(calls), test.sent)
			}
			for _, call := range calls {
				if strings.Contains(fmt.Sprint(call.Header), "Z2F0ZXdheTpwYXNzd29yZA") {
					t.Errorf("the caller's credentials left: %v", call.Header)
				}
			}
		})
	}
}

func TestOtherSpellingsAreNotFound(t *testing.T) {
	f := newFixture(t).start(localSite)
	for _, target := range []string{
		"//csc/v2/oauth2/token", "/csc//v2/oauth2/token", "/csc/v2/oauth2/token/", "/csc/v2/oauth2/token//",
		"/./csc/v2/oauth2/token", "/x/../csc/v2/oauth2/token", "/v1/signdoc/../timestamp/pades/lta",
		"/csc/v2/oauth2/%74oken", "/csc/v2/oauth2%2ftoken", "/csc/v2/oauth2%2Ftoken", "/csc/v2/%2e/oauth2/token",
		"/csc/v2/%2E%2E/v2/oauth2/token", "/CSC/v2/oauth2/token", "/csc/v2/oauth2/Token",
		"/csc/v2/oauth2/token;x", "/csc/v2/oauth2/token%00", "/csc/v2/oauth2/token%20", "/csc/v2/oauth2/token%3Fx",
		"/csc/v2/oauth2\\token", "/", "*", "/v1/signdoc/pades/", "/v2/signdoc/pades", "/web/x",
	} {
		t.Run(target, func(t *testing.T) {
			if status := rawStatus(t, f.addr, "POST", target); status != 404 && status != 400 {
				t.Errorf("status is %d, want 404 (or Caddy's own 400)", status)
			}
		})
	}
	for _, method := range []string{"GET", "PUT", "HEAD", "OPTIONS", "post", "PATCH"} {
		if status := rawStatus(t, f.addr, method, "/csc/v2/oauth2/token"); status != 404 {
			t.Errorf("%s: status is %d, want 404", method, status)
		}
	}
	if calls := f.upstream.seen(); len(calls) != 0 {
		t.Errorf("upstream saw %d calls, the first %s %s", len(calls), calls[0].Method, calls[0].RequestURI)
	}
	response := f.do("GET", "/csc/v2/oauth2/authorize", "").is(404).byGateway("http_request_denied")
	if !strings.Contains(response.Header.Get("Proxy-Status"), "browser") {
		t.Errorf("Proxy-Status is %q, want a hint", response.Header.Get("Proxy-Status"))
	}
}

// rawStatus sends a request with an unprocessed target, and returns the status.
func rawStatus(t *testing.T, addr, method, target string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, target, addr)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestOnlyListedHeaderFieldsLeave(t *testing.T) {
	f := newFixture(t).start(`bankid_esign signdoc csc timestamp {
		callers any
		header_up X-Operator set
		header_up +X-Added added
		header_up -User-Agent
		UPSTREAM
	}`)
	req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/v1/signdoc/pades", io.NopCloser(strings.NewReader("{}")))
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"X-Trailer": {"secret"}}
	for _, name := range []string{
		"Cookie", "Referer", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via",
		"Idempotency-Key", "X-Idempotency-Key", "X-Http-Method-Override", "X-Original-Url", "X-Rewrite-Url", "DPoP",
		"Proxy-Authorization", "Range", "If-None-Match", "X-Added", "X-Operator", "Traceparent", "X-Api-Key",
	} {
		req.Header.Set(name, "callers")
	}
	for name, value := range map[string]string{
		"Accept": "application/json", "Accept-Language": "nb", "Accept-Encoding": "br",
		"Content-Type": "application/json", "Content-Encoding": "identity",
	} {
		req.Header.Set(name, value)
	}
	roundTrip(t, req).is(200)
	calls := f.upstream.seen()
	if len(calls) != 1 {
		t.Fatalf("upstream saw %d calls, want 1", len(calls))
	}
	got := slices.Sorted(maps.Keys(calls[0].Header))
	want := []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization",
		"Content-Encoding", "Content-Type", "X-Added", "X-Operator",
	}
	if !slices.Equal(got, want) {
		t.Errorf("fields that left are\n%q, want\n%q", got, want)
	}
	if values := calls[0].Header["X-Added"]; !slices.Equal(values, []string{"added"}) {
		t.Errorf("X-Added is %q: the caller's own value left with the operator's", values)
	}
	if len(calls[0].trailer) != 0 {
		t.Errorf("trailers left: %v", calls[0].trailer)
	}
	if got, want := "http://"+calls[0].Host, f.upstream.URL; got != want {
		t.Errorf("Host is %q, want %q", got, want)
	}
}

func TestBodiesPassUnchanged(t *testing.T) {
	f := newFixture(t).start(localSite)
	large := make([]byte, 30<<20)
	_, _ = rand.Read(large)
	var compressed bytes.Buffer
	zip := gzip.NewWriter(&compressed)
	_, _ = zip.Write(large[:1<<16])
	_ = zip.Close()
	for _, test := range []struct {
		name    string
		body    []byte
		chunked bool
		header  map[string]string // of the response
	}{
		{"empty", nil, false, nil},
		{"empty, chunked", nil, true, nil},
		{"small", []byte("{ \"a\" : 1 }\r\n"), false, nil},
		{"small, chunked", []byte("{ \"a\" : 1 }\r\n"), true, nil},
		{"gzip that nobody asked for", compressed.Bytes(), false, map[string]string{"Content-Encoding": "gzip"}},
		{"as large as is held", large[:1<<20], false, nil},
		{"as large as is held, chunked", large[:1<<20], true, nil},
		{"a byte larger than is held", large[:1<<20+1], false, nil},
		{"a byte larger than is held, chunked", large[:1<<20+1], true, nil},
		{"30 MiB", large, false, nil},
		{"30 MiB, chunked", large, true, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.upstream.handle(func(w http.ResponseWriter, r *http.Request) {
				for name, value := range test.header {
					w.Header().Set(name, value)
				}
				_, _ = io.Copy(w, r.Body)
			})
			var body io.Reader = bytes.NewReader(test.body)
			if test.chunked {
				body = io.NopCloser(body)
			}
			req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/v1/signdoc/pades", body)
			if err != nil {
				t.Fatal(err)
			}
			response := roundTrip(t, req).is(200)
			for _, call := range f.upstream.seen() {
				if !bytes.Equal(call.body, test.body) {
					t.Errorf("upstream got %d other bytes, want %d", len(call.body), len(test.body))
				}
			}
			if !bytes.Equal(response.body, test.body) {
				t.Errorf("caller got %d other bytes, want %d", len(response.body), len(test.body))
			}
			if got := response.Header.Get("Content-Encoding"); got != test.header["Content-Encoding"] {
				t.Errorf("Content-Encoding is %q", got)
			}
		})
	}
}

// An upgrade that a caller offers to the gateway is optional (RFC 9110 sections 7.6.1
// and 7.8). The offer does not leave the gateway, and the call is made.
func TestOffersAreIgnored(t *testing.T) {
	f := newFixture(t)
	f.start(`
	handle /v1/signdoc/* {
		bankid_esign signdoc {
			callers local
			upstream signdoc ` + f.upstream.URL + `
		}
	}
	reverse_proxy ` + f.upstream.URL + ` {
		transport bankid_esign {
			api timestamp
			upstream ` + f.upstream.URL + `
		}
	}`)
	for _, offer := range [][]string{
		{"Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABkAAQAAP__"},
		{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
		{"Connection", "upgrade", "Upgrade", "TLS/1.2, h2c, foo/2"},
		{"Upgrade", "h2c"},
		{"Connection", "keep-alive, TE", "TE", "trailers, deflate;q=0.5", "Keep-Alive", "timeout=5"},
		{"Proxy-Connection", "keep-alive", "Proxy-Authorization", "Basic eA=="},
		{"Alt-Used", "other.example", "Prefer", "respond-async", "Trailer", "X-Sum"},
	} {
		for _, path := range []string{"/v1/signdoc/pades", "/v1/timestamp/pades/lta"} {
			for method, body := range map[string]string{"GET": "", "POST": "{}", "DELETE": ""} {
				f.do(method, path, body, offer...).is(200)
				calls := f.upstream.seen()
				if len(calls) != 1 || string(calls[0].body) != body {
					t.Fatalf("%s %s with %q: the upstream saw %d calls, want 1", method, path, offer, len(calls))
				}
				for i := 0; i < len(offer); i += 2 {
					if got := calls[0].Header[http.CanonicalHeaderKey(offer[i])]; got != nil {
						t.Errorf("%s %s: %s: %q left", method, path, offer[i], got)
					}
				}
			}
		}
	}
}

func TestRedirectsAreHandedOn(t *testing.T) {
	f := newFixture(t)
	elsewhere := newUpstream(t)
	f.start(localSite)
	f.upstream.handle(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	response := f.do("GET", "/v1/signdoc/pades", "").is(307)
	if got := response.Header.Get("Location"); got != elsewhere.URL {
		t.Errorf("Location is %q, want %q", got, elsewhere.URL)
	}
	if calls := elsewhere.seen(); len(calls) != 0 {
		t.Error("the redirect was followed")
	}
}
