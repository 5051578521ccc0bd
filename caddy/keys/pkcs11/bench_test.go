package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// BenchmarkDPoPCall measures what a DPoP call costs with the key in memory and with the key
// in SoftHSM: its authorization, whose greatest part is the signature of the proof. In turn
// with the calls, it makes the bare signatures, so that other work on the machine slows all
// of them. It reports the medians of each in ns, and by how many times the difference of the
// bare signatures a call with the key in SoftHSM costs more.
func BenchmarkDPoPCall(b *testing.B) {
	memory, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		b.Fatal(err)
	}
	k, _ := newKey(b, hookedLibrary(nil), "seals", rand.Text())
	held, err := k.MakeKey(b.Context(), "ES256")
	if err != nil {
		b.Fatal(err)
	}
	for _, callers := range []int{1, maxSessions} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			compare(b, callers, []work{
				{name: "signature-memory", prepare: func() func() error { return signInMemory(b) }},
				{name: "signature-softhsm", prepare: func() func() error { return signBare(b, k) }},
				{name: "call-memory", prepare: func() func() error { return authorize(b, memory) }},
				{name: "call-softhsm", prepare: func() func() error { return authorize(b, held) }},
			})
		})
	}
}

// A work is something to measure.
type work struct {
	name    string
	prepare func() (do func() error) // for one caller
}

// compare measures four works in turn: the bare signatures of two keys, then the calls with
// them.
func compare(b *testing.B, callers int, works []work) {
	const repetitions = 16 // of each caller
	do, took := make([][]func() error, len(works)), make([][]float64, len(works))
	for i, w := range works {
		for range callers {
			do[i] = append(do[i], w.prepare())
		}
	}
	for b.Loop() {
		for i := range works {
			start := time.Now()
			var running sync.WaitGroup
			for _, once := range do[i] {
				running.Go(func() {
					for range repetitions {
						if err := once(); err != nil {
							b.Error(err)
						}
					}
				})
			}
			running.Wait()
			took[i] = append(took[i], float64(time.Since(start).Nanoseconds())/float64(repetitions*callers))
		}
	}
	medians := make([]float64, len(works))
	for i, w := range works {
		slices.Sort(took[i])
		medians[i] = took[i][len(took[i])/2]
		b.ReportMetric(medians[i], "ns/"+w.name)
	}
	b.ReportMetric((medians[3]-medians[2])/(medians[1]-medians[0]), "times-the-difference")
	b.ReportMetric(0, "ns/op") // of all works together, which says nothing
}

// signInMemory returns what makes a signature with a key in memory.
func signInMemory(b *testing.B) func() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("digest"))
	return func() error {
		_, err := private.Sign(rand.Reader, digest[:], crypto.SHA256)
		return err
	}
}

// signBare returns what makes a signature with a key in SoftHSM, without what the gateway
// has around it.
func signBare(b *testing.B, k *Key) func() error {
	s, err := k.token.open()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { closeAll([]*session{s}) })
	key, err := s.find(k.name)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("digest"))
	return func() error {
		if err := s.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, key.private); err != nil {
			return err
		}
		_, err := s.Sign(s.handle, digest[:])
		return err
	}
}

// authorize returns what authorizes a call with a token that is bound to key.
func authorize(b *testing.B, key *tokenauth.Key) func() error {
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
	b.Cleanup(source.Close)
	source.Attach(tokenauth.Runtime{Client: server.Client()})
	token, err := source.Token(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context()) // each caller has its own
	b.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.example/v0/b2b/seal", nil)
	if err != nil {
		b.Fatal(err)
	}
	return func() error {
		_, err := source.Authorize(req, token, "")
		return err
	}
}
