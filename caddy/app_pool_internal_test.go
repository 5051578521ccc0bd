package caddyesign

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A value that no configuration uses any more is not kept, however often the
// configuration changes.
func TestF33PoolHoldsWhatIsInUse(t *testing.T) {
	issuer := tokenauthtest.NewHTTPServer()
	defer issuer.Close()
	t.Setenv("TEST_SECRET", "secret")
	held := func() int {
		n := 0
		pool.Range(func(any, any) bool {
			n++
			return true
		})
		return n
	}
	before := held()
	for round := range 20 {
		raw, err := json.Marshal(map[string]any{
			"issuer": issuer.Issuer(), "client_id": fmt.Sprint("client-", round), "client_secret": "{env.TEST_SECRET}",
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := caddy.ProvisionContext(&caddy.Config{AppsRaw: caddy.ModuleMap{"bankid_esign": raw}})
		if err != nil {
			t.Fatal(err)
		}
		mod, err := ctx.App("bankid_esign")
		if err != nil {
			t.Fatal(err)
		}
		app := mod.(*App)
		for _, scope := range []string{"esign", "esign/csc"} {
			source, err := app.source("", []string{scope}, false)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := source.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// These are the provider, the budget, the downloads, the drainers, the credential and
		// two sources.
		if got := held() - before; got != 7 {
			t.Errorf("the pool holds %d values, want 7", got)
		}
		if err := app.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
	if got := held(); got != before {
		t.Errorf("the pool holds %d values, want %d as before", got, before)
	}
}
