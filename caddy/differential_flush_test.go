package caddyesign_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Both ways pass the parts of these responses on as they come: the API sends the second
// part only after the caller has got the first.
func TestBothWaysFlush(t *testing.T) {
	_, _, lanes := newLanes(t, "", "")
	for name, header := range map[string]string{
		"unknown length":                     "Content-Type: a/b\r\n",
		"event stream":                       "Content-Type: text/event-stream; charset=utf-8\r\nContent-Length: 10\r\n",
		"Incremental":                        "Content-Type: a/b\r\nIncremental: ?1\r\nContent-Length: 10\r\n",
		"Incremental for the connection":     "Content-Type: a/b\r\nIncremental: ?1\r\nConnection: incremental\r\nContent-Length: 10\r\n",
		"event stream by the last of fields": "Content-Type: text/event-stream\r\nContent-Type: a/b\r\nContent-Length: 10\r\n",
	} {
		for way, l := range lanes[0] {
			t.Run(fmt.Sprintf("%s, way %d", name, way), func(t *testing.T) {
				received := make(chan struct{})
				l.host.interactive(func(conn net.Conn) {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n"+header+"\r\nfirst")
					<-received
					_, _ = io.WriteString(conn, "other")
				})
				conn, err := net.Dial("tcp", l.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				fmt.Fprintf(conn, "GET /get HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", l.addr)
				r := bufio.NewReader(conn)
				got := ""
				for !strings.Contains(got, "first") && err == nil {
					var b byte
					b, err = r.ReadByte()
					got += string(b)
				}
				close(received)
				if err != nil {
					t.Fatalf("before the second part, there is only %q: %v", got, err)
				}
				if rest, err := io.ReadAll(r); err != nil || !strings.Contains(string(rest), "other") {
					t.Errorf("the rest is %q, %v", rest, err)
				}
			})
		}
	}
}

// Both ways stream a body that is too large to be held alike.
func TestBothWaysStream(t *testing.T) {
	_, _, lanes := newLanes(t, "request_buffer 2KiB", "")
	for _, framing := range []string{"length", "chunked"} {
		for _, http2 := range []bool{false, true} {
			for _, trailer := range [][]field{nil, {{"X-Trailer", "late"}}} {
				if framing == "length" && !http2 && trailer != nil {
					continue // HTTP/1.1 has no trailer then
				}
				c := &wireCall{
					method: "PUT", target: "/put", http2: http2, framing: framing, body: strings.Repeat("x", 40000), trailer: trailer,
					reply: wireReply{head: head{status: 200, reason: "OK"}, framing: "length", body: "ok"},
				}
				if trailer != nil {
					c.fields = []field{{"Trailer", "X-Trailer"}}
				}
				for version := range lanes {
					short, long := lanes[version][0].send(t, c), lanes[version][1].send(t, c)
					if short != long || !strings.Contains(short, "200") {
						t.Errorf("%s, trailer %v, HTTP/%d\nshort way: %s\nlong way: %s", c, trailer, 1+version, difference(short, long), difference(long, short))
					}
				}
			}
		}
	}
}
