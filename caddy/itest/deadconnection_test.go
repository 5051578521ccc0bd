package itest

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A firewall forwards connections until it forgets those that it has. Then it
// drops what comes on them, and says nothing.
type firewall struct {
	net.Listener
	target      string
	connections atomic.Int64
	forgotten   atomic.Int64 // connections up to this one
	wg          sync.WaitGroup
}

// newFirewall starts a firewall before target.
func newFirewall(t *testing.T, target string) *firewall {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &firewall{Listener: ln, target: target}
	var open sync.Map
	t.Cleanup(func() {
		ln.Close()
		open.Range(func(conn, _ any) bool {
			conn.(net.Conn).Close()
			return true
		})
		f.wg.Wait()
	})
	f.wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			open.Store(near, nil)
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			open.Store(far, nil)
			n := f.connections.Add(1)
			f.wg.Go(func() { f.forward(n, far, near) })
			f.wg.Go(func() { f.forward(n, near, far) })
		}
	})
	return f
}

// forward copies the bytes of the nth connection in one direction.
func (f *firewall) forward(n int64, to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		read, err := from.Read(buf)
		if err != nil {
			return
		}
		if n <= f.forgotten.Load() {
			continue
		}
		if _, err := to.Write(buf[:read]); err != nil {
			return
		}
	}
}

// forget forgets all connections that there are.
func (f *firewall) forget() { f.forgotten.Store(f.connections.Load()) }

// A connection of HTTP/2 to the API that died without a word costs the calls that are
// under way, and no more: within seconds, another one takes its place.
func TestDeadConnectionToTheAPI(t *testing.T) {
	issuer := tokenauthtest.NewHTTPServer()
	t.Cleanup(issuer.Close)
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	api.EnableHTTP2 = true
	api.StartTLS()
	t.Cleanup(api.Close)
	wall := newFirewall(t, api.Listener.Addr().String())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, fmt.Sprintf(`
		issuer %s
		client_id app
		client_secret secret`, issuer.Issuer()), fmt.Sprintf(`
	bankid_esign signdoc {
		callers local
		upstream signdoc https://%s
		transport http {
			tls_trust_pool file %s
		}
	}`, wall.Addr(), ca))
	call := func(method string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, g.url+"/v1/signdoc/pades?sign_id=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body) + res.Header.Get("Proxy-Status")
	}
	if status, body := call(http.MethodPost); status != 200 || body != "HTTP/2.0" {
		t.Fatalf("%d %s", status, body)
	}
	wall.forget()
	start := time.Now()
	status, body := call(http.MethodPost)
	t.Logf("the call under way: %d %s after %s", status, body, time.Since(start))
	if status != 502 || !strings.Contains(body, "error=connection_terminated") {
		t.Errorf("the call under way: %d %s, want 502 connection_terminated", status, body)
	}
	if status, body := call(http.MethodPost); status != 200 {
		t.Errorf("the next call: %d %s, want 200", status, body)
	}
	if n := wall.connections.Load(); n != 2 {
		t.Errorf("there were %d connections, want 2", n)
	}
}

// A connection to the issuer that died without a word is closed. Later attempts do not
// use it again.
func TestF40DeadConnectionToTheIssuer(t *testing.T) {
	issuer := tokenauthtest.NewTLSServer()
	t.Cleanup(issuer.Close)
	wall := newFirewall(t, issuer.Address())
	issuer.MoveTo("https://" + wall.Addr().String())
	issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, "once", 0) })
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, fmt.Sprintf(`
		issuer %s
		client_id app
		client_secret secret
		timeout 1s
		tls {
			trust_pool file %s
		}`, issuer.Issuer(), ca), `
	bankid_esign signdoc {
		callers local
		upstream signdoc `+api.URL+`
	}`)
	call := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/v1/signdoc/pades?sign_id=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		status, _, _ := do(t, req)
		return status
	}
	if status := call(); status != 200 {
		t.Fatalf("the first call: %d, want 200", status)
	}
	wall.forget()
	if status := call(); status != 504 {
		t.Errorf("a call while the connection is dead: %d, want 504", status)
	}
	eventually(t, func() bool { return call() == 200 })
}
