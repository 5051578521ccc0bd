package caddyesign_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// newProtocols starts a gateway that speaks HTTP/1.1, HTTP/2 and HTTP/3 over TLS, and
// HTTP/1.1 and HTTP/2 at the address plain. It admits local callers to SignDoc, and to
// timestamping only callers that show a certificate.
func newProtocols(t *testing.T) (f *fixture, plain string, config *tls.Config) {
	t.Helper()
	f = newFixture(t)
	ca := newCA(t)
	cert := filepath.Join(f.dir, "server.pem")
	ca.issue(t, cert)
	plain = ports.Address(t)
	_, port, _ := net.SplitHostPort(f.addr)
	f.url = "https://localhost:" + port
	f.site = f.url
	f.global = "auto_https off\nservers " + plain + " {\nprotocols h1 h2c\n}"
	const apis = `bankid_esign signdoc {
		callers local
		upstream signdoc UPSTREAM_URL
	}
	bankid_esign timestamp {
		upstream timestamp UPSTREAM_URL
	}`
	both := strings.ReplaceAll("@signdoc path /v1/signdoc/*\n"+strings.Replace(apis, "bankid_esign", "bankid_esign @signdoc", 1), "UPSTREAM_URL", f.upstream.URL)
	f.start("tls " + cert + " " + cert + "\n" + both + "\n}\nhttp://:" + strings.TrimPrefix(plain, "127.0.0.1:") + " {\nbind 127.0.0.1\n" + both)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return f, plain, &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// With every version of HTTP, an admitted caller's call is made with a token, and
// another caller's call is not.
func TestEveryVersionOfHTTP(t *testing.T) {
	f, plain, config := newProtocols(t)
	var h1, h2, h2c http.Protocols
	h1.SetHTTP1(true)
	h2.SetHTTP2(true)
	h2c.SetUnencryptedHTTP2(true)
	for _, test := range []struct {
		name, url string
		major     int
		transport *http.Transport
	}{
		{"HTTP/1.1", f.url, 1, &http.Transport{TLSClientConfig: config.Clone(), Protocols: &h1}},
		{"HTTP/1.1 in plain text", "http://" + plain, 1, &http.Transport{Protocols: &h1}},
		{"HTTP/2", f.url, 2, &http.Transport{TLSClientConfig: config.Clone(), Protocols: &h2}},
		{"HTTP/2 in plain text", "http://" + plain, 2, &http.Transport{Protocols: &h2c}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Cleanup(test.transport.CloseIdleConnections)
			f.checkAdmission(t, test.transport, test.url, test.major)
		})
	}
}

// checkAdmission makes calls, with one version of HTTP, to a gateway of newProtocols.
func (f *fixture) checkAdmission(t *testing.T, transport http.RoundTripper, url string, major int) {
	for _, call := range []struct {
		method, target, body string
		header               http.Header
		status               int
	}{
		{"GET", path, "", http.Header{"Authorization": {"Bearer callers-own"}, "Cookie": {"a=b"}, "Dpop": {"proof"}}, 200},
		{"POST", "/v1/signdoc/pades", strings.Repeat("x", 3<<20), http.Header{"Expect": {"100-continue"}}, 200},
		{"DELETE", "/v1/signdoc/pades?sign_id=" + rand.Text(), "", nil, 200},
		{"DELETE", path, "", http.Header{"Early-Data": {"1"}}, 425},
		{"POST", "/v1/signdoc/pades", "{}", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"POST", "/v1/timestamp/pades/lta", "{}", nil, 403},
		{"GET", "/v1/signdoc/%70ades", "", nil, 404},
		{"GET", "//v1/signdoc/pades", "", nil, 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), call.method, url+call.target, strings.NewReader(call.body))
		if err != nil {
			t.Fatal(err)
		}
		if call.body == "" {
			req.Body = http.NoBody
		} else {
			req.Trailer = http.Header{"X-Trailer": {"trailer"}}
		}
		maps.Copy(req.Header, call.header)
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s %s: %v", call.method, call.target, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != call.status || res.ProtoMajor != major {
			t.Errorf("%s %s: status is %d by %s, want %d", call.method, call.target, res.StatusCode, res.Proto, call.status)
		}
		seen := f.upstream.seen()
		if want := map[bool]int{true: 1}[call.status == 200]; len(seen) != want {
			t.Fatalf("%s %s: the upstream saw %d calls, want %d", call.method, call.target, len(seen), want)
		}
		for _, got := range seen {
			if got.RequestURI != call.target || string(got.body) != call.body || len(got.trailer) > 0 || len(got.Header["Authorization"]) != 1 ||
				!strings.HasPrefix(got.Header.Get("Authorization"), "Bearer token-") || got.Header.Get("Cookie") != "" || got.Header.Get("Dpop") != "" {
				t.Errorf("the upstream saw %s %s with %v", got.Method, got.RequestURI, got.Header)
			}
		}
	}
}

// These requests over HTTP/2 are malformed, or have another meaning in HTTP/1.1.
func TestMalformedHTTP2(t *testing.T) {
	f, plain, _ := newProtocols(t)
	request := func(change map[string]string) []hpack.HeaderField {
		fields := []hpack.HeaderField{
			{Name: ":method", Value: "POST"},
			{Name: ":scheme", Value: "http"},
			{Name: ":authority", Value: plain},
			{Name: ":path", Value: "/v1/signdoc/pades"},
		}
		for name, value := range change {
			known := false
			for i := range fields {
				if fields[i].Name == name {
					fields[i].Value, known = value, true
				}
			}
			if !known {
				fields = append(fields, hpack.HeaderField{Name: name, Value: value})
			}
		}
		return fields
	}
	const smuggled = "0\r\n\r\nDELETE /v1/signdoc/pades?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, test := range []struct {
		name   string
		change map[string]string
		body   string
		status string // "" if the stream or the connection is reset
	}{
		{"as it should be", nil, "{}", "200"},
		{"chunked", map[string]string{"transfer-encoding": "chunked"}, smuggled, "400"},
		{"short length", map[string]string{"content-length": "1"}, smuggled, ""},
		{"long length", map[string]string{"content-length": "9999"}, smuggled, "400"},
		{"Connection", map[string]string{"connection": "authorization"}, "{}", "400"},
		{"upgrade", map[string]string{"upgrade": "websocket"}, "{}", "400"},
		{"line break in a field", map[string]string{"accept": "a\r\nAuthorization: Bearer planted"}, "{}", ""},
		{"upper case", map[string]string{"X-A": "b"}, "{}", ""},
		{"line break in the path", map[string]string{":path": "/v1/signdoc/pades HTTP/1.1\r\nX: y"}, "{}", ""},
		{"space in the path", map[string]string{":path": "/v1/signdoc/pades x"}, "{}", "404"},
		{"no path", map[string]string{":path": ""}, "{}", ""},
		{"absolute path", map[string]string{":path": "http://elsewhere.example/v1/signdoc/pades"}, "{}", ""},
		{"another host", map[string]string{":authority": "elsewhere.example"}, "{}", "403"},
		{"user in the authority", map[string]string{":authority": "x@" + plain}, "{}", ""},
		{"method of two words", map[string]string{":method": "POST /v1/signdoc/pades HTTP/1.1"}, "{}", "404"},
		{"lower-case method", map[string]string{":method": "post"}, "{}", "404"},
		{"WebSocket", map[string]string{":method": "CONNECT", ":protocol": "websocket"}, "", ""},
		{"authorization twice", map[string]string{"authorization": "Bearer a", "proxy-authorization": "Bearer b"}, "{}", "200"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status := exchange2(t, plain, request(test.change), test.body)
			seen := f.upstream.seen()
			if status != test.status {
				t.Errorf("status is %q, want %q", status, test.status)
			}
			if want := map[bool]int{true: 1}[status == "200"]; len(seen) != want {
				t.Errorf("the upstream saw %d calls, want %d", len(seen), want)
			}
			for _, call := range seen {
				if test.status != "200" || call.Method != "POST" || call.RequestURI != "/v1/signdoc/pades" || string(call.body) != test.body ||
					len(call.Header["Authorization"]) != 1 || !strings.HasPrefix(call.Header.Get("Authorization"), "Bearer token-") {
					t.Errorf("the upstream saw %s %s %v %q", call.Method, call.RequestURI, call.Header, call.body)
				}
			}
		})
	}
}

// exchange2 sends a request over HTTP/2 in plain text exactly as given. It returns the
// status of the response, or "" if the stream or the connection ends without one.
func exchange2(t *testing.T, addr string, fields []hpack.HeaderField, body string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(t.Context(), func() { conn.Close() })
	defer stop()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		if err := encoder.WriteField(field); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.AllowIllegalWrites = true
	_ = framer.WriteSettings()
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = framer.WriteData(1, true, []byte(body))
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return ""
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}
