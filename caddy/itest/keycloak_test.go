package itest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// This is the client in keycloak/realm-current.json. Its secret has many characters that form
// encoding changes (RFC 6749 section 2.3.1): without encoding, Keycloak refuses it.
const (
	clientID     = "esign-gateway"
	clientSecret = "s3 cr+et/with:odd%chars&more"
)

// These clients there have a key instead of a secret.
const (
	keyClientID = "esign-gateway-key"
	b2bClientID = "esign-gateway-b2b" // its tokens are bound to a key
)

// testKeycloak runs the gateway between callers without a credential and eSign APIs that
// accept only tokens of Keycloak with the scope of the call. key is the key of the clients
// that have a key.
func testKeycloak(t *testing.T, issuer string, key jose.JSONWebKey) {
	for name, authMethod := range map[string]string{
		"client_secret_basic":   "auth_method client_secret_basic",
		"client_secret_post":    "auth_method client_secret_post",
		"method from discovery": "",
	} {
		t.Run(name, func(t *testing.T) { testCalls(t, issuer, authMethod) })
	}
	t.Run("concurrent cold calls share a token", func(t *testing.T) { testColdCalls(t, issuer) })
	t.Run("wrong secret", func(t *testing.T) { testWrongSecret(t, issuer) })
	t.Run("private_key_jwt", func(t *testing.T) { testKeyClient(t, issuer, keyClientID, key, "auth_method private_key_jwt") })
	t.Run("private_key_jwt from discovery", func(t *testing.T) { testKeyClient(t, issuer, keyClientID, key, "") })
	t.Run("check", func(t *testing.T) { testCheck(t, issuer, key) })
	// These tokens are bound to a key that the gateway generates.
	t.Run("DPoP", func(t *testing.T) { testB2BClient(t, issuer, b2bClientID, key, nil) })
}

func testCalls(t *testing.T, issuer, authMethod string) {
	api := startAPI(t, issuer, clientID)
	g := startKeycloakGateway(t, issuer, clientSecret, authMethod, api)
	for _, call := range []struct {
		method, uri string
		contentType string
		body        string
		scopes      string // of the token, sorted
	}{
		{http.MethodGet, "/signdoc/pades?sign_id=x", "", "", "esign"},
		{http.MethodGet, "/v1/signdoc/pades?sign_id=x", "", "", "esign/nnin signdoc/read_write"},
		{http.MethodPost, "/v1/signdoc/pades", "application/json", `{"documents":[]}`, "esign/nnin signdoc/read_write"},
		{http.MethodDelete, "/v1/signdoc/pades?sign_id=x", "", "", "esign/nnin signdoc/read_write"},
		{http.MethodPost, "/csc/v2/oauth2/token", "application/x-www-form-urlencoded", "grant_type=authorization_code&code=x", "esign/csc"},
		{http.MethodPost, "/v1/timestamp/pades/lta", "application/json", `{"documents":[]}`, "esign/qtsa"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), call.method, g.url+call.uri, strings.NewReader(call.body))
		if err != nil {
			t.Fatal(err)
		}
		if call.contentType != "" {
			req.Header.Set("Content-Type", call.contentType)
		}
		status, header, body := do(t, req)
		if status != http.StatusOK {
			t.Errorf("%s %s: %d %s, Proxy-Status %q", call.method, call.uri, status, body, header.Get("Proxy-Status"))
			continue
		}
		var got received
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s %s: %v in %s", call.method, call.uri, err, body)
		}
		want := received{Method: call.method, URI: call.uri, ContentType: call.contentType, Body: call.body, Scopes: call.scopes}
		if got != want {
			t.Errorf("%s %s: the API received\n%+v, want\n%+v", call.method, call.uri, got, want)
		}
	}
	g.stop(t)
	checkLogLacks(t, g, "/signdoc/pades", append(secretForms(clientSecret), api.tokensSeen()...))
}

func testColdCalls(t *testing.T, issuer string) {
	api := startAPI(t, issuer, clientID)
	g := startKeycloakGateway(t, issuer, clientSecret, "", api)
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/signdoc/pades?sign_id=x", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if status, header, body := do(t, req); status != http.StatusOK {
				t.Errorf("%d %s, Proxy-Status %q", status, body, header.Get("Proxy-Status"))
			}
		})
	}
	callers.Wait()
	if tokens := api.tokensSeen(); len(tokens) != 1 {
		t.Errorf("the calls carried %d different tokens, want 1", len(tokens))
	}
}

func testWrongSecret(t *testing.T, issuer string) {
	const secret = "not+the secret"
	api := startAPI(t, issuer, clientID)
	g := startKeycloakGateway(t, issuer, secret, "", api)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/signdoc/pades?sign_id=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	status, header, body := do(t, req)
	if status != http.StatusBadGateway {
		t.Errorf("status %d %s, want 502", status, body)
	}
	if header.Get("Proxy-Status") == "" {
		t.Error("no Proxy-Status: the response looks like BankID's")
	}
	if n := api.callsSeen(); n != 0 {
		t.Errorf("%d calls reached the API without a token", n)
	}
	g.stop(t)
	checkLogLacks(t, g, "/signdoc/pades", secretForms(secret))
}

// startKeycloakGateway runs the gateway with a client of Keycloak. SignDoc v1 has scopes that
// only some clients have.
func startKeycloakGateway(t *testing.T, issuer, secret, authMethod string, api *signAPI) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return startGateway(t, strings.NewReplacer(
		"ISSUER", issuer, "CLIENT", clientID, "FILE", file, "METHOD", authMethod,
	).Replace(`
		issuer ISSUER
		client_id CLIENT
		client_secret {file.FILE}
		METHOD
`), strings.NewReplacer("API", api.url).Replace(`
	bankid_esign /signdoc/* signdoc {
		callers local
		upstream signdoc API
	}
	bankid_esign /v1/signdoc/* signdoc {
		callers local
		scope signdoc/read_write esign/nnin
		upstream signdoc API
	}
	bankid_esign /csc/* csc {
		callers local
		upstream csc API
	}
	bankid_esign /v1/timestamp/* timestamp {
		callers local
		upstream timestamp API
	}
`))
}

// This is Keycloak's client for administration.
const (
	adminID     = "admin"
	adminSecret = "admin secret"
)

// A keycloak is a running Keycloak.
type keycloak struct {
	version string
	url     string // its realms are below it
	log     string // file with its output
	ended   chan struct{}
}

// startKeycloak runs Keycloak until the test ends. It does not wait until Keycloak serves. env
// has the values of the placeholders in keycloak/realm-current.json.
func startKeycloak(t *testing.T, version string, env ...string) *keycloak {
	t.Helper()
	addr := ports.Address(t)
	_, port, _ := net.SplitHostPort(addr)
	log, err := os.Create(filepath.Join(t.TempDir(), "keycloak.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("keycloak/keycloak.sh", version, port)
	cmd.Env = append(os.Environ(), env...)
	cmd.Env = append(cmd.Env, "KC_BOOTSTRAP_ADMIN_CLIENT_ID="+adminID, "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET="+adminSecret)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k := &keycloak{version: version, url: "http://" + addr + "/auth", log: log.Name(), ended: make(chan struct{})}
	go func() {
		defer close(k.ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		stdin.Close()
		<-k.ended
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			t.Error("Keycloak outlived its test")
		}
	})
	return k
}

// serves waits until Keycloak serves the realm "current", and returns its issuer.
func (k *keycloak) serves(t *testing.T) string {
	t.Helper()
	issuer := k.url + "/realms/current"
	// The first run downloads 150 MB.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	poll := time.NewTicker(500 * time.Millisecond)
	defer poll.Stop()
	for {
		_, err := oidc.NewProvider(ctx, issuer)
		if err == nil {
			return issuer
		}
		select {
		case <-poll.C:
			continue
		case <-k.ended:
		case <-ctx.Done():
		}
		output, _ := os.ReadFile(k.log)
		t.Fatalf("Keycloak did not start: %v\n%s", err, output)
	}
}

// clientJWKS sets the placeholder for the clients' JWK set in the realm. The placeholder is
// inside a JSON string.
func clientJWKS(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	quoted, err := json.Marshal(publicJWKS(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return "ESIGN_CLIENT_JWKS=" + string(quoted[1:len(quoted)-1])
}

// secretForms returns the client's secret in the forms that could leak: as it is, and as it is
// sent.
func secretForms(secret string) []string {
	form := url.QueryEscape(secret)
	return []string{secret, form, base64.StdEncoding.EncodeToString([]byte(clientID + ":" + form))}
}
