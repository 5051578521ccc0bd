package caddyesign_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Only callers that speak HTTP/1.1 get interim responses (RFC 9110 section 15.2). nginx
// calls with HTTP/1.0 unless it is configured otherwise.
func TestInterimResponsesByVersion(t *testing.T) {
	f := newFixture(t)
	f.upstream.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "final")
	})
	for name, site := range map[string]string{"gateway": localSite, "own proxy": ownProxy(f.upstream.URL, "", "")} {
		t.Run(name, func(t *testing.T) {
			f.in(t)
			f.start(site)
			for version, interim := range map[string]bool{"HTTP/1.0": false, "HTTP/1.1": true} {
				conn, err := net.Dial("tcp", f.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := io.WriteString(conn, "GET "+path+" "+version+"\r\nHost: "+f.addr+"\r\nConnection: close\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(conn)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(got), " 103 ") != interim || !strings.Contains(string(got), " 200 OK") {
					t.Errorf("%s: %q", version, got)
				}
			}
		})
	}
}
