#!/usr/bin/env bash
# Caddy's reverse_proxy drops the length of an upload if a trailer is announced.
#
# Software:  Caddy v2.11.9 (modules/caddyhttp/reverseproxy, prepareRequest), httputil of Go 1.26.8,
#            and golang.org/x/net v0.60.0 as the client.
# Behaviour: A client sends Content-Length: 5, five bytes and a trailer over HTTP/2, which has
#            room for both. Caddy sends it on over HTTP/1.1 as chunked, without Content-Length,
#            and with the trailer. httputil.ReverseProxy keeps the length and drops the trailer.
#            Without the trailer, both keep the length.
# Surprise:  A proxy may drop trailers (RFC 9110 section 6.5.1), and Go's does. Caddy drops the
#            length instead: a host that refuses chunked uploads with 411, or limits uploads by
#            Content-Length, refuses a call only because its caller adds a checksum at the end.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9 2>/dev/null
cat >go.mod <<'MOD'
module finding

go 1.26.0

require golang.org/x/net v0.60.0
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

func main() {
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "Content-Length %d, Transfer-Encoding %q, body %q, trailer %q, error %v",
			r.ContentLength, r.TransferEncoding, body, r.Trailer.Get("X-Sum"), err)
	}))
	defer host.Close()
	target, _ := url.Parse(host.URL)

	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	proxy := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(target))
	proxy.Config.Protocols = &protocols
	proxy.Start()
	defer proxy.Close()

	ln, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		panic(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	config := fmt.Sprintf("{\nadmin off\nservers {\nprotocols h1 h2c\n}\n}\nhttp://%s {\nreverse_proxy %s\n}\n", addr, target.Host)
	if err := os.WriteFile("Caddyfile", []byte(config), 0o600); err != nil {
		panic(err)
	}
	caddy := exec.Command("./caddy", "run", "--config", "Caddyfile")
	if err := caddy.Start(); err != nil {
		panic(err)
	}
	defer caddy.Process.Kill()
	for range 200 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}

	client := &http2.Transport{AllowHTTP: true, DialTLSContext: func(_ context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		return net.Dial(network, addr)
	}}
	for _, trailer := range []bool{false, true} {
		for _, by := range []struct{ name, addr string }{{"httputil", proxy.Listener.Addr().String()}, {"Caddy", addr}} {
			req, _ := http.NewRequest(http.MethodPost, "http://"+by.addr, io.NopCloser(strings.NewReader("12345")))
			req.ContentLength = 5
			if trailer {
				req.Trailer = http.Header{"X-Sum": {"1"}}
			}
			res, err := client.RoundTrip(req)
			if err != nil {
				panic(err)
			}
			seen, _ := io.ReadAll(res.Body)
			res.Body.Close()
			fmt.Printf("trailer sent %t, %s: %s\n", trailer, by.name, seen)
		}
	}
}
GO
want='trailer sent false, httputil: Content-Length 5, Transfer-Encoding [], body "12345", trailer "", error <nil>
trailer sent false, Caddy: Content-Length 5, Transfer-Encoding [], body "12345", trailer "", error <nil>
trailer sent true, httputil: Content-Length 5, Transfer-Encoding [], body "12345", trailer "", error <nil>
trailer sent true, Caddy: Content-Length -1, Transfer-Encoding ["chunked"], body "12345", trailer "1", error <nil>'
go mod tidy 2>/dev/null
got=$(go run .)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
