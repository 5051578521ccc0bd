package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A bank is an OpenID provider and an API that accepts its tokens, over TLS.
type bank struct {
	url  string
	cert []byte // DER, self-signed

	mu       sync.Mutex
	life     time.Duration
	delay    time.Duration        // of the response to a token request
	requests []string             // the addresses that token requests came from
	live     map[string]time.Time // when a token expires
	newest   string               // token
	users    map[string]string    // the token that an address used last
	changes  map[string]int       // how often an address changed its token
	expired  int                  // calls with an expired token
	hold     chan struct{}        // token requests wait for it, if not nil
}

// newBank starts a bank at an address.
func newBank(t *testing.T, host string) *bank {
	t.Helper()
	b := &bank{life: 10 * time.Second, live: make(map[string]time.Time), users: make(map[string]string), changes: make(map[string]int)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bank"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(host)},
		IsCA:        true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if b.cert, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realm/.well-known/openid-configuration", b.discovery)
	mux.HandleFunc("POST /realm/token", b.token)
	mux.HandleFunc("GET /v1/signdoc/convert/pdf/specs", b.api)
	server := httptest.NewUnstartedServer(mux)
	_ = server.Listener.Close()
	if server.Listener, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{b.cert}, PrivateKey: key}}}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	b.url = server.URL
	return b
}

// issuer is the bank's issuer identifier.
func (b *bank) issuer() string { return b.url + "/realm" }

// ca is the certificate to trust.
func (b *bank) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.cert})
}

func (b *bank) discovery(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"issuer": b.issuer(), "token_endpoint": b.issuer() + "/token",
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
	})
}

func (b *bank) token(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	b.requests = append(b.requests, host)
	hold, delay := b.hold, b.delay
	b.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	if delay > 0 {
		<-time.After(delay)
	}
	token := rand.Text()
	b.mu.Lock()
	life := b.life
	b.live[token], b.newest = time.Now().Add(life), token
	b.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, int(life.Seconds()))
}

func (b *bank) api(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if b.users[host] != token {
		b.users[host] = token
		b.changes[host]++
	}
	if time.Now().After(b.live[token]) {
		b.expired++
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// holdTokens makes token requests wait until the returned function is called.
func (b *bank) holdTokens() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	hold := make(chan struct{})
	b.hold = hold
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.hold = nil
		close(hold)
	})
}

// asked returns the addresses that token requests came from since the last time.
func (b *bank) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests := b.requests
	b.requests = nil
	return requests
}

// waiting returns the addresses that token requests came from.
func (b *bank) waiting() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests
}

// useNewest reports whether all of the gateways at these addresses used the newest token last.
func (b *bank) useNewest(addresses ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !slices.ContainsFunc(addresses, func(address string) bool { return b.users[address] != b.newest })
}

// setLife sets the lifetime of tokens.
func (b *bank) setLife(life time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.life = life
}

// rejected returns the number of calls with an expired token.
func (b *bank) rejected() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.expired
}

// changed returns how often a gateway has changed its token.
func (b *bank) changed(address string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changes[address]
}

// setDelay sets the time of a token request.
func (b *bank) setDelay(delay time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = delay
}
