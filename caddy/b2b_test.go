package caddyesign_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// newB2B returns a fixture with the client "b2b", which has a key in a file.
func newB2B(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.writeKey(t)
	f.app = `client b2b {
		client_id b2b-client
		private_key {file.` + f.keyFile() + `}
	}`
	f.issuer.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		document := f.issuer.Document()
		document["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt", "client_secret_basic"}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(document)
	})
	return f
}

// keyFile is the file that writeKey writes.
func (f *fixture) keyFile() string { return filepath.Join(f.dir, "key.pem") }

// writeKey writes a new private key to keyFile.
func (f *fixture) writeKey(t *testing.T) *tokenauth.Key {
	t.Helper()
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.PrivatePEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.keyFile(), []byte(private.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	return key
}

// b2bSite is a site for b2b with the fixture's upstream.
func (f *fixture) b2bSite(rest string) string {
	return `bankid_esign b2b {
		callers local
		client b2b
		upstream b2b ` + f.upstream.URL + `
		` + rest + `
	}`
}

// readProof checks the signature of a request's proof, and returns the claims.
func readProof(t *testing.T, header http.Header) (claims struct {
	ID     string `json:"jti"`
	Method string `json:"htm"`
	URL    string `json:"htu"`
	Token  string `json:"ath"`
	Nonce  string `json:"nonce"`
},
) {
	t.Helper()
	jws, err := jose.ParseSigned(header.Get("DPoP"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatalf("proof %q: %v", header.Get("DPoP"), err)
	}
	payload, err := jws.Verify(jws.Signatures[0].Protected.JSONWebKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestB2BCallsAreDPoPBound(t *testing.T) {
	f := newB2B(t)
	f.start(f.b2bSite("lb_retries 2"))
	const path = "/v0/b2b/csc/v2/signatures/signHash"
	f.do("POST", path, "{}", "DPoP", "callers", "Authorization", "DPoP callers").is(200)
	f.do("GET", "/v0/b2b/csc/v2/info", "", "DPoP", "callers").is(200)
	calls := f.upstream.seen()
	if len(calls) != 2 {
		t.Fatalf("upstream saw %d calls", len(calls))
	}
	claims := readProof(t, calls[0].Header)
	sum := sha256.Sum256([]byte("token-1"))
	if calls[0].Header.Get("Authorization") != "DPoP token-1" || claims.Token != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("Authorization is %q, the proof %+v", calls[0].Header.Get("Authorization"), claims)
	}
	if claims.Method != "POST" || claims.URL != f.upstream.URL+path {
		t.Errorf("the proof is for %s %s", claims.Method, claims.URL)
	}
	if calls[1].Header.Get("Authorization") != "" || calls[1].Header.Get("DPoP") != "" {
		t.Errorf("info carries %v", calls[1].Header)
	}
	request := f.issuer.TokenRequests()[0]
	if request.Form.Get("client_assertion") == "" || request.Form.Get("scope") != "esign/b2b" || request.Header.Get("DPoP") == "" {
		t.Errorf("the token request is %v", request.Form)
	}
}

func TestRotatedKeyNeedsNoReload(t *testing.T) {
	f := newB2B(t)
	// Each call needs its own token.
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"once","token_type":"DPoP","expires_in":0}`)
	})
	f.start(f.b2bSite(""))
	f.do("POST", "/v0/b2b/ades/pades", "{}").is(200)
	key := f.writeKey(t)
	eventually(t, func() bool {
		f.do("POST", "/v0/b2b/ades/pades", "{}")
		requests := f.issuer.TokenRequests()
		jws, err := jose.ParseSigned(requests[len(requests)-1].Form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		return err == nil && jws.Signatures[0].Protected.KeyID == key.Thumbprint()
	})
}

func TestKeyThatCannotBeRead(t *testing.T) {
	f := newB2B(t)
	if err := os.WriteFile(f.keyFile(), []byte("planted-nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.start(f.b2bSite(""))
	f.do("POST", "/v0/b2b/ades/pades", "{}").is(502).byGateway("proxy_configuration_error")
	log := f.logged()
	if !strings.Contains(log, f.keyFile()) || !strings.Contains(log, "neither PEM nor a JWK") {
		t.Error("the log does not say which key, and what is wrong with it")
	}
	if strings.Contains(log, "planted-nonsense") {
		t.Error("the log shows what is in the file")
	}
}

func TestPrivateKeysDoNotShow(t *testing.T) {
	f := newB2B(t)
	raw, err := os.ReadFile(f.keyFile())
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Split(string(raw), "\n")[1]
	config := adapt(t, f.caddyfile(f.b2bSite("")))
	f.load(config)
	f.do("POST", "/v0/b2b/ades/pades", "{}").is(200)
	for where, text := range map[string]string{"the configuration": string(config), "the log": f.logged()} {
		if strings.Contains(text, secret) || strings.Contains(text, "token-1") {
			t.Errorf("%s shows a secret", where)
		}
	}
	// The error does not show a key that is written out by mistake.
	_, err = func() ([]byte, error) {
		return nil, validate(t, `"bankid_esign": {"environment": "current", "client_id": "x", "private_key": "{\"kty\":\"EC\",\"d\":\"planted\"}"},`, goodHandler)
	}()
	if err == nil || strings.Contains(err.Error(), "planted") {
		t.Errorf("error is %v", err)
	}
}

func TestClockSkewIsLoggedAndMeasured(t *testing.T) {
	f := newB2B(t)
	admin := ports.Address(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, `{"access_token":"t","token_type":"DPoP","expires_in":300}`)
	})
	config := adapt(t, strings.Replace(f.caddyfile(f.b2bSite("")), "admin off", "admin "+admin, 1))
	for range 2 { // the key survives a reload
		f.load(config)
	}
	f.do("POST", "/v0/b2b/ades/pades", "{}").is(200)
	eventually(t, func() bool { return strings.Contains(f.logged(), `"provider_ahead_by":60`) })
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(roundTrip(t, req).is(200).body); !strings.Contains(got, "caddy_bankid_esign_clock_skew_seconds{client=\"b2b\"} 60") {
		t.Errorf("there is no metric: %.300s", got)
	}
}

// The sandbox checks every proof as BankID would.
func TestB2BJourneyOnTheSandbox(t *testing.T) {
	f := newFixture(t)
	config := `{
		admin off
		persist_config off
		bankid_esign {
			environment sandbox
		}
	}
	` + f.site + ` {
		bind 127.0.0.1
		bankid_esign b2b {
			callers local
			client seal
		}
	}`
	f.load(adapt(t, config))
	hash := sha256.Sum256([]byte("document"))
	encoded := base64.StdEncoding.EncodeToString(hash[:])
	for range 3 {
		var response struct {
			Results []struct {
				Hash string `json:"signed_hash"`
				CMS  []byte `json:"cms"`
			} `json:"sign_results"`
		}
		body := f.do("POST", "/v0/b2b/cmses_from_hashes", `["`+encoded+`"]`, "Content-Type", "application/json").is(200).body
		if err := json.Unmarshal(body, &response); err != nil || len(response.Results) != 1 || len(response.Results[0].CMS) == 0 {
			t.Errorf("the response is %s, %v", body, err)
		}
	}
	f.do("GET", "/v0/b2b/csc/v2/info", "").is(200)
	f.do("POST", "/v0/b2b/csc/v2/credentials/list", "{}", "Content-Type", "application/json").is(200)
}

func TestKeygen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.pem")
	if os.Getenv("KEYGEN_OUT") != "" {
		os.Args = []string{"caddy", "bankid-esign", "keygen", "--out", os.Getenv("KEYGEN_OUT")}
		caddycmd.Main()
		return
	}
	run := func() ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKeygen$")
		cmd.Env = append(os.Environ(), "KEYGEN_OUT="+file)
		return cmd.Output()
	}
	out, err := run()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var jwks jose.JSONWebKeySet
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&jwks); err != nil || len(jwks.Keys) != 1 {
		t.Fatalf("it prints %s: %v", out, err)
	}
	jwk := jwks.Keys[0]
	if !jwk.IsPublic() || jwk.Algorithm != "ES256" || jwk.Use != "sig" || jwk.KeyID == "" {
		t.Errorf("it prints %s", out)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	private, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tokenauth.ParseKey(tokenauth.NewSecret(string(private)), "")
	if err != nil || key.ID() != jwk.KeyID {
		t.Errorf("the file has %v, %v", key, err)
	}
	if _, err := run(); err == nil {
		t.Error("an existing key was overwritten")
	}
}
