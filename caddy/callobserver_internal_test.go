package caddyesign

import (
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// What every call costs.
func TestObservingAFreshTokenAllocatesNothing(t *testing.T) {
	o := newCallObserver("", []string{"signdoc", "csc"})
	if allocs := testing.AllocsPerRun(1000, func() { o.Served("signdoc", tokenauth.StateFresh) }); allocs != 0 {
		t.Errorf("%v allocations for a fresh token, want none", allocs)
	}
	ctx, now := t.Context(), time.Now()
	if allocs := testing.AllocsPerRun(1000, func() { o.Waited(ctx, "signdoc", now, nil) }); allocs != 0 {
		t.Errorf("%v allocations for a wait that is not traced, want none", allocs)
	}
}

func BenchmarkCallObserver(b *testing.B) {
	o := newCallObserver("", []string{"signdoc", "csc"})
	b.ReportAllocs()
	for b.Loop() {
		o.Served("signdoc", tokenauth.StateFresh)
	}
}
