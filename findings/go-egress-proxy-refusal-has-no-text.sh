#!/usr/bin/env bash
# What an egress proxy answers to CONNECT is, for Go, an error without a text.
#
# Software:  net/http of Go 1.26 (tried with 1.26.8; transport.go, dialConn).
# Behaviour: If a proxy answers CONNECT with another status than 200, the error of the request
#            is errors.New(the reason phrase): no status, no type, and no word of a proxy. A
#            reason phrase is optional (RFC 9112 section 4), and without one the error has the
#            empty text.
# Surprise:  A proxy that forbids a host looks like a host that forbids a call, "Forbidden";
#            and one that answers "HTTP/1.1 429 " like nothing at all. Only
#            Transport.OnProxyConnectResponse sees the status.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

func main() {
	for _, answer := range []string{"HTTP/1.1 403 Forbidden", "HTTP/1.1 429 ", "HTTP/1.1 503 You may not"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, answer+"\r\n\r\n")
			}
		}()
		status := 0
		transport := &http.Transport{
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: ln.Addr().String()}),
			OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
				status = res.StatusCode
				return nil
			},
		}
		req, _ := http.NewRequest(http.MethodGet, "https://api.example/", nil)
		_, err = transport.RoundTrip(req)
		fmt.Printf("%q: error %q of type %T; the status was %d\n", answer, err, err, status)
		ln.Close()
	}
}
GO
want='"HTTP/1.1 403 Forbidden": error "Forbidden" of type *errors.errorString; the status was 403
"HTTP/1.1 429 ": error "" of type *errors.errorString; the status was 429
"HTTP/1.1 503 You may not": error "You may not" of type *errors.errorString; the status was 503'
got=$(go run .)
echo "$got"
[[ $got == "$want" ]]
