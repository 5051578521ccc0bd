package caddyesign_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// If a caller leaves, both ways log it alike.
func TestBothWaysLogWhoLeaves(t *testing.T) {
	var h1, h2c http.Protocols
	h1.SetHTTP1(true)
	h2c.SetUnencryptedHTTP2(true)
	for name, protocols := range map[string]*http.Protocols{"HTTP/1.1": &h1, "HTTP/2": &h2c} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{Protocols: protocols}
			defer transport.CloseIdleConnections()
			leave(t, "", "http://", transport)
		})
	}
}

// leave has a caller leave before the header of the response, and in its body, while the API
// is silent. It asserts that both ways log the same.
func leave(t *testing.T, cert, scheme string, transport http.RoundTripper) {
	t.Helper()
	for name, test := range map[string]struct {
		sent, message, want string // what the API sends before the caller leaves, and what is logged then
	}{
		"before the header": {"", "upstream roundtrip", "debug context canceled"},
		"in the body": {
			"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nConnection: close\r\n\r\nfirst",
			"aborting with incomplete response", "warn reading: context canceled",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, admin, lanes := newLanes(t, "", cert)
			for _, l := range lanes[0] {
				called := make(chan struct{})
				l.host.interactive(func(conn net.Conn) {
					_, _ = io.WriteString(conn, test.sent)
					close(called)
					_, _ = conn.Read(make([]byte, 1)) // until the gateway leaves
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					<-called
					if test.sent == "" {
						cancel()
					}
				}()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+l.name+"/get", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Accept-Case", "1")
				if res, err := transport.RoundTrip(req); err == nil {
					_, _ = res.Body.Read(make([]byte, 1))
					cancel()
					res.Body.Close()
				}
				eventually(t, func() bool { return len(f.entries(t, l.name, "handled request")) == 1 })
				entries := f.entries(t, l.name, test.message)
				if len(entries) != 1 {
					t.Fatalf("%d entries say %s", len(entries), test.message)
				}
				if got := fmt.Sprint(entries[0]["level"], " ", entries[0]["error"]); got != test.want {
					t.Errorf("logged is %q, want %q", got, test.want)
				}
			}
			compareMetrics(t, admin)
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			compareLogs(t, f.logged(), lanes, func(int) bool { return true })
		})
	}
}

// entries returns the entries of the log with that message about requests to host.
func (f *fixture) entries(t *testing.T, host, message string) (entries []map[string]any) {
	t.Helper()
	for line := range strings.Lines(f.logged()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue // it is being written
		}
		if request, _ := entry["request"].(map[string]any); request["host"] == host && entry["msg"] == message {
			entries = append(entries, entry)
		}
	}
	return entries
}
