package caddyesign_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A script is what an API host does when it sees a call for the first time. It writes
// anything to the connection, and reports whether the connection stays open.
type script func(conn net.Conn) (keep bool)

// A script2 is a script for a stream of an HTTP/2 connection.
type script2 func(conn net.Conn, framer *http2.Framer, stream uint32) (keep bool)

// A scriptedUpstream is an API host that is faulty the first time that it sees a call.
// Afterwards it responds with 200 and "ok". If a call has "warm" in its query, it is not
// faulty.
type scriptedUpstream struct {
	net.Listener
	url     string
	script  script
	script2 script2

	mu   sync.Mutex
	seen map[string]int // by method and target
}

// newScriptedUpstream starts an upstream with one of the scripts. With script2, it
// speaks HTTP/2 over TLS with cert.
func newScriptedUpstream(t *testing.T, s script, s2 script2, cert tls.Certificate) *scriptedUpstream {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &scriptedUpstream{Listener: ln, url: "http://" + ln.Addr().String(), script: s, script2: s2, seen: make(map[string]int)}
	serve := u.serve
	if s2 != nil {
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		u.url = "https://localhost:" + port
		serve = func(conn net.Conn) {
			u.serve2(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}))
		}
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { conn.Close() })
			wg.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	return u
}

// sees counts a call, and reports whether the upstream is to be faulty for it.
func (u *scriptedUpstream) sees(method, target string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen[method+" "+target]++
	return u.seen[method+" "+target] == 1 && !strings.Contains(target, "warm")
}

// count returns how often the upstream saw a call.
func (u *scriptedUpstream) count(method, target string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[method+" "+target]
}

// serve serves HTTP/1.1.
func (u *scriptedUpstream) serve(conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if u.sees(req.Method, req.RequestURI) {
			if !u.script(conn) {
				return
			}
			continue
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

// serve2 serves HTTP/2.
func (u *scriptedUpstream) serve2(conn net.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if framer.WriteSettings() != nil {
		return
	}
	calls := make(map[uint32][2]string)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() && framer.WriteSettingsAck() != nil {
				return
			}
		case *http2.PingFrame:
			if !frame.IsAck() && framer.WritePing(true, frame.Data) != nil {
				return
			}
		case *http2.MetaHeadersFrame:
			calls[frame.StreamID] = [2]string{frame.PseudoValue("method"), frame.PseudoValue("path")}
		case *http2.RSTStreamFrame:
			delete(calls, frame.StreamID)
		}
		ended, ok := frame.(interface{ StreamEnded() bool })
		id := frame.Header().StreamID
		call, open := calls[id]
		if !ok || !open || !ended.StreamEnded() {
			continue
		}
		delete(calls, id)
		if u.sees(call[0], call[1]) {
			if !u.script2(conn, framer, id) {
				return
			}
			continue
		}
		if respond2(framer, id, "200", "ok") != nil {
			return
		}
	}
}

// respond2 sends a response on a stream.
func respond2(framer *http2.Framer, stream uint32, status, body string) error {
	var block bytes.Buffer
	if err := hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: status}); err != nil {
		return err
	}
	return errors.Join(
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}),
		framer.WriteData(stream, true, []byte(body)))
}

// respond returns a script that sends a response, and keeps the connection.
func respond(status, body string) script {
	return func(conn net.Conn) bool {
		_, err := fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
		return err == nil
	}
}

// resets returns a script that writes the beginning of a response, then resets the
// connection.
func resets(beginning string) script {
	return func(conn net.Conn) bool {
		_, _ = io.WriteString(conn, beginning)
		reset(conn)
		return false
	}
}

// reset closes a connection with a TCP reset.
func reset(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// hangs is a script that does not respond until the other side gives up.
func hangs(conn net.Conn) bool {
	_, _ = io.Copy(io.Discard, conn)
	return false
}

// goesAway is a script that refuses to process the stream, or any other on this
// connection (RFC 9113 section 6.8).
func goesAway(_ net.Conn, framer *http2.Framer, _ uint32) bool {
	_ = framer.WriteGoAway(0, http2.ErrCodeNo, nil)
	return false
}

// resetsStream returns a script that resets the stream (RFC 9113 section 6.4).
func resetsStream(code http2.ErrCode) script2 {
	return func(_ net.Conn, framer *http2.Framer, stream uint32) bool {
		return framer.WriteRSTStream(stream, code) == nil
	}
}

// resets2 is a script that resets the connection.
func resets2(conn net.Conn, _ *http2.Framer, _ uint32) bool {
	reset(conn)
	return false
}

// hangs2 is a script that does not respond.
func hangs2(net.Conn, *http2.Framer, uint32) bool { return true }
