#!/usr/bin/env bash
# A request body of Caddy's reverse_proxy is closed while it is read, without a lock.
#
# Software:  Caddy v2.11.9 (modules/caddyhttp/reverseproxy, bodyNopCloserIfNotRead), with
#            golang.org/x/net/http2 v0.60.0 and Go 1.26 (tried with 1.26.8).
# Behaviour: reverse_proxy wraps the body of a request in a type that counts what is read, and
#            whose Close looks at the count. An upstream that answers an upload over HTTP/2
#            before it has read it, such as with 413, has the transport close the body on one
#            goroutine while another reads it; http.RoundTripper allows that, and net/http's own
#            bodies can take it.
# Surprise:  Every early answer over HTTP/2 is a data race in Caddy, which Go's detector reports
#            within a few uploads.
# Output:    the detector's report, which names the type.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require github.com/caddyserver/caddy/v2 v2.11.9
MOD
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func main() {
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	upstream.EnableHTTP2 = true
	upstream.StartTLS()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	if err := caddy.Load(fmt.Appendf(nil, `{
		"admin": {"disabled": true, "config": {"persist": false}},
		"logging": {"logs": {"default": {"level": "PANIC"}}},
		"apps": {"http": {"servers": {"site": {
			"listen": [%q], "automatic_https": {"disable": true},
			"routes": [{"handle": [{
				"handler": "reverse_proxy", "upstreams": [{"dial": %q}],
				"transport": {"protocol": "http", "tls": {"insecure_skip_verify": true}, "versions": ["2"]}
			}]}]
		}}}}
	}`, addr, upstream.Listener.Addr().String()), true); err != nil {
		log.Fatal(err)
	}
	answered := 0
	for range 200 {
		res, err := http.Post("http://"+addr, "application/pdf", bytes.NewReader(make([]byte, 4<<20)))
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode == http.StatusRequestEntityTooLarge {
			answered++
		}
	}
	fmt.Println("some uploads were answered early:", answered > 0)
}
GO
go mod tidy 2>/dev/null
status=0
GORACE='halt_on_error=1' go run -race . >out 2>&1 || status=$?
grep -v '^{' out | head -40
[[ $status -ne 0 ]]
grep -q 'WARNING: DATA RACE' out
grep -qF '(*bodyNopCloserIfNotRead).Close' out
grep -qF '(*bodyNopCloserIfNotRead).Read' out
