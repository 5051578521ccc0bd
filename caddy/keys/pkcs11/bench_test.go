package pkcs11

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// BenchmarkSignature measures the bare signature of a key in memory and of one in SoftHSM.
func BenchmarkSignature(b *testing.B) {
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
	b.Run("SoftHSM", func(b *testing.B) {
		l := hookedLibrary(nil)
		k, _ := newKey(b, l, "seals", rand.Text())
		if _, err := k.MakeKey(b.Context(), "ES256"); err != nil {
			b.Fatal(err)
		}
		s, err := k.token.open()
		if err != nil {
			b.Fatal(err)
		}
		defer closeAll([]*session{s})
		key, err := s.find(k.name)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := s.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, key.private); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Sign(s.handle, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkAuthorize measures what a DPoP call costs with the key in memory and in SoftHSM:
// its authorization, whose greatest part is the signature of the proof.
func BenchmarkAuthorize(b *testing.B) {
	memory, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		b.Fatal(err)
	}
	for name, key := range map[string]*tokenauth.Key{
		"memory": memory, "SoftHSM": makeKey(b, hookedLibrary(nil), "seals", rand.Text(), "ES256"),
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
