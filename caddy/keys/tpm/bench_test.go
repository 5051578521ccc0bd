package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// BenchmarkSign measures a signature of a key in memory and of one in swtpm: the bare
// command with a loaded key, as the gateway makes it with all commands before and after,
// and with an authorization value, which needs a session.
func BenchmarkSign(b *testing.B) {
	digest := sha256.Sum256([]byte("digest"))
	b.Run("memory", func(b *testing.B) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := private.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
	s := newSimulator(b)
	for name, k := range map[string]Key{
		"file": {File: s.path("key")}, "handle": {Handle: "0x81000001"}, "auth": {File: s.path("auth"), Auth: auth},
	} {
		key := s.key(newDevice(s.socket), k)
		s.make(key, "ES256")
		signer := signerOf(b, key)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := signer.Sign(b.Context(), digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
		if name != "file" {
			continue
		}
		b.Run("bare", func(b *testing.B) {
			scheme, err := signer.scheme(digest[:], crypto.SHA256)
			if err != nil {
				b.Fatal(err)
			}
			s.do(func(tpm transport.TPM) {
				key, done, err := signer.object.load(key.device, tpm)
				if err != nil {
					b.Fatal(err)
				}
				defer done()
				for b.Loop() {
					if _, err := command(key, tpm2.PasswordAuth(nil), digest[:], scheme).Execute(tpm); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkAuthorize measures what a DPoP call costs with the key in memory and in swtpm:
// its authorization, whose greatest part is the signature of the proof.
func BenchmarkAuthorize(b *testing.B) {
	memory, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		b.Fatal(err)
	}
	s := newSimulator(b)
	for name, key := range map[string]*tokenauth.Key{
		"memory": memory, "swtpm": s.make(s.key(newDevice(s.socket), Key{File: s.path("key")}), "ES256"),
	} {
		b.Run(name, func(b *testing.B) {
			server := tokenauthtest.NewServer()
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				tokenauthtest.WriteJSON(w, http.StatusOK, map[string]any{"access_token": "token", "token_type": "DPoP", "expires_in": 3600})
			})
			source, err := tokenauth.NewSource(tokenauth.Config{
				Issuer: server.Issuer(), DPoP: true,
				Credentials: func() (tokenauth.Credentials, error) {
					return tokenauth.Credentials{ClientID: "client", ClientSecret: tokenauth.NewSecret("secret"), DPoPKey: key}, nil
				},
			})
			if err != nil {
				b.Fatal(err)
			}
			defer source.Close()
			source.Attach(tokenauth.Runtime{Client: server.Client()})
			token, err := source.Token(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "https://api.example/v0/b2b/seal", nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := source.Authorize(req, token, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
