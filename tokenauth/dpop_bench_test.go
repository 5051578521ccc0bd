package tokenauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// BenchmarkDPoPProof measures a proof, and beside it the bare signature that every proof
// needs.
func BenchmarkDPoPProof(b *testing.B) {
	u, err := url.Parse("https://api.example/v0/b2b/sdo_from_hash")
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("digest"))
	for _, alg := range []string{"ES256", "RS256"} {
		key, err := GenerateKey(alg)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("bare/"+alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var err error
				switch private := key.private.Signer.(type) {
				case *ecdsa.PrivateKey:
					_, err = ecdsa.SignASN1(rand.Reader, private, digest[:])
				case *rsa.PrivateKey:
					_, err = rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("proof/"+alg, func(b *testing.B) {
			prover, err := newProver(key, nil)
			if err != nil {
				b.Fatal(err)
			}
			token := &Token{secret: NewSecret(strings.Repeat("token", 200)), prover: prover} // as long as BankID's
			b.ReportAllocs()
			for b.Loop() {
				if _, err := prover.proof(b.Context(), http.MethodPost, u, "", token, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
