#!/usr/bin/env bash
# Go's two HTTP/2 clients differ in what they send again by themselves.
#
# Software:  net/http of Go 1.26 (tried with 1.26.8), and golang.org/x/net/http2 v0.60.0,
#            from which it is generated.
# Behaviour: A server answers a DELETE, which has no body, with
#            RST_STREAM(PROTOCOL_ERROR). That says nothing about whether the request was
#            processed: RFC 9113 section 8.7 promises so for REFUSED_STREAM alone. The
#            client of net/http sends the DELETE a second time, on another connection,
#            and hides the first attempt; that of x/net returns an error. Both send it
#            again after REFUSED_STREAM.
# Surprise:  DELETE is not safe, and net/http repeats none over HTTP/1.1. Here it does,
#            and http2.ConfigureTransport, which reads as if it did nothing any more
#            since Go 1.6, decides about it.
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
	for _, code := range []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeRefusedStream} {
		for _, name := range []string{"net/http", "x/net"} {
			var seen atomic.Int64
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				panic(err)
			}
			ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
			go serve(ln, code, &seen)
			client := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
			if name == "x/net" {
				if err := http2.ConfigureTransport(client); err != nil {
					panic(err)
				}
			} else {
				client.ForceAttemptHTTP2 = true
			}
			req, _ := http.NewRequest(http.MethodDelete, "https://"+ln.Addr().String()+"/", nil)
			res, err := client.RoundTrip(req)
			outcome := "an error"
			if err == nil {
				outcome = res.Status
				res.Body.Close()
			}
			fmt.Printf("%s, %s: the server saw %d, the caller got %s\n", code, name, seen.Load(), outcome)
			client.CloseIdleConnections()
			ln.Close()
		}
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
want='PROTOCOL_ERROR, net/http: the server saw 2, the caller got 204 No Content
PROTOCOL_ERROR, x/net: the server saw 1, the caller got an error
REFUSED_STREAM, net/http: the server saw 2, the caller got 204 No Content
REFUSED_STREAM, x/net: the server saw 2, the caller got 204 No Content'
printf '%s\n' "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
