package itest

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

var callersWrite = flag.Bool("callers.write", false, "whether TestCallers writes its table to ../docs/callers.md")

// These are the target of the calls, and the sizes of the orders.
const (
	ordersPath   = "/v1/signdoc/pades"
	uploadSize   = 20 << 20
	refusedSize  = 30 << 20
	tokenOutage  = 3 * time.Second
	callersTable = "../docs/callers.md"
	callersMark  = "<!-- What follows is written by TestCallers. -->"
)

// A callerCase is a kind of call. It has a site of its own.
type callerCase struct {
	name   string
	path   string
	site   string // directives
	status int
	denied string // the error of Proxy-Status
}

// callerCases are the refused uploads.
var callerCases = []callerCase{
	{"403", ordersPath, "bankid_esign signdoc {\nupstream signdoc API\n}", 403, "http_request_denied"},
	{"404", "/v1/signdoc/nowhere", "bankid_esign signdoc {\ncallers local\nupstream signdoc API\n}", 404, "http_request_denied"},
	{"413", ordersPath, "request_body {\nmax_size 1MB\n}\nbankid_esign signdoc {\ncallers local\nupstream signdoc API\n}", 413, "http_request_error"},
	{"503", ordersPath, "bankid_esign signdoc {\ncallers local\nclient absent\nupstream signdoc API\n}", 503, "destination_unavailable"},
	{"401 of the API", ordersPath, "bankid_esign signdoc {\ncallers local\nclient rejected\nupstream signdoc API\n}", 401, ""},
}

// These are the other two cases.
var (
	ordinaryCase = callerCase{"order", ordersPath, "bankid_esign signdoc {\ncallers local\nupstream signdoc API\n}", 201, ""}
	waitingCase  = callerCase{"waiting", ordersPath, "bankid_esign signdoc {\ncallers local\nclient slow\nupstream signdoc API\n}", 201, ""}
)

// A callerWay is a caller by one version of HTTP: a row of the table.
type callerWay struct {
	caller
	over, scheme, version string
	seen                  []string // a word for each case
}

// callerWays returns the rows, without what the callers see.
func callerWays(callers []caller) []*callerWay {
	var ways []*callerWay
	for _, c := range callers {
		byDefault := c.versions[len(c.versions)-1]
		ways = append(ways, &callerWay{caller: c, over: "HTTP/1.1", scheme: "http", version: byDefault})
		for _, version := range c.versions {
			over := map[string]string{"1": "HTTP/1.1, TLS", "2": "HTTP/2, TLS"}[version]
			ways = append(ways, &callerWay{caller: c, over: over, scheme: "https", version: version})
		}
	}
	return ways
}

// TestCallers runs the callers of ../docs/callers.md. They create orders, send large orders
// while the gateway has no token, and send orders that are refused. The results are the
// table of that page, which this command writes:
//
//	go test -run TestCallers -callers.write .
func TestCallers(t *testing.T) {
	sandboxed := startCallersSandbox(t)
	origins, ca, config := startCallersGateway(t, sandboxed.url)
	ways := callerWays(startCallers(t, ca, config))
	small, upload, refused := orderFile(t, 1000), orderFile(t, uploadSize), orderFile(t, refusedSize)

	// All callers run at the same time.
	each := func(c callerCase, check func(*callerWay, callerCall) string) {
		began := time.Now()
		var calls sync.WaitGroup
		for _, way := range ways {
			calls.Go(func() {
				call := callerCall{version: way.version, url: origins[c.name+" "+way.scheme] + c.path}
				way.seen = append(way.seen, check(way, call))
			})
		}
		calls.Wait()
		t.Logf("%s: %v", c.name, time.Since(began))
	}
	each(ordinaryCase, func(way *callerWay, c callerCall) string { return way.order(t, c, small) })
	time.AfterFunc(tokenOutage, func() { close(sandboxed.recovered) })
	each(waitingCase, func(way *callerWay, c callerCall) string { return way.send(t, waitingCase, c, upload) })
	for _, refusal := range callerCases {
		each(refusal, func(way *callerWay, c callerCall) string { return way.send(t, refusal, c, refused) })
	}
	compareTable(t, callersTable, callersRows(ways))
}

// order creates an order, asks for its status and downloads the document.
func (way *callerWay) order(t *testing.T, c callerCall, order string) string {
	c.method, c.body = "POST", order
	created := way.call(c)
	var sign struct {
		ID string `json:"sign_id"`
	}
	if err := json.Unmarshal(created.body, &sign); created.status != http.StatusCreated || err != nil {
		t.Errorf("%s, %s: POST: %d %q", way.name, way.over, created.status, created.body)
		return "no"
	}
	c.method, c.url, c.body = "GET", c.url+"?sign_id="+url.QueryEscape(sign.ID), ""
	for state := ""; !strings.Contains(state, "SIGN_COMPLETED"); {
		polled := way.call(c)
		if state = string(polled.body); polled.status != http.StatusOK {
			t.Errorf("%s, %s: GET: %d %q", way.name, way.over, polled.status, state)
			return "no"
		}
	}
	c.method = "DELETE"
	if collected := way.call(c); collected.status != http.StatusOK || !strings.Contains(string(collected.body), "padesSignedPdf") {
		t.Errorf("%s, %s: DELETE: %d %.100q", way.name, way.over, collected.status, collected.body)
		return "no"
	}
	return "yes"
}

// send sends an order to the site of a case, and returns whether the caller sees the
// response.
func (way *callerWay) send(t *testing.T, want callerCase, c callerCall, order string) string {
	c.method, c.body = "POST", order
	response := way.call(c)
	denied := ""
	if _, after, ok := strings.Cut(response.proxyStatus, "error="); ok {
		denied, _, _ = strings.Cut(after, ";")
	}
	if response.status != want.status || denied != want.denied {
		t.Errorf("%s: %s, %s: %d, Proxy-Status: %s, %.300q", want.name, way.name, way.over, response.status, response.proxyStatus, response.body)
		return "no"
	}
	return "yes"
}

// callersRows returns the table.
func callersRows(ways []*callerWay) string {
	head := []string{"caller", "over", "order, poll, collect", "20 MiB, no token for 3 s"}
	for _, c := range callerCases {
		head = append(head, c.name)
	}
	var table strings.Builder
	row := func(cells ...string) { table.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	row(head...)
	row(slices.Repeat([]string{"---"}, len(head))...)
	for _, way := range ways {
		row(append([]string{way.name, way.over}, way.seen...)...)
	}
	return table.String()
}

// compareTable compares the table of a page with the results, or writes it.
func compareTable(t *testing.T, file, table string) {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(page), callersMark)
	switch {
	case !found:
		t.Errorf("%s has no line %q", file, callersMark)
	case strings.TrimSpace(after) == strings.TrimSpace(table):
	case *callersWrite:
		if err := os.WriteFile(file, []byte(before+callersMark+"\n\n"+table), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has another table than\n%s", file, table)
	}
}

// orderFile writes an order of the given size, in bytes.
func orderFile(t *testing.T, size int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "order.json")
	if err := os.WriteFile(file, newOrder(t, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// newOrder makes an order of the given size, in bytes.
func newOrder(t *testing.T, size int) []byte {
	t.Helper()
	pdf := pdftest.Plain(strings.Repeat("0123456789abcdef", size*3/4/16))
	order, err := json.Marshal(map[string]any{
		"signProperties":      map[string]any{"orderName": "Loan", "timeoutSeconds": 1800, "redirectUrl": "https://rp.example/back"},
		"padesSignProperties": map[string]any{"addVisualSeals": true, "extendToLTA": false, "useConversion": false},
		"documents":           []map[string]any{{"description": "Agreement", "pdf": pdf}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return order
}

// A callersSandbox is a sandbox with special clients. The client absent never gets a token,
// and the client slow gets a token when recovered is closed. Calls of the client rejected get
// 401, before their body is read.
type callersSandbox struct {
	*sandbox.Server
	url       string
	order     []byte // read by the sandbox instead of a large order, whose length is checked
	recovered chan struct{}
}

func startCallersSandbox(t *testing.T) *callersSandbox {
	t.Helper()
	const realm = "/auth/realms/sandbox"
	server := httptest.NewUnstartedServer(nil)
	s := &callersSandbox{url: "http://" + server.Listener.Addr().String(), order: newOrder(t, 1000), recovered: make(chan struct{})}
	var err error
	s.Server, err = sandbox.New(sandbox.Options{
		Issuer: s.url + realm, SigningDelay: 10 * time.Millisecond,
		Clients: []sandbox.Client{{ID: "slow", Secret: "s"}, {ID: "absent", Secret: "s"}, {ID: "rejected", Secret: "s"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range []sandbox.Fault{
		{Effect: sandbox.Status, ClientID: "absent", Path: realm + "/protocol/openid-connect/token", Status: 503},
		{Effect: sandbox.Status, ClientID: "rejected", Path: ordersPath, Status: 401},
	} {
		if err := s.Inject(fault); err != nil {
			t.Fatal(err)
		}
	}
	server.Config.Handler = s
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections() // token requests may wait for recovered
		server.Close()
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *callersSandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if id, _, _ := r.BasicAuth(); id == "slow" {
		select {
		case <-s.recovered:
		case <-r.Context().Done():
			return
		}
	}
	if r.ContentLength > uploadSize/2 {
		// With the race detector, the sandbox takes long to read a large order.
		r.Body = &wholeBody{ReadCloser: r.Body, left: r.ContentLength, instead: bytes.NewReader(s.order)}
		r.ContentLength = int64(len(s.order))
	}
	s.Server.ServeHTTP(w, r)
}

// wholeBody is another body, if the first has its whole length.
type wholeBody struct {
	io.ReadCloser
	left    int64 // in bytes
	instead io.Reader
}

// Read implements io.Reader.
func (b *wholeBody) Read(p []byte) (int, error) {
	if b.left > 0 {
		n, err := io.Copy(io.Discard, b.ReadCloser)
		if b.left -= n; b.left != 0 {
			return 0, fmt.Errorf("%d bytes are missing: %w", b.left, cmp.Or(err, io.ErrUnexpectedEOF))
		}
	}
	return b.instead.Read(p)
}

// startCallersGateway runs Caddy with a site for each case and scheme. It returns their
// origins, by case and scheme, and the file of their certificate authority. On a busy machine,
// callers start late, so the outage may last longer than a token request by default.
func startCallersGateway(t *testing.T, bank string) (origins map[string]string, ca string, config *tls.Config) {
	t.Helper()
	cert, pool := callersCertificate(t)
	origins = make(map[string]string)
	var sites strings.Builder
	for _, c := range append([]callerCase{ordinaryCase, waitingCase}, callerCases...) {
		for _, scheme := range []string{"http", "https"} {
			addr := ports.Address(t)
			origins[c.name+" "+scheme] = scheme + "://" + addr
			fmt.Fprintf(&sites, "%s://%s {\nbind 127.0.0.1\n", scheme, addr)
			if scheme == "https" {
				fmt.Fprintf(&sites, "tls %s %s\n", cert, cert)
			}
			sites.WriteString(strings.ReplaceAll(c.site, "API", bank) + "\n}\n")
		}
	}
	var clients strings.Builder
	for _, id := range []string{"slow", "absent", "rejected"} {
		fmt.Fprintf(&clients, "client %s {\nclient_id %s\nclient_secret s\n}\n", id, id)
	}
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(fmt.Appendf(nil, `{
	admin off
	persist_config off
	auto_https off
	log {
		level ERROR
	}
	bankid_esign {
		issuer %s/auth/realms/sandbox
		client_id %s
		client_secret %q
		timeout 1m
		%s
	}
}
%s`, bank, sandbox.ClientID, sandbox.ClientSecret, &clients, &sites), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(raw); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return origins, cert, &tls.Config{RootCAs: pool}
}

// callersCertificate writes a self-signed certificate for loopback and its key to files.
func callersCertificate(t *testing.T) (file string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	file = filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(leaf)
	return file, pool
}
