package caddyesign_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// exchange sends raw bytes to the gateway that a client library would not send. It
// returns the statuses of the responses until the connection ends.
func exchange(t *testing.T, addr, raw string) []int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// The gateway may respond, and close the connection, before everything is written.
	go func() { _, _ = io.WriteString(conn, raw) }()
	var statuses []int
	reader := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			return statuses
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return statuses
		}
		res.Body.Close()
		statuses = append(statuses, res.StatusCode)
	}
}

// Two servers may disagree about where one of these requests ends. Behind each stands a
// second request, for which its caller is not admitted. A server that does not split
// them as RFC 9112 says would take the second one for a part of the first, or for
// another request of the same caller.
func TestAmbiguousRequests(t *testing.T) {
	f := newFixture(t).start(`basic_auth {
		app $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW
	}
	` + strings.Replace(localSite, "local", "authenticated", 1))
	const post = "POST /v1/signdoc/pades?first HTTP/1.1\r\nHOST\r\n"
	behind := "DELETE /v1/signdoc/pades?smuggled HTTP/1.1\r\nHost: " + f.addr + "\r\nConnection: close\r\n\r\n"
	for _, test := range []struct {
		name, raw string
		status    int // 0 if there is no response
	}{
		{"Content-Length and chunked", post + "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200},
		{"chunked and Content-Length", post + fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: 4\r\nConnection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(behind), behind), 200},
		{"two lengths", post + "Content-Length: 0\r\nContent-Length: 60\r\n\r\n", 400},
		{"two lengths in one", post + "Content-Length: 0, 60\r\n\r\n", 400},
		{"same length twice", post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 200},
		{"signed length", post + "Content-Length: +2\r\n\r\n{}", 400},
		{"negative length", post + "Content-Length: -1\r\n\r\n", 400},
		{"hexadecimal length", post + "Content-Length: 0x2\r\n\r\n{}", 400},
		{"empty length", post + "Content-Length: \r\n\r\n", 400},
		{"space before the colon", post + "Content-Length : 60\r\n\r\n", 400},
		{"space before the colon of chunked", post + "Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n", 400},
		{"folded length", post + "Content-Length:\r\n 2\r\n\r\n{}", 200},
		{"length in a folded field", post + "X-A: b\r\n Content-Length: 60\r\nContent-Length: 2\r\n\r\n{}", 200},
		{"folded first field", strings.Replace(post, "HOST", " X-A: b\r\nHOST", 1) + "Content-Length: 2\r\n\r\n{}", 400},
		{"bare LF", strings.ReplaceAll(post, "\r", "") + "Content-Length: 2\n\n{}", 200},
		{"bare CR", post + "X-A: b\rContent-Length: 60\r\nContent-Length: 2\r\n\r\n{}", 400},
		{"NUL", post + "X-A: b\x00\r\nContent-Length: 2\r\n\r\n{}", 400},
		{"field without a colon", post + "X-A\r\nContent-Length: 2\r\n\r\n{}", 400},
		{"chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
		{"chunked and identity", post + "Transfer-Encoding: chunked, identity\r\nContent-Length: 0\r\n\r\n", 501},
		{"identity", post + "Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n", 501},
		{"unknown coding", post + "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n", 501},
		{"vertical tab before chunked", post + "Transfer-Encoding: \x0bchunked\r\nContent-Length: 0\r\n\r\n", 400},
		{"chunk without an end", post + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n", 400},
		{"chunk extension with a bare LF", post + "Transfer-Encoding: chunked\r\n\r\n2;\nx\r\n{}\r\n0\r\n\r\n", 400},
		{"chunk of a negative size", post + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 400},
		{"chunk of a huge size", post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}\r\n0\r\n\r\n", 400},
		{"Authorization in a trailer", post + "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer trailer\r\n\r\n", 200},
		{"Content-Length in a trailer", post + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 60\r\n\r\n", 400},
		{"no Host", strings.Replace(post, "HOST", "X-A: b\r\nAUTH", 1) + "Content-Length: 2\r\n\r\n{}", 400},
		{"two Hosts", post + "Host: elsewhere.example\r\nContent-Length: 2\r\n\r\n{}", 400},
		{"another authority in the target", strings.Replace(post, " /", " http://elsewhere.example/", 1) + "Content-Length: 2\r\n\r\n{}", 200},
		{"HTTP/2.0 in text", strings.Replace(post, "1.1", "2.0", 1) + "Content-Length: 2\r\n\r\n{}", 505},
		{"no version", "GET /v1/signdoc/pades?first\r\n", 400},
		{"tab in the request line", strings.Replace(post, " /", "\t/", 1) + "Content-Length: 2\r\n\r\n{}", 400},
		{"two spaces in the request line", strings.Replace(post, " /", "  /", 1) + "Content-Length: 2\r\n\r\n{}", 400},
		{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
		{"upgrade to h2c", post + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n\r\n{}", 200},
		{"upgrade to WebSocket", post + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 2\r\n\r\n{}", 200},
		{"tunnel", strings.Replace(post, "POST /v1/signdoc/pades?first", "CONNECT api.example:443", 1) + "\r\n", 400},
		{"unknown expectation", post + "Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}", 417},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw := strings.ReplaceAll(test.raw, "HOST", "Host: "+f.addr+"\r\nAUTH")
			raw = strings.ReplaceAll(raw, "AUTH", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("app:correct")))
			statuses := exchange(t, f.addr, raw+behind)
			if len(statuses) == 0 {
				statuses = []int{0}
			}
			if statuses[0] != test.status {
				t.Errorf("statuses are %d, want %d for the first", statuses, test.status)
			}
			for _, status := range statuses[1:] {
				if status != http.StatusUnauthorized {
					t.Errorf("statuses are %d, want 401 for the second", statuses)
				}
			}
			calls := f.upstream.seen()
			if want := map[bool]int{true: 1}[test.status == http.StatusOK]; len(calls) != want {
				t.Errorf("the upstream saw %d calls, want %d", len(calls), want)
			}
			for _, call := range calls {
				if call.Method != "POST" || call.RequestURI != "/v1/signdoc/pades?first" || len(call.trailer) > 0 ||
					!strings.HasPrefix(call.Header.Get("Authorization"), "Bearer token-") || !slices.Contains([]string{"", "{}", behind}, string(call.body)) {
					t.Errorf("the upstream saw %s %s %v %q", call.Method, call.RequestURI, call.Header, call.body)
				}
			}
		})
	}
}
