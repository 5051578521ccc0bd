package caddyesign

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// This is done for every call.
func TestObservingAFreshTokenAllocatesNothing(t *testing.T) {
	o := newCallObserver("", []string{"signdoc", "csc"}, zap.NewNop())
	if allocs := testing.AllocsPerRun(1000, func() { o.Served("signdoc", tokenauth.StateFresh) }); allocs != 0 {
		t.Errorf("%v allocations for a fresh token, want none", allocs)
	}
	ctx, now := t.Context(), time.Now()
	if allocs := testing.AllocsPerRun(1000, func() { o.Waited(ctx, "signdoc", now, nil) }); allocs != 0 {
		t.Errorf("%v allocations for a wait that is not traced, want none", allocs)
	}
}

// The log has one line for a change of state, not a line for each call.
func TestRejectionsAreLoggedOnce(t *testing.T) {
	core, lines := observer.New(zap.WarnLevel)
	o := newCallObserver("", []string{"signdoc", "csc"}, zap.New(core))
	for range 3 {
		o.Rejected("signdoc", 403)
	}
	o.Rejected("csc", 401)
	got := lines.All()
	if len(got) != 2 || got[0].ContextMap()["api"] != "signdoc" || got[0].ContextMap()["status"] != int64(403) || got[1].ContextMap()["api"] != "csc" {
		t.Errorf("it logs %v", got)
	}
}

func BenchmarkCallObserver(b *testing.B) {
	o := newCallObserver("", []string{"signdoc", "csc"}, zap.NewNop())
	b.ReportAllocs()
	for b.Loop() {
		o.Served("signdoc", tokenauth.StateFresh)
	}
}
