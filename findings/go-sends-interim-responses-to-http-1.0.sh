#!/usr/bin/env bash
# Go's server, and so Caddy, sends interim responses to a client that speaks HTTP/1.0.
#
# Software:  net/http and httputil.ReverseProxy of Go 1.26 (tried with 1.26.8); Caddy v2.11.9.
# Behaviour: An API's host sends 103 before the response, as it may at any time. Both proxies pass
#            it on to a client that speaks HTTP/1.0, as "HTTP/1.0 103 Early Hints". So does every
#            handler that calls WriteHeader(103): the server does not look at the version.
# Surprise:  RFC 9110 section 15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client".
#            Such a client takes the first status line for that of the response. nginx 1.22 is
#            such a client unless proxy_http_version is set: its own caller gets status 103, and
#            the real response after it as if it were the body.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9 2>/dev/null
cat >go.mod <<'MOD'
module finding

go 1.26.0
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
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
)

// lines returns the status lines that a client of HTTP/1.0 gets from the address.
func lines(addr string) []string {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", addr)
	var found []string
	for scanner := bufio.NewScanner(conn); scanner.Scan(); {
		if strings.HasPrefix(scanner.Text(), "HTTP/") {
			found = append(found, scanner.Text())
		}
	}
	return found
}

func main() {
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "the response")
	}))
	defer host.Close()
	fmt.Printf("net/http: %q\n", lines(host.Listener.Addr().String()))

	target, _ := url.Parse(host.URL)
	proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
	defer proxy.Close()
	fmt.Printf("httputil: %q\n", lines(proxy.Listener.Addr().String()))

	ln, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		panic(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	config := fmt.Sprintf("{\nadmin off\n}\nhttp://%s {\nreverse_proxy %s\n}\n", addr, target.Host)
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
	fmt.Printf("Caddy: %q\n", lines(addr))
}
GO
want='net/http: ["HTTP/1.0 103 Early Hints" "HTTP/1.0 200 OK"]
httputil: ["HTTP/1.0 103 Early Hints" "HTTP/1.0 200 OK"]
Caddy: ["HTTP/1.0 103 Early Hints" "HTTP/1.0 200 OK"]'
got=$(go run .)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
