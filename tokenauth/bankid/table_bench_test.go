package bankid_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// tableRequest returns a request for the path as it is spelled on the wire.
func tableRequest(tb testing.TB, method, path string) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, "https://api.example"+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// tableMisses are paths that are not in the table: one that resembles no row, the longest
// row with another last letter, and that row in another spelling.
var tableMisses = map[string]string{
	"unknown":  "/favicon.ico",
	"similar":  "/v0/b2b/csc/v2/signatures/signHasx",
	"spelling": "/v0/b2b/csc/v2/signatures/sign%48ash",
}

func TestLookupAllocatesNothing(t *testing.T) {
	table := gateway.NewTable(bankid.Calls(bankid.APIs()...)...)
	for _, call := range bankid.Calls(bankid.APIs()...) {
		r := tableRequest(t, call.Method, call.Path)
		if allocs := testing.AllocsPerRun(100, func() {
			if table.Lookup(r) == nil {
				t.Errorf("%s %s is not found", call.Method, call.Path)
			}
		}); allocs != 0 {
			t.Errorf("%v allocations to find %s %s, want none", allocs, call.Method, call.Path)
		}
	}
	for name, path := range tableMisses {
		r := tableRequest(t, http.MethodPost, path)
		if allocs := testing.AllocsPerRun(100, func() {
			if table.Lookup(r) != nil {
				t.Errorf("%s is found", path)
			}
		}); allocs != 0 {
			t.Errorf("%v allocations not to find %s (%s), want none", allocs, path, name)
		}
	}
}

// BenchmarkCallTable measures how long the table takes to find each row, and to find that
// there is none.
func BenchmarkCallTable(b *testing.B) {
	calls := bankid.Calls(bankid.APIs()...)
	table := gateway.NewTable(calls...)
	for _, call := range calls {
		r := tableRequest(b, call.Method, call.Path)
		b.Run("row/"+call.Method+strings.ReplaceAll(call.Path, "/", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if table.Lookup(r) == nil {
					b.Fatal("it is not found")
				}
			}
		})
	}
	for _, name := range slices.Sorted(maps.Keys(tableMisses)) {
		r := tableRequest(b, http.MethodPost, tableMisses[name])
		b.Run("miss/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if table.Lookup(r) != nil {
					b.Fatal("it is found")
				}
			}
		})
	}
}
