//go:build !race

package caddyesign_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

// request3 returns the request of c for a client of HTTP/3.
func (c *wireCall) request3(t *testing.T, name string) *http.Request {
	t.Helper()
	path, query, hasQuery := strings.Cut(c.target, "?")
	req, err := http.NewRequestWithContext(t.Context(), c.method, "https://"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.URL = &url.URL{Scheme: "https", Host: name, Path: path, RawQuery: query, ForceQuery: hasQuery}
	for _, f := range c.fields {
		if !strings.EqualFold(f.name, "Trailer") {
			req.Header.Add(f.name, f.value)
		}
	}
	if c.framing != "none" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(c.body)), -1
		if c.framing == "length" {
			req.ContentLength = int64(len(c.body))
		}
	}
	if len(c.trailer) > 0 {
		req.Trailer = make(http.Header)
		for _, f := range c.trailer {
			req.Trailer.Add(f.name, f.value)
		}
	}
	return req
}

// send3 makes a call over HTTP/3 and returns what comes back. If the response breaks off, how
// much of it arrives is chance.
func (c *wireCall) send3(t *testing.T, name string) string {
	t.Helper()
	transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true} //nolint:gosec // on loopback
	defer transport.Close()
	var got strings.Builder
	req := c.request3(t, name)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			fmt.Fprintf(&got, "%d %s\n", code, ordered(http.Header(header)))
			return nil
		},
	}))
	res, err := transport.RoundTrip(req)
	if err != nil {
		return brokeOff
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return brokeOff
	}
	header := ordered(res.Header)
	if len(body) == 0 {
		header = emptyFraming.ReplaceAllString(header, "")
	}
	fmt.Fprintf(&got, "%s\n%s\n%q\n%s", res.Status, header, body, ordered(res.Trailer))
	return got.String()
}

// ordered returns header as text, in order.
func ordered(header http.Header) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	return b.String()
}

// newLanes3 starts lanes whose callers use HTTP/3.
func newLanes3(t *testing.T) (*fixture, string, [][2]lane) {
	cert := filepath.Join(t.TempDir(), "server.pem")
	newCA(t).issue(t, cert)
	return newLanes(t, "", cert)
}

// TestBothWaysAreTheSame has the callers over HTTP/1.1 and HTTP/2.
func TestBothWaysAreTheSameOverHTTP3(t *testing.T) {
	f, admin, lanes := newLanes3(t)
	compareCalls(t, f, admin, lanes, func(n int) *wireCall {
		c := generated(n, n%2 == 1)
		if !c.http2 { // its fields are for HTTP/1.1
			return nil
		}
		c.http3 = true
		return c
	})
}

// TestBothWaysFailAlike has the callers over HTTP/1.1 and HTTP/2.
func TestBothWaysFailAlikeOverHTTP3(t *testing.T) {
	waits(t)
	cert := filepath.Join(t.TempDir(), "server.pem")
	newCA(t).issue(t, cert)
	compareFailures(t, cert, func(c *wireCall, _ int) { c.http3 = true })
}

// If a caller over HTTP/3 leaves, both ways log it alike.
func TestBothWaysLogWhoLeavesOverHTTP3(t *testing.T) {
	transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // on loopback
	defer transport.Close()
	cert := filepath.Join(t.TempDir(), "server.pem")
	newCA(t).issue(t, cert)
	leave(t, cert, "https://", transport)
}

// It is expected that a caller over HTTP/3 does not want the rest of a response.
func TestBothWaysLogWhoHasEnoughOverHTTP3(t *testing.T) {
	f, _, lanes := newLanes3(t)
	for _, l := range lanes[0] {
		l.host.interactive(func(conn net.Conn) {
			_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nConnection: close\r\n\r\nfirst")
			for err == nil {
				_, err = conn.Write(make([]byte, 1000))
			}
		})
		transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // on loopback
		defer transport.Close()
		c := &wireCall{method: "GET", target: "/get", framing: "none"}
		res, err := transport.RoundTrip(c.request3(t, l.name))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = res.Body.Read(make([]byte, 1))
		res.Body.Close()
		eventually(t, func() bool { return len(f.entries(t, l.name, "handled request")) == 1 })
		entries := f.entries(t, l.name, "aborting with incomplete response")
		if len(entries) != 1 {
			t.Fatalf("%d entries say that the response broke off", len(entries))
		}
		// It is chance which of writing and reading fails first.
		got := fmt.Sprint(entries[0]["level"], " ", entries[0]["error"])
		if !strings.HasPrefix(got, "debug writing: ") && !strings.HasPrefix(got, "warn reading: ") {
			t.Errorf("logged is %q", got)
		}
	}
}
