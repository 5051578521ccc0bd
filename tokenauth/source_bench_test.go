package tokenauth_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// BenchmarkSourceToken measures the cost of a fresh token, and beside it the least possible
// cost: to load it, and to look at the clock.
func BenchmarkSourceToken(b *testing.B) {
	source := newBenchSource(b, false)
	ctx := b.Context()
	var current atomic.Pointer[tokenauth.Token]
	current.Store(benchToken(b, source))
	for _, goroutines := range []int{1, 2, 8} {
		b.Run(fmt.Sprintf("bare/goroutines=%d", goroutines), func(b *testing.B) {
			runOn(b, goroutines, func() bool { return current.Load() != nil && !time.Now().IsZero() })
		})
		b.Run(fmt.Sprintf("fresh/goroutines=%d", goroutines), func(b *testing.B) {
			runOn(b, goroutines, func() bool {
				_, err := source.Token(ctx)
				return err == nil
			})
		})
	}
}

// runOn runs the benchmark's iterations of f on several goroutines. f reports whether it
// succeeded.
func runOn(b *testing.B, goroutines int, f func() bool) {
	b.Helper()
	b.ReportAllocs()
	var wg sync.WaitGroup
	for i := range goroutines {
		n := b.N / goroutines
		if i < b.N%goroutines {
			n++
		}
		wg.Go(func() {
			for range n {
				if !f() {
					b.Error("failed")
					return
				}
			}
		})
	}
	wg.Wait()
}

// newBenchSource returns a source whose token lives for a day, bound to a key if
// dpop is true.
func newBenchSource(b *testing.B, dpop bool) *tokenauth.Source {
	b.Helper()
	server := tokenauthtest.NewServer()
	provider, err := tokenauth.NewProvider(server.Issuer())
	if err != nil {
		b.Fatal(err)
	}
	source, err := tokenauth.NewSource(tokenauth.Config{Provider: provider, Credentials: testCredentials, DPoP: dpop})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(source.Close)
	source.Attach(tokenauth.Runtime{Client: server.Client()})
	if !dpop {
		server.HandleToken(respondToken("long", 86400))
	}
	benchToken(b, source)
	return source
}

// benchToken returns the token of source.
func benchToken(b *testing.B, source *tokenauth.Source) *tokenauth.Token {
	b.Helper()
	token, err := source.Token(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return token
}
