package caddyesign_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// dial opens a connection to the gateway and writes the beginning of a request.
func (f *fixture) dial(t *testing.T, beginning string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, strings.ReplaceAll(beginning, "HOST", "Host: "+f.addr)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// If a caller leaves while it waits for a token, its call is not made, and others still
// get the token.
func TestCallerThatLeavesWhileWaiting(t *testing.T) {
	f := newFixture(t)
	waiting, release := context.WithCancel(t.Context())
	defer release()
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		<-waiting.Done()
		tokenauthtest.WriteToken(w, "token", 300)
	})
	f.start(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	for _, request := range []string{
		"DELETE /v1/signdoc/pades?left HTTP/1.1\r\nHOST\r\n\r\n",
		"POST /v1/signdoc/pades?left HTTP/1.1\r\nHOST\r\nContent-Length: 2\r\n\r\n{}",
	} {
		f.dial(t, request).Close()
	}
	eventually(t, func() bool {
		left := regexp.MustCompile(`"handled request".*"method":"(DELETE|POST)".*"status":499`).FindAllString(f.logged(), -1)
		return len(left) == 2
	})
	release()
	f.do("GET", path, "").is(200)
	if seen := f.upstream.seen(); len(seen) != 1 || seen[0].Method != "GET" {
		t.Errorf("the upstream saw %d calls, want only that of the caller who stayed", len(seen))
	}
	if n := len(f.issuer.TokenRequests()); n != 1 {
		t.Errorf("%d token requests were made, want 1", n)
	}
}

// A body that comes slowly delays nobody else. A call whose body is incomplete is not
// made.
func TestSlowBodies(t *testing.T) {
	f := newFixture(t)
	f.start(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	const post = "POST /v1/signdoc/pades?slow HTTP/1.1\r\nHOST\r\n"
	var slow []net.Conn
	for range 20 {
		for _, request := range []string{
			post, // even the header is incomplete
			post + "Content-Length: 100\r\n\r\n{",
			post + "Content-Length: 3000000\r\n\r\n{",
			post + "Transfer-Encoding: chunked\r\n\r\n64\r\n{",
			post + "Transfer-Encoding: chunked\r\n\r\n200000\r\n" + strings.Repeat("x", 2<<20),
		} {
			slow = append(slow, f.dial(t, request))
		}
	}
	f.do("GET", path, "").is(200)
	for _, conn := range slow {
		conn.Close()
	}
	// Requests with an incomplete header are not counted, since they are not requests
	// yet.
	eventually(t, func() bool { return strings.Count(f.logged(), `pades?slow","headers"`) >= 80 })
	f.do("GET", path, "").is(200)
	for _, call := range f.upstream.seen() {
		if call.Method != "GET" {
			t.Errorf("the upstream saw %s %s with a body of %d bytes", call.Method, call.RequestURI, len(call.body))
		}
	}
}

// Many fields, or a very long one, do not leave the gateway, or are refused. Caddy
// reads 16 KiB of header fields.
func TestFloodOfFields(t *testing.T) {
	f := newFixture(t).start(localSite)
	for name, test := range map[string]struct {
		fields string
		status int
	}{
		"many":      {strings.Repeat("X-A: b\r\n", 1000), 200},
		"too many":  {strings.Repeat("X-A: b\r\n", 10_000), 431},
		"long":      {"X-A: " + strings.Repeat("b", 10_000) + "\r\n", 200},
		"too long":  {"X-A: " + strings.Repeat("b", 100_000) + "\r\n", 431},
		"long name": {strings.Repeat("X", 100_000) + ": b\r\n", 431},
	} {
		t.Run(name, func(t *testing.T) {
			statuses := exchange(t, f.addr, "GET "+path+" HTTP/1.1\r\nHost: "+f.addr+"\r\nConnection: close\r\n"+test.fields+"\r\n")
			if len(statuses) != 1 || statuses[0] != test.status {
				t.Errorf("statuses are %d, want %d", statuses, test.status)
			}
			seen := f.upstream.seen()
			if want := map[bool]int{true: 1}[test.status == 200]; len(seen) != want {
				t.Fatalf("the upstream saw %d calls, want %d", len(seen), want)
			}
			for _, call := range seen {
				if call.Header.Get("X-A") != "" {
					t.Error("they left")
				}
			}
		})
	}
}
