#!/usr/bin/env bash
# Over HTTP/3, quic-go says of what it does not send that it has no bytes: 304, 204 and HEAD.
#
# Software:  github.com/quic-go/quic-go v0.63.0 (of Caddy v2.11.9), and net/http of Go 1.26 (tried with 1.26.8) for
#            HTTP/1.1 and HTTP/2.
# Behaviour: A handler that sets no Content-Length responds with 304, with 204, and to HEAD. net/http sends no
#            Content-Length with any of them. quic-go sends "Content-Length: 0" with each, unless the handler has
#            flushed before it returns. A nil value of the field prevents it.
# Surprise:  With 304 and HEAD, the field is the length that the content has (RFC 9110 section 8.6), and one that
#            differs from that of GET must not be sent; with 204, it must not be sent at all. A cache by RFC 7234
#            (section 4.3.4) updates the length of what it has stored with it; only RFC 9111 has it leave that out.
#            One expects the same header from the same handler, and a proxy on top of it does not even know.
# Needs:     bash, Go.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require github.com/quic-go/quic-go v0.63.0
MOD
cat >main.go <<'GO'
package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/quic-go/quic-go/http3"
)

func handle(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Has("nil") {
		w.Header()["Content-Length"] = nil
	}
	switch query.Get("status") {
	case "304":
		w.WriteHeader(http.StatusNotModified)
	case "204":
		w.WriteHeader(http.StatusNoContent)
	}
	if query.Has("flush") {
		_ = http.NewResponseController(w).Flush()
	}
}

func main() {
	server := httptest.NewUnstartedServer(http.HandlerFunc(handle))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	config := &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"}

	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	over3 := &http3.Server{Handler: http.HandlerFunc(handle), TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: server.TLS.Certificates})}
	go over3.Serve(conn)
	defer over3.Close()

	one := new(http.Protocols)
	one.SetHTTP1(true)
	two := new(http.Protocols)
	two.SetHTTP2(true)
	for _, client := range []struct {
		url       string
		transport http.RoundTripper
	}{
		{server.URL, &http.Transport{TLSClientConfig: config.Clone(), Protocols: one}},
		{server.URL, &http.Transport{TLSClientConfig: config.Clone(), Protocols: two}},
		{"https://" + conn.LocalAddr().String(), &http3.Transport{TLSClientConfig: config.Clone()}},
	} {
		for _, query := range []string{"status=304", "status=204", "status=200", "status=304&flush", "status=304&nil"} {
			method := http.MethodGet
			if query == "status=200" {
				method = http.MethodHead
			}
			request, err := http.NewRequest(method, client.url+"/?"+query, nil)
			if err != nil {
				panic(err)
			}
			response, err := client.transport.RoundTrip(request)
			if err != nil {
				panic(err)
			}
			response.Body.Close()
			fmt.Printf("%s, %s %s: %q\n", response.Proto, method, query, response.Header["Content-Length"])
		}
	}
}
GO
go mod tidy >/dev/null 2>&1
want='HTTP/1.1, GET status=304: []
HTTP/1.1, GET status=204: []
HTTP/1.1, HEAD status=200: []
HTTP/1.1, GET status=304&flush: []
HTTP/1.1, GET status=304&nil: []
HTTP/2.0, GET status=304: []
HTTP/2.0, GET status=204: []
HTTP/2.0, HEAD status=200: []
HTTP/2.0, GET status=304&flush: []
HTTP/2.0, GET status=304&nil: []
HTTP/3.0, GET status=304: ["0"]
HTTP/3.0, GET status=204: ["0"]
HTTP/3.0, HEAD status=200: ["0"]
HTTP/3.0, GET status=304&flush: []
HTTP/3.0, GET status=304&nil: []'
got=$(go run . 2>/dev/null)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
