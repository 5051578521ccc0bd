package tokenauth_test

import (
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestFreshTokenAllocatesNothing(t *testing.T) {
	source := newTestSource(t, tokenauthtest.NewServer())
	getToken(t, source)
	var token *tokenauth.Token
	var err error
	allocs := testing.AllocsPerRun(1000, func() { token, err = source.Token(t.Context()) })
	if err != nil || token == nil {
		t.Fatalf("Token: %v", err)
	}
	if allocs != 0 {
		t.Errorf("%v allocations for a fresh token, want none", allocs)
	}
}

func BenchmarkSourceToken(b *testing.B) {
	config := tokenauth.Config{Credentials: testCredentials}
	server := tokenauthtest.NewServer()
	config.Provider, _ = tokenauth.NewProvider(server.Issuer(), true)
	source, err := tokenauth.NewSource(config)
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	source.Attach(tokenauth.Runtime{Client: server.Client()})
	server.HandleToken(answerToken("long", 86400))
	ctx := b.Context()
	if _, err := source.Token(ctx); err != nil {
		b.Fatal(err)
	}
	b.Run("sequential", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := source.Token(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := source.Token(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
