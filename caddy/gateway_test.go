package caddyesign_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/esigngateway/caddy-bankid-esign/caddy"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/longway"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// clientSecret contains every character that must be form-encoded in HTTP Basic.
const clientSecret = "s3cr3t+ with/:%& planted"

// A fixture is a gateway in a real Caddy in this process, between a scripted issuer and
// an upstream that records its requests.
type fixture struct {
	t        *testing.T
	issuer   *tokenauthtest.Server
	upstream *upstream
	url      string // of the gateway
	site     string // the address of the site
	addr     string // the host and port of the gateway
	dir      string // for files
	log      string // the log file, with everything at debug level
	secret   string // the file that holds the client secret
	global   string // further global options
	app      string // further subdirectives of the app
}

// newFixture starts the issuer and the upstream.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{
		t: t, issuer: tokenauthtest.NewHTTPServer(), upstream: newUpstream(t),
		addr: ports.Address(t), dir: dir,
		log: filepath.Join(dir, "log.json"), secret: filepath.Join(dir, "secret"),
	}
	t.Cleanup(f.issuer.Close)
	f.url = "http://" + f.addr
	f.site = "http://:" + strings.TrimPrefix(f.addr, "127.0.0.1:")
	f.writeSecret(clientSecret)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return f
}

// in makes the fixture report to the subtest t.
func (f *fixture) in(t *testing.T) {
	outer := f.t
	f.t = t
	t.Cleanup(func() { f.t = outer })
}

// writeSecret writes the secret to its file.
func (f *fixture) writeSecret(secret string) {
	f.t.Helper()
	if err := os.WriteFile(f.secret, []byte(secret+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// caddyfile returns a configuration whose site has the given directives. In them,
// UPSTREAM is replaced by the subdirectives that name the upstream.
func (f *fixture) caddyfile(site string) string {
	upstreams := ""
	for _, api := range []string{"signdoc", "csc", "timestamp"} {
		upstreams += fmt.Sprintf("upstream %s %s\n", api, f.upstream.URL)
	}
	return fmt.Sprintf(`{
		admin off
		persist_config off
		log {
			output file %s
			level DEBUG
		}
		servers {
			log_credentials
		}
		%s
		bankid_esign {
			issuer %s
			client_id test-client
			client_secret {file.%s}
			%s
		}
	}
	%s {
		bind 127.0.0.1
		log
		%s
	}`, f.log, f.global, f.issuer.Issuer(), f.secret, f.app, f.site, strings.ReplaceAll(site, "UPSTREAM", upstreams))
}

// adapt returns the JSON of a Caddyfile.
func adapt(t *testing.T, caddyfile string) []byte {
	t.Helper()
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatalf("adapting: %v", err)
	}
	if !*longWay {
		return cfg
	}
	if cfg, err = longway.TakeJSON(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// longWay has every gateway of the tests send its calls through Caddy's reverse_proxy:
//
//	go test -race . -args -long
var longWay = flag.Bool("long", false, "send all calls through Caddy's reverse_proxy")

// start loads a configuration whose site has the given directives.
func (f *fixture) start(site string) *fixture {
	f.t.Helper()
	f.load(adapt(f.t, f.caddyfile(site)))
	return f
}

// load loads the JSON of a configuration. It waits until the one before listens no more at
// the fixture's address: Caddy only begins to close its listeners, and until then the
// kernel gives connections to both, of which the old one closes its own without a response.
func (f *fixture) load(config []byte) {
	f.t.Helper()
	if err := caddy.Load(config, true); err != nil {
		f.t.Fatalf("loading: %v", err)
	}
	eventually(f.t, func() bool { return listeners(f.addr) <= 1 })
}

// listeners returns how many sockets listen at addr of 127.0.0.1, if this is Linux: Caddy
// itself counts a listener no longer a moment before it closes it.
func listeners(addr string) int {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	sockets, _ := os.ReadFile("/proc/net/tcp")
	return strings.Count(string(sockets), fmt.Sprintf(": 0100007F:%04X 00000000:0000 0A ", n))
}

// localSite is a site that admits the test itself.
const localSite = `bankid_esign signdoc csc timestamp {
	callers local
	UPSTREAM
}`

// do sends a request to the gateway.
func (f *fixture) do(method, path, body string, header ...string) *response {
	f.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, reader)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return roundTrip(f.t, req)
}

// roundTrip sends a request without following redirects or decompressing.
func roundTrip(t *testing.T, req *http.Request) *response {
	t.Helper()
	res, err := send(&http.Transport{DisableCompression: true, DisableKeepAlives: true}, req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &response{t, res, body}
}

// send sends a request. After a reload, the kernel may have given the connection to the
// listener of the old configuration, which closes it. Then send retries the request.
func send(transport *http.Transport, req *http.Request) (*http.Response, error) {
	res, err := transport.RoundTrip(req)
	for range 5 {
		if err == nil || (req.Body != nil && req.GetBody == nil) || (!errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET)) {
			break
		}
		if req.GetBody != nil {
			req.Body, _ = req.GetBody()
		}
		res, err = transport.RoundTrip(req)
	}
	return res, err
}

// A response is an http.Response whose body has been read.
type response struct {
	t *testing.T
	*http.Response
	body []byte
}

// is asserts the status.
func (a *response) is(status int) *response {
	a.t.Helper()
	if a.StatusCode != status {
		a.t.Errorf("status is %d, want %d; Proxy-Status: %s; body: %.200s",
			a.StatusCode, status, a.Header.Get("Proxy-Status"), a.body)
	}
	return a
}

// byGateway asserts that the gateway itself responded, with the given proxy error type.
func (a *response) byGateway(kind string) *response {
	a.t.Helper()
	if got := a.Header.Get("Proxy-Status"); !strings.Contains(got, ";error="+kind) {
		a.t.Errorf("Proxy-Status is %q, want error %s", got, kind)
	}
	return a
}

// logged returns everything that was logged so far.
func (f *fixture) logged() string {
	f.t.Helper()
	log, err := os.ReadFile(f.log)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(log)
}

// An upstream is an API host that records the requests that it sees.
type upstream struct {
	*httptest.Server
	mu      sync.Mutex
	calls   []*call
	handler http.HandlerFunc
}

// A call is a request that an upstream saw.
type call struct {
	*http.Request
	body    []byte
	trailer http.Header
}

// newUpstream starts an upstream that responds with 200 and "upstream".
func newUpstream(t *testing.T) *upstream {
	u := new(upstream)
	u.Server = httptest.NewServer(u)
	t.Cleanup(func() {
		u.CloseClientConnections()
		u.Close()
	})
	return u
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	u.mu.Lock()
	u.calls = append(u.calls, &call{r, body, r.Trailer.Clone()})
	handler := u.handler
	u.mu.Unlock()
	if handler == nil {
		_, _ = io.WriteString(w, "upstream")
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	handler(w, r)
}

// handle makes h respond to the upstream's requests.
func (u *upstream) handle(h http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handler = h
}

// seen returns the requests since the last call of seen.
func (u *upstream) seen() []*call {
	u.mu.Lock()
	defer u.mu.Unlock()
	calls := u.calls
	u.calls = nil
	return calls
}

// waits marks a test that waits for seconds. It is left out with -short.
func waits(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
}

// eventually waits until done returns true.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not come to pass")
		}
	}
}
