package itest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A host is an API host of other software. It counts calls by method and sign_id, and
// responds by the sign_id to
//
//   - early413… and early401… with that status, before it reads the body,
//   - gzip… and deflate… with 400 and an encoded body,
//   - down… with 20 MiB, and
//   - all others with "ok".
//
// X-Length, X-Content-Length and X-Transfer-Encoding of the response describe the request.
type host struct {
	name   string // with the version
	speaks string // the protocol, and a special setting
	origin string
	// counts is the URL that returns how often the host saw each call.
	counts string
	// resets says that the host closes the connection right after an early response, with
	// an unread body, so that the response can be lost on the way (RFC 9112 section 9.6).
	resets bool
	// idle makes the host close idle connections. It is nil if the host cannot do that.
	idle func(t *testing.T)
}

// hostDocument is the length of large bodies.
const hostDocument = 20 << 20

// These columns have hosts that differ.
const (
	closesIdle   = "idle connections closed"
	earlyAnswers = "early 413 and 401"
)

// A hostCase is one test of a host and the gateway.
type hostCase struct {
	name string
	run  func(t *testing.T, g *gateway, h *host)
}

// hostCases are the rows of the table.
var hostCases = []hostCase{
	{"GET, POST and DELETE, 20 of each", func(t *testing.T, g *gateway, h *host) { h.callAll(t, g, 20, 1) }},
	{"the same, 8 at a time", func(t *testing.T, g *gateway, h *host) { h.callAll(t, g, 20, 8) }},
	{"200 POST of 7 bytes and 200 DELETE, 4 at a time", func(t *testing.T, g *gateway, h *host) { h.callAll(t, g, 200, 4, "POST", "DELETE") }},
	{"empty POST, DELETE", testEmptyBodies},
	{"100-continue", testExpectContinue},
	{"20 MiB up", testUpload},
	{"20 MiB down", testDownload},
	{earlyAnswers, testEarlyResponses},
	{"errors in gzip and deflate", testCodedErrors},
	{closesIdle, testIdle},
}

// TestHosts tests the gateway with API hosts of other software, and compares the results
// with the table in ../docs/hosts.md.
func TestHosts(t *testing.T) {
	cert, files := hostCertificate(t)
	var table strings.Builder
	table.WriteString("| host | protocol |")
	for _, c := range hostCases {
		table.WriteString(" " + c.name + " |")
	}
	table.WriteString("\n| --- | --- |" + strings.Repeat(" --- |", len(hostCases)) + "\n")
	issuer := tokenauthtest.NewHTTPServer()
	defer issuer.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	app := "issuer " + issuer.Issuer() + "\nclient_id app\nclient_secret {file." + secret + "}"
	for _, h := range startHosts(t, cert, files) {
		t.Run(h.name+", "+h.speaks, func(t *testing.T) {
			g := startGateway(t, app, fmt.Sprintf(`bankid_esign signdoc {
				callers local
				upstream signdoc %s
				%s
			}`, h.origin, h.transport(files)))
			fmt.Fprintf(&table, "| %s | %s |", h.name, h.speaks)
			for _, c := range hostCases {
				if c.name == closesIdle && h.idle == nil {
					table.WriteString(" |")
					continue
				}
				ok := t.Run(c.name, func(t *testing.T) { c.run(t, g, h) })
				cell := map[bool]string{true: "yes", false: "NO"}[ok]
				if ok && c.name == earlyAnswers && h.resets {
					cell = "or 502"
				}
				table.WriteString(" " + cell + " |")
			}
			table.WriteString("\n")
		})
	}
	if t.Failed() {
		t.Logf("\n%s", &table)
		return
	}
	writeTable(t, "../docs/hosts.md", table.String())
}

// writeTable writes the table into a document, and fails the test if it has changed.
func writeTable(t *testing.T, file, table string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "| host | protocol |")
	_, after, _ := strings.Cut(rest, "\n\n")
	if now := before + table + "\n" + after; now != string(text) {
		t.Errorf("%s has another table; it is written anew", file)
		if err := os.WriteFile(file, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// transport returns the subdirective with which the gateway trusts the host.
func (h *host) transport(files hostFiles) string {
	if strings.HasPrefix(h.origin, "http:") {
		return ""
	}
	versions := "1.1 2"
	if strings.Contains(h.speaks, "h1") {
		versions = "1.1"
	}
	return "transport http {\ntls_trust_pool file " + files.cert + "\nversions " + versions + "\n}"
}

// seen returns how often the host saw each call.
func (h *host) seen(t *testing.T) map[string]int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, ForceAttemptHTTP2: true}} //nolint:gosec // a test's own
	res, err := client.Get(h.counts)                                                                                                                             //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	seen := make(map[string]int)
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		var method, id string
		var n int
		if _, err := fmt.Sscan(lines.Text(), &method, &id, &n); err == nil {
			seen[method+" "+id] = n
		}
	}
	return seen
}

// A hostResponse is the header of a response through the gateway.
type hostResponse struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// hostCall makes a call through the gateway.
func hostCall(t *testing.T, g *gateway, method, id string, body io.Reader, header ...string) (*hostResponse, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.url+"/v1/signdoc/pades?sign_id="+url.QueryEscape(id), body)
	if err != nil {
		return nil, nil, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true, ExpectContinueTimeout: time.Minute}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	return &hostResponse{res.StatusCode, res.Status, res.Header}, content, err
}

// callAll makes n calls of each method, with the given number at a time. Each must succeed
// and reach the host once.
func (h *host) callAll(t *testing.T, g *gateway, n, atATime int, methods ...string) {
	if methods == nil {
		methods = []string{"GET", "POST", "DELETE"}
	}
	ids := make(chan string)
	var wg sync.WaitGroup
	for range atATime {
		wg.Go(func() {
			for id := range ids {
				for _, method := range methods {
					var body io.Reader
					if method == "POST" {
						body = strings.NewReader(`{"a":1}`)
					}
					res, _, err := hostCall(t, g, method, id, body)
					if err != nil || res.StatusCode != http.StatusOK {
						t.Errorf("%s %s: %v %v", method, id, err, statusOf(res))
					}
				}
			}
		})
	}
	for i := range n {
		ids <- fmt.Sprintf("%d-of-%d-by-%d-%d", i, n, atATime, len(methods))
	}
	close(ids)
	wg.Wait()
	seen, times := h.seen(t), make(map[string]int)
	for i := range n {
		for _, method := range methods {
			times[fmt.Sprintf("%s, %d times", method, seen[method+" "+fmt.Sprintf("%d-of-%d-by-%d-%d", i, n, atATime, len(methods))])]++
		}
	}
	for _, method := range methods {
		if times[method+", 1 times"] != n {
			t.Errorf("so many calls came so often: %v", times)
			break
		}
	}
}

// statusOf describes a response for an error of the test.
func statusOf(res *hostResponse) string {
	if res == nil {
		return "no response"
	}
	return res.Status + " " + res.Header.Get("Proxy-Status")
}

func testEmptyBodies(t *testing.T, g *gateway, _ *host) {
	for _, method := range []string{"POST", "DELETE"} {
		res, _, err := hostCall(t, g, method, "empty", nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v %s", method, err, statusOf(res))
		}
		if coding := res.Header.Get("X-Transfer-Encoding"); coding != "" {
			t.Errorf("%s leaves in the transfer coding %s", method, coding)
		}
		if length := res.Header.Get("X-Content-Length"); length != "0" && (method == "POST" || length != "") {
			t.Errorf("%s leaves with the length %q", method, length)
		}
	}
}

func testExpectContinue(t *testing.T, g *gateway, _ *host) {
	res, _, err := hostCall(t, g, "POST", "expect", strings.NewReader(strings.Repeat("x", 100)), "Expect", "100-continue")
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("X-Length") != "100" {
		t.Errorf("%v %s, of %v bytes", err, statusOf(res), res)
	}
}

func testUpload(t *testing.T, g *gateway, _ *host) {
	document := bytes.Repeat([]byte("x"), hostDocument)
	for name, body := range map[string]io.Reader{"known": bytes.NewReader(document), "unknown": io.MultiReader(bytes.NewReader(document))} {
		res, _, err := hostCall(t, g, "POST", "up", body)
		if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("X-Length") != fmt.Sprint(hostDocument) {
			t.Errorf("of %s length: %v %s", name, err, statusOf(res))
		}
	}
}

func testDownload(t *testing.T, g *gateway, _ *host) {
	for _, method := range []string{"GET", "DELETE"} {
		res, body, err := hostCall(t, g, method, "down-"+method, nil)
		if err != nil || res.StatusCode != http.StatusOK || len(body) != hostDocument || bytes.Count(body, []byte("x")) != hostDocument {
			t.Errorf("%s: %v %s, %d bytes", method, err, statusOf(res), len(body))
		}
	}
}

// testEarlyResponses makes uploads that the host refuses before it has read them.
func testEarlyResponses(t *testing.T, g *gateway, h *host) {
	for _, status := range []int{http.StatusRequestEntityTooLarge, http.StatusUnauthorized} {
		res, _, err := hostCall(t, g, "POST", fmt.Sprintf("early%d", status), bytes.NewReader(make([]byte, hostDocument)))
		if h.resets && err == nil && strings.Contains(res.Header.Get("Proxy-Status"), "error=connection_terminated") {
			continue
		}
		if err != nil || res.StatusCode != status || res.Header.Get("Proxy-Status") != "" {
			t.Errorf("%v %s", err, statusOf(res))
		}
	}
}

func testCodedErrors(t *testing.T, g *gateway, _ *host) {
	for coding, decode := range map[string]func(io.Reader) (io.ReadCloser, error){
		"gzip":    func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) },
		"deflate": zlib.NewReader,
	} {
		res, body, err := hostCall(t, g, "POST", coding, strings.NewReader("{}"), "Accept-Encoding", "gzip, deflate")
		if err != nil || res.StatusCode != http.StatusBadRequest || res.Header.Get("Content-Encoding") != coding {
			t.Errorf("%s: %v %s in %v", coding, err, statusOf(res), res)
			continue
		}
		reader, err := decode(bytes.NewReader(body))
		if err != nil {
			t.Errorf("%s: %v", coding, err)
			continue
		}
		if text, err := io.ReadAll(reader); err != nil || string(text) != `{"error":"invalid_request"}` {
			t.Errorf("%s: %v %s", coding, err, text)
		}
	}
}

// testIdle makes the host close the gateway's connections. The gateway finds that out with
// a GET, and later calls succeed.
func testIdle(t *testing.T, g *gateway, h *host) {
	h.idle(t)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		if res, _, err := hostCall(t, g, method, "idle", nil); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s: %v %s", method, err, statusOf(res))
		}
	}
	seen := h.seen(t)
	for _, method := range []string{"POST", "DELETE"} {
		if n := seen[method+" idle"]; n != 1 {
			t.Errorf("%s came %d times", method, n)
		}
	}
}
