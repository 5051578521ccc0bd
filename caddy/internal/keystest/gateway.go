package keystest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	_ "github.com/esigngateway/caddy-bankid-esign/caddy" // plugs in the gateway
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// A Gateway makes seals at a sandbox.
type Gateway struct {
	t                    *testing.T
	module, secret       string
	address, log, issuer string
	caller               http.Client
}

// NewGateway returns a gateway whose keys module holds. It does not run yet. keys are those
// that are registered at the bank, and secret is what no log may show.
func NewGateway(t *testing.T, module, secret string, keys jose.JSONWebKeySet) *Gateway {
	t.Helper()
	t.Cleanup(func() { _ = caddy.Stop() })
	return &Gateway{
		t: t, module: module, secret: secret,
		address: ports.Address(t), log: filepath.Join(t.TempDir(), "log"), issuer: bank(t, keys),
		caller: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, // a reload closes connections
	}
}

// bank starts the sandbox, with a client that has the given keys. It returns its URL.
func bank(t *testing.T, keys jose.JSONWebKeySet) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	handler, err := sandbox.New(sandbox.Options{
		Issuer:  "http://" + server.Listener.Addr().String() + "/auth/realms/sandbox",
		Clients: []sandbox.Client{{ID: "seal-client", DPoPRequired: true, Keys: keys}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// block returns options of the module, and their values, as a block of a Caddyfile.
func (g *Gateway) block(options []string) string {
	lines := []string{g.module + " {"}
	for option := range slices.Chunk(options, 2) {
		lines = append(lines, strings.Join(option, " "))
	}
	return strings.Join(append(lines, "}"), "\n")
}

// Config returns a configuration with these options of the keys.
func (g *Gateway) Config(private, dpop []string) string {
	return fmt.Sprintf(`{
	admin off
	persist_config off
	log {
		output file %s
		level DEBUG
	}
	bankid_esign {
		issuer %s/auth/realms/sandbox
		client seal {
			client_id seal-client
			private_key %s
			dpop_key %s
		}
	}
}
http://%s {
	bankid_esign b2b {
		callers local
		client seal
		upstream b2b %s
	}
}
`, g.log, g.issuer, g.block(private), g.block(dpop), g.address, g.issuer)
}

// Load loads a configuration, also if it is the one that runs.
func (g *Gateway) Load(config string) {
	g.t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if bytes.Contains(adapted, []byte(g.secret)) {
		g.t.Error("the adapted configuration shows the secret")
	}
	if err := caddy.Load(adapted, true); err != nil {
		g.t.Fatal(err)
	}
}

// Seal makes a seal, and asserts the status of the response.
func (g *Gateway) Seal(status int) {
	g.t.Helper()
	digest := sha256.Sum256([]byte("document"))
	var res *http.Response
	var err error
	for range 500 {
		// After a reload, Caddy closes the listener of the old configuration a little
		// later, with the connections that wait there or have just been accepted.
		res, err = g.caller.Post("http://"+g.address+"/v0/b2b/cmses_from_hashes", "application/json",
			strings.NewReader(`["`+base64.StdEncoding.EncodeToString(digest[:])+`"]`))
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != status {
		g.t.Errorf("status %d, want %d: %s (%v)", res.StatusCode, status, body, err)
	}
}

// Logged returns how often the log has text.
func (g *Gateway) Logged(text string) int {
	g.t.Helper()
	log, err := os.ReadFile(g.log)
	if err != nil {
		g.t.Fatal(err)
	}
	if bytes.Contains(log, []byte(g.secret)) {
		g.t.Error("the log shows the secret")
	}
	return bytes.Count(log, []byte(text))
}
