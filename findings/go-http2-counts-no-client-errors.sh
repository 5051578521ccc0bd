#!/usr/bin/env bash
# The error counter of Go's HTTP/2 configuration counts nothing in a client.
#
# Software:  net/http of Go 1.26 (tried with 1.26.8), and golang.org/x/net/http2 v0.60.0.
# Behaviour: http.HTTP2Config.CountError "is called on HTTP/2 errors", and HTTP2Config is
#            for servers and transports alike. A transport never calls it, neither that of
#            net/http nor that of x/net, although it is copied into the configuration of
#            both. The field of the same name of x/net's http2.Transport works.
# Surprise:  The streams that an API resets are in no metric, and nothing says so.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require golang.org/x/net v0.60.0
MOD
cat >main.go <<'GO'
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"golang.org/x/net/http2"
)

func main() {
	donor := httptest.NewTLSServer(nil)
	cert := donor.TLS.Certificates[0]
	roots := donor.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	donor.Close()
	for _, name := range []string{"net/http, HTTP2Config", "x/net, HTTP2Config", "x/net, http2.Transport"} {
		var seen, counted atomic.Int64
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
		go serve(ln, http2.ErrCodeInternal, &seen)
		count := func(string) { counted.Add(1) }
		client := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		if name != "x/net, http2.Transport" {
			client.HTTP2 = &http.HTTP2Config{CountError: count}
		}
		if name == "net/http, HTTP2Config" {
			client.ForceAttemptHTTP2 = true
		} else if inner, err := http2.ConfigureTransports(client); err != nil {
			panic(err)
		} else if name == "x/net, http2.Transport" {
			inner.CountError = count
		}
		req, _ := http.NewRequest(http.MethodPost, "https://"+ln.Addr().String()+"/", nil)
		_, err = client.RoundTrip(req)
		fmt.Printf("%s: %d stream was reset, error %t, %d errors were counted\n", name, seen.Load(), err != nil, counted.Load())
		client.CloseIdleConnections()
		ln.Close()
	}
}

// serve resets the first stream with code, and answers the others with 204.
func serve(ln net.Listener, code http2.ErrCode, seen *atomic.Int64) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
				return
			}
			f := http2.NewFramer(conn, conn)
			_ = f.WriteSettings()
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				switch frame := frame.(type) {
				case *http2.SettingsFrame:
					if !frame.IsAck() {
						_ = f.WriteSettingsAck()
					}
				case *http2.HeadersFrame:
					if seen.Add(1) == 1 {
						_ = f.WriteRSTStream(frame.StreamID, code)
						continue
					}
					// :status 204 of the static table of RFC 7541
					_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: []byte{0x89}, EndHeaders: true, EndStream: true})
				}
			}
		}()
	}
}
GO
go mod tidy >/dev/null 2>&1
got=$(go run .)
want='net/http, HTTP2Config: 1 stream was reset, error true, 0 errors were counted
x/net, HTTP2Config: 1 stream was reset, error true, 0 errors were counted
x/net, http2.Transport: 1 stream was reset, error true, 1 errors were counted'
printf '%s\n' "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
