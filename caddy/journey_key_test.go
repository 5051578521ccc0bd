package caddyesign_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// keygen makes a key as an operator does. It returns its file and the public key for
// BankID.
func keygen(t *testing.T) (file string, public jose.JSONWebKey) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "key.pem")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKeygen$")
	cmd.Env = append(os.Environ(), "KEYGEN_OUT="+file)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("keygen: %v", err)
	}
	var jwks jose.JSONWebKeySet
	// The test binary prints its result after the output of the command.
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&jwks); err != nil || len(jwks.Keys) != 1 {
		t.Fatalf("keygen prints %s: %v", out, err)
	}
	return file, jwks.Keys[0]
}

// newKeyJourney starts a gateway with a private key in a file, and a bank where public
// keys are registered.
func newKeyJourney(t *testing.T, file string, registered ...jose.JSONWebKey) *journey {
	t.Helper()
	f := newFixture(t)
	f.writeSecret(sandbox.ClientSecret)
	j := &journey{fixture: f, bank: newBank(t, sandbox.Options{Clients: []sandbox.Client{{
		ID: "seal-client", DPoPRequired: true, Keys: jose.JSONWebKeySet{Keys: registered},
	}}})}
	j.install(file)
	j.load("", "")
	return j
}

// install replaces the gateway's key by the key in file.
func (j *journey) install(file string) {
	j.t.Helper()
	if err := os.Rename(file, j.keyFile()); err != nil {
		j.t.Fatal(err)
	}
}

// seal makes a seal, which needs a token.
func (j *journey) seal() *reply {
	j.t.Helper()
	return j.post(cmsesFromHashes, `["`+hashOf([]byte("document"))+`"]`)
}

// Journey E: a key is made, its public half is registered, and a second key replaces it
// without an interruption.
func TestJourneyOfAKey(t *testing.T) {
	first, firstPublic := keygen(t)
	second, secondPublic := keygen(t)
	j := newKeyJourney(t, first, firstPublic, secondPublic)
	j.seal().sealed()

	j.install(second)
	j.seal().sealed()                        // the token stays valid until it expires
	j.bank.tamperOnce(carry("DPoP revoked")) // so that the gateway asks for another token
	var kid atomic.Value
	j.bank.tamperIssuer(func(r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ := url.ParseQuery(string(body))
		if jws, err := jose.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256}); err == nil {
			kid.Store(jws.Signatures[0].Protected.KeyID)
		}
	})
	j.seal().passed(2, 200)
	if got := kid.Load(); got != secondPublic.KeyID {
		t.Errorf("the assertion is by %v, want %q", got, secondPublic.KeyID)
	}
}

func TestJourneyOfAKeyThatIsNotRegistered(t *testing.T) {
	file, _ := keygen(t)
	_, other := keygen(t)
	j := newKeyJourney(t, file, other)
	j.seal().refused(502, "proxy_configuration_error", "(invalid_client)")
}
