#!/usr/bin/env bash
# A health check of Go's HTTP/2 client ends an upload that is on its way.
#
# Software:  net/http of Go 1.26 (tried with 1.26.8), on Linux.
# Behaviour: With HTTP2Config.SendPingTimeout of 3 s and PingTimeout of 7 s, a client sends
#            24 MiB to a server that reads 400 KiB/s all the time, answers a PING as soon as
#            it reads it, and needs no more flow control: a window that holds all of the
#            body was granted at once, as nginx does. After 10 seconds the client gives the
#            connection up as lost: its PING stands behind what the kernel has taken of the
#            upload. With TCP_NOTSENT_LOWAT on the socket it does not, and the upload comes
#            to its end.
# Surprise:  The time limit reads as one of the round trip. It is one of everything that was
#            written before, which a slow line and a large send buffer make as long as they
#            like, while the server works as it should.
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
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"time"

	"golang.org/x/net/http2"
)

const size = 24 << 20

// A pacedConn is a connection of which 400 KiB are read in a second.
type pacedConn struct {
	net.Conn
	credit int
}

func (c *pacedConn) Read(p []byte) (int, error) {
	if c.credit == 0 {
		time.Sleep(50 * time.Millisecond)
		c.credit = 20 << 10
	}
	n, err := c.Conn.Read(p[:min(len(p), c.credit)])
	c.credit -= n
	return n, err
}

func main() {
	donor := httptest.NewTLSServer(nil)
	cert := donor.TLS.Certificates[0]
	roots := donor.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	donor.Close()
	for _, lowat := range []bool{false, true} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				_ = conn.(*net.TCPConn).SetReadBuffer(256 << 10)
				go serve(tls.Server(&pacedConn{Conn: conn}, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}))
			}
		}()
		client := &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
			HTTP2: &http.HTTP2Config{SendPingTimeout: 3 * time.Second, PingTimeout: 7 * time.Second},
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil && lowat {
					raw, _ := conn.(*net.TCPConn).SyscallConn()
					_ = raw.Control(func(fd uintptr) {
						const tcpNotSentLowat = 25 // of Linux
						_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, 128<<10)
					})
				}
				return conn, err
			},
		}
		req, _ := http.NewRequest(http.MethodPost, "https://"+ln.Addr().String()+"/", bytes.NewReader(make([]byte, size)))
		req.GetBody = nil
		start := time.Now()
		res, err := client.RoundTrip(req)
		switch {
		case err != nil:
			fmt.Printf("TCP_NOTSENT_LOWAT %t: %v, at about %d s\n", lowat, err, int(time.Since(start).Seconds())/5*5)
		default:
			res.Body.Close()
			fmt.Printf("TCP_NOTSENT_LOWAT %t: %s\n", lowat, res.Status)
		}
		client.CloseIdleConnections()
		ln.Close()
	}
}

// serve grants a window for everything, and answers when it has read all.
func serve(conn net.Conn) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	_ = f.WriteWindowUpdate(0, 1<<30)
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
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = f.WritePing(true, frame.Data)
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				// :status 204 of the static table of RFC 7541
				_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: []byte{0x89}, EndHeaders: true, EndStream: true})
			}
		}
	}
}
GO
go mod tidy >/dev/null 2>&1
got=$(go run .)
want='TCP_NOTSENT_LOWAT false: http2: client connection lost, at about 10 s
TCP_NOTSENT_LOWAT true: 204 No Content'
printf '%s\n' "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
