package caddyesign_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A response that is not HTTP, or only part of a response, is not the gateway's own
// fault. The gateway's error does not say that it is.
func TestBrokenResponses(t *testing.T) {
	for name, test := range map[string]struct{ response, kind string }{
		"nothing":                       {"", "connection_terminated"},
		"half of a status line":         {"HTTP/1.1 20", "http_protocol_error"},
		"a status line only":            {"HTTP/1.1 200 OK\r\n", "http_response_incomplete"},
		"half of a field":               {"HTTP/1.1 200 OK\r\nDat", "http_protocol_error"},
		"another protocol":              {"220 smtp.example.com ESMTP\r\n\r\n", "http_protocol_error"},
		"a status that is not a number": {"HTTP/1.1 good\r\n\r\n", "http_protocol_error"},
		"a length that is not a number": {"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "http_protocol_error"},
		"two lengths":                   {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "http_protocol_error"},
		"an unknown coding":             {"HTTP/1.1 200 OK\r\nTransfer-Encoding: zip\r\n\r\n", "http_response_transfer_coding"},
		"two codings":                   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", "http_response_transfer_coding"},
		"a field that is none":          {"HTTP/1.1 200 OK\r\nno field\r\n\r\n", "http_protocol_error"},
		"a header of 11 MiB":            {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 11<<20) + "\r\n\r\n", "http_response_header_section_size"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
						_, _ = io.Copy(io.Discard, req.Body)
						_, _ = io.WriteString(conn, test.response)
					}
					conn.Close()
				}
			}()
			f.start(`bankid_esign signdoc {
				callers local
				upstream signdoc http://` + ln.Addr().String() + `
			}`)
			f.do("DELETE", path, "").is(502).byGateway(test.kind)
			f.do("POST", "/v1/signdoc/pades", "{}").is(502).byGateway(test.kind)
		})
	}
}
