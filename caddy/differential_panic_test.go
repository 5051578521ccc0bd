package caddyesign_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(breaking{})
	httpcaddyfile.RegisterHandlerDirective("breaking", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return breaking{}, nil })
	httpcaddyfile.RegisterDirectiveOrder("breaking", httpcaddyfile.Before, "basic_auth")
}

// breaking breaks the response of a request with the field X-Break, by its value: with
// "panic", writing the body panics; with "short", less than half of it is written.
type breaking struct{}

func (breaking) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.breaking", New: func() caddy.Module { return new(breaking) }}
}

func (breaking) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch r.Header.Get("X-Break") {
	case "panic":
		w = panicking{w}
	case "short":
		w = shortening{w}
	}
	return next.ServeHTTP(w, r)
}

// plantedPanic is what panicking panics with.
const plantedPanic = "a fault of another handler"

// A panicking panics when the body is written.
type panicking struct{ http.ResponseWriter }

func (panicking) Write([]byte) (int, error) { panic(plantedPanic) }

// A shortening writes only the first byte of what it is given.
type shortening struct{ http.ResponseWriter }

func (s shortening) Write(p []byte) (int, error) { return s.ResponseWriter.Write(p[:min(1, len(p))]) }

func (s shortening) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// If writing the response fails in an unusual way, both ways end and log it alike. A panic
// of another handler is not hidden, even if the response has broken off.
func TestBothWaysBreakOff(t *testing.T) {
	const broken = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n"
	for name, test := range map[string]struct{ how, response, logs string }{
		"panic":                             {"panic", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", plantedPanic},
		"panic, and the response is broken": {"panic", broken, plantedPanic},
		"the response is broken":            {"", broken, "aborting with incomplete response"},
		"short write":                       {"short", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "aborting with incomplete response"},
	} {
		t.Run(name, func(t *testing.T) {
			f, admin, lanes := newLanes(t, "", "")
			var seen [2]string
			for way, l := range lanes[0] {
				l.host.interactive(func(conn net.Conn) { _, _ = io.WriteString(conn, test.response) })
				conn, err := net.Dial("tcp", l.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				fmt.Fprintf(conn, "GET /get HTTP/1.1\r\nHost: %s\r\nAccept-Case: 1\r\nX-Break: %s\r\n\r\n", l.addr, test.how)
				got, err := io.ReadAll(bufio.NewReader(conn))
				if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // it is not wrapped
					t.Fatal("the connection does not end")
				}
				seen[way] = l.normal(string(got))
			}
			if seen[0] != seen[1] {
				t.Errorf("short way: %q\nlong way: %q", seen[0], seen[1])
			}
			compareMetrics(t, admin)
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			log := f.logged()
			compareLogs(t, log, lanes, func(int) bool { return false })
			count := 0
			for line := range strings.Lines(log) {
				if strings.Contains(line, test.logs) {
					count++
				}
			}
			if count != 2 {
				t.Errorf("%q is logged for %d of two calls", test.logs, count)
			}
		})
	}
}
