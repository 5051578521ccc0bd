package caddyesign_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A wireCall is a call as a caller sends it, byte for byte, and the reply to it.
type wireCall struct {
	method, target string
	absolute       bool // the target is a URL
	fields         []field
	body           string
	framing        string // of the body: "length", "chunked", or "none"
	trailer        []field
	wait           bool // the body comes after 100 (Continue)
	old            bool // the version is HTTP/1.0
	cut            bool // the caller ends its side of the connection within the body; over HTTP/1 only
	http2, http3   bool
	reply          wireReply
	safe           bool
}

// brokeOff is what send returns if a call over HTTP/3, or the response to it, broke off.
const brokeOff = "broke off"

// send makes a call to the gateway name, which listens on addr, and returns what comes back.
func (c *wireCall) send(t *testing.T, name, addr string) string {
	t.Helper()
	switch {
	case c.http3:
		return c.send3(t, name)
	case c.http2:
		return c.send2(t, addr)
	}
	return c.send1(t, addr)
}

// next is the request that a caller sends after a call over the same connection. It shows
// whether the gateway found the end of the call.
const next = "GET /nowhere HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"

// send1 makes a call over HTTP/1.1 and returns what comes back until the connection ends.
func (c *wireCall) send1(t *testing.T, addr string) string {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	target := c.target
	if c.absolute {
		target = "http://" + addr + target
	}
	var header, body strings.Builder
	version := "HTTP/1.1"
	if c.old {
		version = "HTTP/1.0"
	}
	fmt.Fprintf(&header, "%s %s %s\r\nHost: %s\r\n%s", c.method, target, version, addr, lines(c.fields))
	sent := c.body
	if c.cut {
		sent = sent[:len(sent)/2]
	}
	switch c.framing {
	case "length":
		fmt.Fprintf(&header, "Content-Length: %d\r\n", len(c.body))
		body.WriteString(sent)
	case "chunked":
		header.WriteString("Transfer-Encoding: chunked\r\n")
		for part := range slices.Chunk([]byte(sent), 1000) {
			fmt.Fprintf(&body, "%x\r\n%s\r\n", len(part), part)
		}
		if !c.cut {
			body.WriteString("0\r\n" + lines(c.trailer) + "\r\n")
		}
	}
	header.WriteString("\r\n")
	if !c.cut {
		fmt.Fprintf(&body, next, addr)
	}
	r := bufio.NewReader(conn)
	var got strings.Builder
	if c.wait {
		_, _ = io.WriteString(conn, header.String())
		first, _ := readHeader(r)
		got.WriteString(first)
		_, _ = io.WriteString(conn, body.String())
	} else {
		_, _ = io.WriteString(conn, header.String()+body.String())
	}
	if c.cut {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	_, err = io.Copy(&got, r)
	return responses(t, c.method, got.String()) + endOf(err)
}

// endOf says how reading ended.
func endOf(err error) string {
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // it is not wrapped
		return "\ntimeout"
	}
	return ""
}

// emptyFraming are the fields that say that there is no body. Which of them a response has
// is chance: it depends on what comes first, the end of the handler or its flush.
var emptyFraming = regexp.MustCompile(`(?i)(?:transfer-encoding: chunked|content-length: 0)\r\n`)

// responses returns the responses in wire, first that to a request with that method. They
// stay as they are, but for the sizes of chunks, which depend on time, and for the framing of
// empty bodies.
func responses(t *testing.T, method, wire string) string {
	t.Helper()
	var b strings.Builder
	for r := bufio.NewReader(strings.NewReader(wire)); ; {
		header, err := readHeader(r)
		if err != nil {
			return b.String() + header
		}
		status, _, _ := strings.Cut(header[min(len(header), len("HTTP/1.1 ")):], " ")
		code, _ := strconv.Atoi(status)
		length := field1(header, "Content-Length")
		switch {
		case code < 200 || code == 204 || code == 304:
			b.WriteString(header)
		case method == http.MethodHead:
			b.WriteString(header)
			method = ""
		case field1(header, "Transfer-Encoding") == "chunked":
			body, err := io.ReadAll(httputil.NewChunkedReader(r))
			trailer := ""
			if err == nil {
				trailer, err = readHeader(r)
			}
			if len(body) == 0 && trailer == "\r\n" && err == nil {
				b.WriteString(emptyFraming.ReplaceAllString(header, ""))
				continue
			}
			fmt.Fprintf(&b, "%s%q %s%v\n", header, body, trailer, err)
		case length != "":
			n, _ := strconv.ParseInt(length, 10, 64)
			body, err := io.ReadAll(io.LimitReader(r, n))
			if n == 0 {
				b.WriteString(emptyFraming.ReplaceAllString(header, ""))
				continue
			}
			fmt.Fprintf(&b, "%s%q %v, %d missing\n", header, body, err, n-int64(len(body)))
		default:
			body, err := io.ReadAll(r)
			fmt.Fprintf(&b, "%s%q %v until the end\n", header, body, err)
		}
	}
}

// field1 returns the value of the first field of header with that name.
func field1(header, name string) string {
	for line := range strings.SplitSeq(header, "\r\n") {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value
		}
	}
	return ""
}

// send2 makes a call over HTTP/2 and returns what comes back until the stream ends.
func (c *wireCall) send2(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fields := append([]field{{":method", c.method}, {":scheme", "http"}, {":authority", addr}, {":path", c.target}}, c.fields...)
	if c.framing == "length" {
		fields = append(fields, field{"content-length", strconv.Itoa(len(c.body))})
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encode := func(fields []field) []byte {
		block.Reset()
		for _, f := range fields {
			_ = encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(f.name), Value: f.value})
		}
		return block.Bytes()
	}
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.AllowIllegalWrites = true
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
	_ = framer.WriteWindowUpdate(0, 1<<24)
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(fields), EndHeaders: true, EndStream: c.framing == "none"})
	sendBody := func() {
		for part := range slices.Chunk([]byte(c.body), 16<<10) {
			_ = framer.WriteData(1, false, part)
		}
		if len(c.trailer) > 0 {
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(c.trailer), EndHeaders: true, EndStream: true})
		} else {
			_ = framer.WriteData(1, true, nil)
		}
	}
	waiting := c.wait
	if c.framing != "none" && !waiting {
		sendBody()
	}
	var got, body strings.Builder
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return got.String() + strconv.Quote(body.String()) + err.Error()
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			for _, f := range frame.Fields {
				fmt.Fprintf(&got, "%s: %s\r\n", f.Name, f.Value)
			}
			got.WriteString("\r\n")
			if waiting {
				waiting = false
				sendBody()
			}
		case *http2.DataFrame:
			body.Write(frame.Data())
		case *http2.RSTStreamFrame:
			return got.String() + strconv.Quote(body.String()) + frame.ErrCode.String()
		case *http2.GoAwayFrame:
			fmt.Fprintln(&got, "GOAWAY", frame.ErrCode)
		}
		if header := frame.Header(); header.StreamID == 1 && header.Flags.Has(http2.FlagDataEndStream) && header.Type != http2.FrameRSTStream {
			if body.Len() == 0 {
				return emptyFraming.ReplaceAllString(got.String(), "")
			}
			return got.String() + strconv.Quote(body.String())
		}
	}
}
