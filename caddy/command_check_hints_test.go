package caddyesign_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// assertions makes the issuer accept only assertions for which accept returns true. For
// others it uses the words of Keycloak 26.7.3.
func (f *fixture) assertions(description string, accept func(kid, audience string) bool) {
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		requests := f.issuer.TokenRequests()
		jws, err := jose.ParseSigned(requests[len(requests)-1].Form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			tokenauthtest.WriteError(w, 400, "invalid_client")
			return
		}
		if accept(jws.Signatures[0].Protected.KeyID, string(jws.UnsafePayloadWithoutVerification())) {
			tokenauthtest.WriteToken(w, plantedToken, 300)
			return
		}
		tokenauthtest.WriteJSON(w, 400, map[string]string{"error": "invalid_client", "error_description": description})
	})
}

// For each wrong configuration, the hint names the cure, and the cure works.
func TestCheckHintsAreCures(t *testing.T) {
	t.Parallel()
	f := newB2B(t)
	kid := f.writeKey(t).ID()
	endpoint := f.issuer.Document()["token_endpoint"].(string)
	args := []string{"check", "--issuer", f.issuer.Issuer(), "--client-id", "c", "--scope", "esign"}
	byKey := append(args, "--key-file", f.keyFile())

	f.assertions("Unable to load public key", func(string, string) bool { return false })
	out := run(t, byKey...).exits(1).prints("under the kid "+kid+", its thumbprint", "the flag for key_id is --key-id")
	_, after, _ := strings.Cut(out.stdout, "set key_id to ")
	digest, _, _ := strings.Cut(after, " ")
	if len(digest) != 43 || digest == kid {
		t.Fatalf("the kid of a certificate is %q", digest)
	}
	f.assertions("Unable to load public key", func(kid, _ string) bool { return kid == digest })
	run(t, append(byKey, "--key-id", digest)...).exits(0).prints("(ES256, kid " + digest + ")")
	f.assertions("Unable to load public key", func(kid, _ string) bool { return kid == "" })
	run(t, append(byKey, "--key-id", "none")...).exits(0).prints("(ES256, no kid)")

	f.assertions("Invalid token audience", func(_, payload string) bool { return strings.Contains(payload, `"aud":"`+endpoint+`"`) })
	run(t, byKey...).exits(1).prints("does not accept the client assertion for its audience", "set audience to "+endpoint, "the flag for audience is --audience")
	run(t, append(byKey, "--audience", endpoint)...).exits(0)
	f.assertions("Invalid token audience", func(_, payload string) bool { return strings.Contains(payload, `"aud":"`+f.issuer.Issuer()+`"`) })
	run(t, append(byKey, "--audience", endpoint)...).exits(1).prints("leave audience out")

	f.issuer.HandleDiscovery(nil)
	f.issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) { // this issuer does not form-decode the credentials
		requests := f.issuer.TokenRequests()
		_, password, _ := r.BasicAuth()
		if password == clientSecret || requests[len(requests)-1].Form.Get("client_secret") == clientSecret {
			tokenauthtest.WriteToken(w, plantedToken, 300)
			return
		}
		tokenauthtest.WriteError(w, 401, "invalid_client")
	})
	if url.QueryEscape(clientSecret) == clientSecret {
		t.Fatal("the secret is too simple")
	}
	bySecret := append(args, "--secret-file", f.secret)
	run(t, bySecret...).exits(1).prints("characters that client_secret_basic encodes", "set auth_method client_secret_post", "the flag for auth_method is --auth-method")
	run(t, append(bySecret, "--auth-method", "client_secret_post")...).exits(0)
	run(t, "check", "--issuer", f.issuer.Issuer(), "--client-id", "c", "--secret-file", f.secret, "--audience", "x").exits(2).prints("audience needs private_key")
}

// The same holds in a configuration, where a kid can also be left out.
func TestKeyIDNone(t *testing.T) {
	f := newB2B(t)
	f.app = strings.Replace(f.app, "private_key", "key_id "+tokenauth.NoKeyID+"\nprivate_key", 1)
	f.start(f.b2bSite(""))
	f.do("POST", "/v0/b2b/ades/pades", "{}").is(200)
	requests := f.issuer.TokenRequests()
	jws, err := jose.ParseSigned(requests[len(requests)-1].Form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || jws.Signatures[0].Protected.KeyID != "" {
		t.Errorf("the assertion has the kid %q, %v", jws.Signatures[0].Protected.KeyID, err)
	}
}
