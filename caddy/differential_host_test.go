package caddyesign_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A field is a field line of a header or trailer.
type field struct{ name, value string }

// lines returns fields as HTTP/1.1 writes them.
func lines(fields []field) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	return b.String()
}

// A wireReply is what a scriptedHost responds, byte for byte.
type wireReply struct {
	interim []head
	head
	body    string
	framing string // of the body: "length", "chunked", "close" for until the connection ends, or "none"
	trailer []field
	early   bool                                       // it comes before the body of the request is read
	raw     string                                     // over HTTP/1.1, this comes instead of the header and all that follows
	frames  func(f *http2.Framer, stream uint32) error // over HTTP/2, this writes the response; after an error, the connection ends
	fault   string                                     // "": none; "cut": the connection ends within the body; "reset": the same by RST; "refused": it ends before the header; "excess": more follows than Content-Length says
}

// A head is the head of a response.
type head struct {
	version string // "1.1" by default
	status  int
	reason  string
	fields  []field
}

// String returns h as HTTP/1.1 writes it, without the empty line.
func (h head) String() string {
	return fmt.Sprintf("HTTP/%s %03d %s\r\n%s", cmp.Or(h.version, "1.1"), h.status, h.reason, lines(h.fields))
}

// A scriptedHost is an API's host that records each request that it sees and responds by a
// script.
type scriptedHost struct {
	net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	reply wireReply
	safe  bool           // a retry gets a response without faults
	serve func(net.Conn) // responds instead; the connection ends then
	seen  []string
	busy  sync.WaitGroup // connections that must end before the next call
}

// newScriptedHost starts a host that speaks HTTP/2 without TLS if http2 is true, otherwise
// HTTP/1.1.
func newScriptedHost(t *testing.T, http2 bool) *scriptedHost {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &scriptedHost{Listener: ln, conns: make(map[net.Conn]bool)}
	serve := h.serve1
	if http2 {
		serve = h.serve2
	}
	h.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns[conn] = true
			h.mu.Unlock()
			h.wg.Go(func() {
				defer func() {
					_ = conn.Close()
					h.mu.Lock()
					delete(h.conns, conn)
					h.mu.Unlock()
				}()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		h.mu.Lock()
		for conn := range h.conns {
			_ = conn.Close()
		}
		h.mu.Unlock()
		h.wg.Wait()
	})
	return h
}

// expect makes the host respond to the next call with r.
func (h *scriptedHost) expect(r wireReply, safe bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reply, h.safe, h.seen, h.serve = r, safe, nil, nil
}

// interactive makes serve respond to the next call, over HTTP/1.1.
func (h *scriptedHost) interactive(serve func(net.Conn)) {
	h.expect(wireReply{}, false)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serve = serve
}

// requests returns what the host has seen since expect. It waits for connections that end
// by the script.
func (h *scriptedHost) requests() []string {
	h.busy.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

// sees records the header of a request, and returns the response to it.
func (h *scriptedHost) sees(header string) (int, wireReply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, header)
	r := h.reply
	if len(h.seen) > 1 && h.safe {
		r = wireReply{head: head{status: 200, reason: "OK"}, framing: "length", body: "again"}
	}
	return len(h.seen) - 1, r
}

// record adds what came after the header of request n.
func (h *scriptedHost) record(n int, rest string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n < len(h.seen) {
		h.seen[n] += rest
	}
}

// readHeader reads lines up to an empty one.
func readHeader(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || strings.TrimRight(line, "\r\n") == "" {
			return b.String(), err
		}
	}
}

// serve1 serves HTTP/1.1.
func (h *scriptedHost) serve1(conn net.Conn) {
	r := bufio.NewReader(conn)
	for use := 0; ; use++ {
		header, err := readHeader(r)
		if err != nil {
			return
		}
		h.mu.Lock()
		serve := h.serve
		h.mu.Unlock()
		if serve != nil {
			serve(conn)
			return
		}
		n, reply := h.sees(fmt.Sprintf("use %d of a connection\n%s", min(use, 1), header))
		read := func() bool {
			body, trailer, err := readBody(r, header)
			if !reply.early {
				h.record(n, fmt.Sprintf("%q %q %v", body, trailer, err))
			}
			return err == nil
		}
		if reply.ends() {
			h.busy.Add(1)
		}
		var open bool
		if reply.early {
			open = h.respond(conn, reply) && read()
		} else {
			open = read() && h.respond(conn, reply)
		}
		if reply.ends() {
			// The next call must not find this connection among the idle ones.
			_, _ = io.Copy(io.Discard, r)
			h.busy.Done()
		}
		if !open {
			return
		}
	}
}

// ends reports whether the connection of HTTP/1.1 ends with the response.
func (r wireReply) ends() bool {
	return r.fault != "reset" && (r.raw != "" || r.framing == "close" || slices.Contains([]string{"refused", "cut", "excess"}, r.fault))
}

// readBody reads the body of a message with that header.
func readBody(r *bufio.Reader, header string) (body, trailer string, err error) {
	message, err := http.ReadRequest(bufio.NewReader(strings.NewReader(header)))
	if err != nil {
		return "", "", err
	}
	var b strings.Builder
	if message.ContentLength >= 0 {
		_, err = io.CopyN(&b, r, message.ContentLength)
		return b.String(), "", err
	}
	if _, err = io.Copy(&b, httputil.NewChunkedReader(r)); err != nil {
		return b.String(), "", err
	}
	trailer, err = readHeader(r)
	return b.String(), trailer, err
}

// respond writes a reply, and reports whether the connection stays open.
func (h *scriptedHost) respond(conn net.Conn, r wireReply) bool {
	var b bytes.Buffer
	for _, interim := range r.interim {
		b.WriteString(interim.String() + "\r\n")
	}
	switch {
	case r.fault == "refused":
	case r.raw != "":
		b.WriteString(r.raw)
	default:
		r.write(&b)
	}
	_, _ = conn.Write(b.Bytes())
	switch {
	case r.fault == "reset":
		_ = conn.(*net.TCPConn).SetLinger(0)
		return false
	case r.fault == "excess": // the gateway must notice
		return false
	case r.ends():
		_ = conn.(*net.TCPConn).CloseWrite()
		return false
	}
	return true
}

// write writes the final response as far as it goes.
func (r wireReply) write(b *bytes.Buffer) {
	b.WriteString(r.String())
	body := r.body
	cut := r.fault == "cut" || r.fault == "reset"
	if cut {
		body = body[:len(body)/2]
	}
	switch r.framing {
	case "length":
		fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(r.body), body)
	case "chunked":
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for part := range slices.Chunk([]byte(body), 7) {
			fmt.Fprintf(b, "%x\r\n%s\r\n", len(part), part)
		}
		if !cut {
			b.WriteString("0\r\n" + lines(r.trailer) + "\r\n")
		}
	default:
		b.WriteString("\r\n" + body)
	}
	if r.fault == "excess" {
		b.WriteString("more than that")
	}
}

// serve2 serves HTTP/2.
func (h *scriptedHost) serve2(conn net.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.AllowIllegalWrites = true
	if framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24}) != nil || framer.WriteWindowUpdate(0, 1<<24) != nil {
		return
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	headers := func(stream uint32, end bool, fields ...field) {
		block.Reset()
		for _, f := range fields {
			_ = encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(f.name), Value: f.value})
		}
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
	}
	type stream struct {
		n     int
		reply wireReply
		body  string
	}
	streams := make(map[uint32]*stream)
	respond := func(id uint32, r wireReply) bool {
		if r.frames != nil {
			if r.frames(framer, id) == nil {
				return true
			}
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn) // or the connection would be reset, and what was written lost
			return false
		}
		for _, interim := range r.interim {
			headers(id, false, append([]field{{":status", fmt.Sprint(interim.status)}}, interim.fields...)...)
		}
		if r.fault == "refused" {
			return framer.WriteRSTStream(id, http2.ErrCodeInternal) == nil
		}
		fields := append([]field{{":status", fmt.Sprint(r.status)}}, r.fields...)
		if r.framing == "length" {
			fields = append(fields, field{"content-length", fmt.Sprint(len(r.body))})
		}
		if r.framing == "none" {
			headers(id, true, fields...)
			return true
		}
		headers(id, false, fields...)
		switch r.fault {
		case "cut", "reset":
			for part := range slices.Chunk([]byte(r.body[:len(r.body)/2]), 16<<10) {
				_ = framer.WriteData(id, false, part)
			}
			code := http2.ErrCodeInternal
			if r.fault == "cut" {
				code = http2.ErrCodeNo
			}
			return framer.WriteRSTStream(id, code) == nil
		}
		for part := range slices.Chunk([]byte(r.body), 16<<10) {
			_ = framer.WriteData(id, false, part)
		}
		if len(r.trailer) > 0 {
			headers(id, true, r.trailer...)
		} else {
			_ = framer.WriteData(id, true, nil)
		}
		return true
	}
	ended := func(s *stream, id uint32, trailer []string) bool {
		if s.reply.early {
			return true
		}
		h.record(s.n, fmt.Sprintf("%q %q", s.body, trailer))
		return respond(id, s.reply)
	}
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
			fields := make([]string, 0, len(frame.Fields))
			for _, f := range frame.Fields {
				fields = append(fields, f.Name+": "+f.Value)
			}
			slices.Sort(fields)
			s := streams[frame.StreamID]
			if s == nil {
				s = new(stream)
				s.n, s.reply = h.sees(strings.Join(fields, "\n"))
				streams[frame.StreamID] = s
				fields = nil
				if s.reply.early && !respond(frame.StreamID, s.reply) {
					return
				}
			}
			if frame.StreamEnded() && !ended(s, frame.StreamID, fields) {
				return
			}
		case *http2.DataFrame:
			s := streams[frame.StreamID]
			if s == nil {
				return
			}
			s.body += string(frame.Data())
			if frame.StreamEnded() && !ended(s, frame.StreamID, nil) {
				return
			}
		}
	}
}
