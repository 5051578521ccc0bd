package itest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// documentSize is the size of the documents in bytes. BankID's limit is 40 Mi characters, in
// base64.
const documentSize = 30 << 20

// document returns the document, from its beginning.
func document() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), documentSize) }

// documentSum is the digest of the document.
var documentSum = sync.OnceValue(func() (sum [sha256.Size]byte) {
	hash := sha256.New()
	_, _ = io.Copy(hash, document())
	return [sha256.Size]byte(hash.Sum(nil))
})

// A toxicNet is a gateway with a proxy for toxics between itself and its issuer, and another
// between itself and the API.
type toxicNet struct {
	*gateway
	issuer    *tokenauthtest.Server
	issuerWay *way
	api       *toxicAPI
	apiWay    *way
	transport *http.Transport // of the caller
	calls     atomic.Int64    // made so far
}

// newToxicNet starts all parts except the gateway.
func newToxicNet(t *testing.T) *toxicNet {
	t.Helper()
	n := &toxicNet{
		issuer: tokenauthtest.NewHTTPServer(), api: newToxicAPI(t),
		transport: &http.Transport{DisableCompression: true},
	}
	t.Cleanup(n.issuer.Close)
	t.Cleanup(n.transport.CloseIdleConnections)
	n.issuerWay = newWay(t, n.issuer.Address())
	n.apiWay = newWay(t, n.api.Listener.Addr().String())
	n.issuer.MoveTo("http://" + n.issuerWay.Listen)
	return n
}

// start starts the gateway. It adds app to the body of the global option, and proxy to the
// body of each directive.
func (n *toxicNet) start(t *testing.T, app, proxy string) {
	t.Helper()
	proxy = fmt.Sprintf(`
			callers local
			upstream %%s http://%s
			lb_retries 2
			%s`, n.apiWay.Listen, proxy)
	n.gateway = startGateway(t, fmt.Sprintf(`
		issuer %s
		client_id app
		client_secret secret
		client seal {
			client_id seal
			client_secret secret
		}
		%s`, n.issuer.Issuer(), app), fmt.Sprintf(`
	handle /v0/b2b/* {
		bankid_esign b2b {
			client seal`+proxy+`
		}
	}
	handle {
		bankid_esign signdoc {`+proxy+`
		}
	}`, "b2b", "signdoc"))
}

// A way is a toxiproxy with its present toxics.
type way struct{ *toxiproxy.Proxy }

// newWay starts a proxy to address.
func newWay(t *testing.T, address string) *way {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics have no other logger
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", address)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return &way{proxy}
}

// A toxic is a fault of a way, in the form for toxiproxy.
type toxic struct {
	kind       string
	stream     string // upstream for requests, downstream for responses
	attributes string
}

// String returns a name for a test.
func (x toxic) String() string { return x.kind + " " + x.stream }

// add adds x.
func (w *way) add(t *testing.T, x toxic) {
	t.Helper()
	_, err := w.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":{%s}}`, x.kind, x.stream, x.attributes)))
	if err != nil {
		t.Fatal(err)
	}
}

// heal removes all toxics.
func (w *way) heal(t *testing.T) {
	t.Helper()
	w.Toxics.ResetToxics(t.Context())
}

// pump copies src to dst, and calls progress with the number of copied bytes.
func pump(dst io.Writer, src io.Reader, progress func(int64)) error {
	buf := make([]byte, 64<<10)
	for total := int64(0); ; {
		n, err := src.Read(buf)
		if _, writeErr := dst.Write(buf[:n]); writeErr != nil {
			return writeErr
		}
		if total += int64(n); n > 0 {
			progress(total)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// A call is the request of a caller.
type call struct {
	method, path string
	body         io.Reader // nil for none
	length       int64     // of the body, -1 if it is not announced
	progress     func(read int64)
}

// An outcome is the response that a caller got.
type outcome struct {
	status int // 0 if there was no response
	header http.Header
	size   int64
	sum    [sha256.Size]byte
	broken error // of the transfer
}

// make makes a call, and returns its outcome and its target, which is unique.
func (n *toxicNet) make(t *testing.T, c call) (outcome, string) {
	t.Helper()
	target := fmt.Sprintf("%s%scall=%d", c.path, map[bool]string{true: "&", false: "?"}[strings.Contains(c.path, "?")], n.calls.Add(1))
	req, err := http.NewRequestWithContext(t.Context(), c.method, n.url+target, c.body)
	if err != nil {
		t.Fatal(err)
	}
	if c.body != nil {
		req.ContentLength = c.length
	}
	target = c.method + " " + target
	res, err := n.transport.RoundTrip(req)
	if err != nil {
		return outcome{broken: err}, target
	}
	defer res.Body.Close()
	hash := sha256.New()
	out := outcome{status: res.StatusCode, header: res.Header}
	out.broken = pump(hash, res.Body, func(n int64) {
		out.size = n
		if c.progress != nil {
			c.progress(n)
		}
	})
	out.sum = [sha256.Size]byte(hash.Sum(nil))
	return out, target
}

// wantDone fails the test unless the response is "done".
func wantDone(t *testing.T, out outcome) {
	t.Helper()
	if out.status != http.StatusOK || out.broken != nil || out.sum != sha256.Sum256([]byte("done")) {
		t.Errorf("status %d, %d bytes, %v (Proxy-Status: %s), want it done", out.status, out.size, out.broken, out.header.Get("Proxy-Status"))
	}
}

// wantError fails the test unless a call failed with status and a Proxy-Status.
func wantError(t *testing.T, out outcome, status int, kind string) {
	t.Helper()
	if got := out.header.Get("Proxy-Status"); out.status != status || out.broken != nil || !strings.HasPrefix(got, "bankid_esign;error="+kind) {
		t.Errorf("status %d, Proxy-Status %q, %v, want %d with error %s", out.status, got, out.broken, status, kind)
	}
}

// wantOnce fails the test if the API saw the target more than once, or, for a call that
// changes nothing, more often than allowed, or without a token.
func (n *toxicNet) wantOnce(t *testing.T, target string) {
	t.Helper()
	limit := 1
	if strings.HasPrefix(target, "GET ") {
		limit = 6 // lb_retries, and one retry each by net/http on an open connection
	}
	seen := n.api.seen(target)
	if len(seen) > limit {
		t.Errorf("the API saw %q %d times, want %d at most", target, len(seen), limit)
	}
	for _, call := range seen {
		if !strings.HasPrefix(call.authorization, "Bearer token-") && (!strings.HasPrefix(call.authorization, "DPoP token-") || call.proof == "") {
			t.Errorf("the API saw %q without a token", target)
		}
	}
}

// wantHealed fails the test unless calls succeed again after the faults are removed.
func (n *toxicNet) wantHealed(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/v1/signdoc/pades", "/v0/b2b/ades/pades"} { // each has a token
		eventually(t, func() bool {
			out, _ := n.make(t, call{method: http.MethodPost, path: path})
			return out.status == http.StatusOK && out.broken == nil
		})
	}
	for _, c := range smallCalls() {
		out, target := n.make(t, c)
		wantDone(t, out)
		if seen := len(n.api.seen(target)); seen != 1 {
			t.Errorf("the API saw %q %d times, want once", target, seen)
		}
	}
}

// smallCalls has one call of each kind.
func smallCalls() []call {
	return []call{
		{method: http.MethodGet, path: "/v1/signdoc/pades"},
		{method: http.MethodPost, path: "/v1/signdoc/pades", body: strings.NewReader("{}"), length: 2},
		{method: http.MethodPost, path: "/v1/signdoc/convert"},
		{method: http.MethodDelete, path: "/v1/signdoc/pades"},
		{method: http.MethodPost, path: "/v0/b2b/ades/pades", body: strings.NewReader("{}"), length: 2},
	}
}
