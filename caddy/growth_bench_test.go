package caddyesign

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// grown is a configuration of n of something.
type grown struct {
	app      object
	handlers []object
}

// growths are what a configuration can have many of. In each, the handler with
// the number 0 is the same.
var growths = map[string]func(app object, n int) grown{
	// Clients with a handler, and so a source, each.
	"clients": func(app object, n int) grown {
		clients, handlers := make(object, n), make([]object, n)
		for i := range n {
			name := fmt.Sprintf("client%d", i)
			clients[name] = object{"client_id": name, "client_secret": "{env.BENCH_SECRET}"}
			handlers[i] = benchHandler("http://127.0.0.1:1")
			handlers[i]["client"] = name
		}
		app["clients"] = clients
		return grown{app, handlers}
	},
	// Sites that share one client, one scope and one host.
	"sites": func(app object, n int) grown {
		handlers := make([]object, n)
		for i := range n {
			handlers[i] = benchHandler("http://127.0.0.1:1")
		}
		return grown{app, handlers}
	},
	// Scopes of one token.
	"scopes": func(app object, n int) grown {
		scopes := make([]string, n)
		for i := range n {
			scopes[i] = fmt.Sprintf("scope/%d", i)
		}
		handler := benchHandler("http://127.0.0.1:1")
		handler["scopes"] = scopes
		return grown{app, []object{handler}}
	},
	// Upstream hosts of one client.
	"hosts": func(app object, n int) grown {
		handlers := make([]object, n)
		for i := range n {
			handlers[i] = benchHandler(fmt.Sprintf("http://%s:1", benchHost(i)))
		}
		return grown{app, handlers}
	},
}

// BenchmarkGrowth measures a request in configurations that grow, which it
// should not notice.
func BenchmarkGrowth(b *testing.B) {
	issuer := newBenchIssuer(b)
	for _, name := range slices.Sorted(maps.Keys(growths)) {
		for _, n := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("%s=%d", name, n), func(b *testing.B) {
				g := growths[name](benchApp(b, issuer), n)
				server := runBench(b, benchConfig(b, g.app, g.handlers...))
				awaitTokens(b)
				benchServe(b, server, http.MethodGet, 0)
			})
		}
	}
}

// awaitTokens waits until every source of the running configuration has its
// token, so that getting them is not measured. Ten thousand at once may be more
// than there are file descriptors; then some are tried again.
func awaitTokens(b *testing.B) {
	b.Helper()
	mod, err := caddy.ActiveContext().App("bankid_esign")
	if err != nil {
		b.Fatal(err)
	}
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for source := range mod.(*App).sources {
		for _, err := source.Token(b.Context()); err != nil; _, err = source.Token(b.Context()) {
			select {
			case <-deadline:
				b.Fatal(err)
			case <-tick.C:
			}
		}
	}
}

// BenchmarkProvision measures loading a configuration of many clients, each with
// a handler of its own, beside as many bare reverse proxies.
func BenchmarkProvision(b *testing.B) {
	issuer := newBenchIssuer(b)
	for _, n := range []int{1, 100, 1000, 10_000} {
		clients := growths["clients"](benchApp(b, issuer), n)
		floor := make([]object, n)
		for i := range n {
			floor[i] = floorHandler()
		}
		for _, bench := range []struct {
			name     string
			handlers []object
		}{{"floor", floor}, {"clients", clients.handlers}} {
			b.Run(fmt.Sprintf("%s=%d", bench.name, n), func(b *testing.B) {
				for b.Loop() {
					if err := caddy.Validate(benchConfig(b, clients.app, bench.handlers...)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/client")
			})
		}
	}
}

// Clients that have their token cost memory, and no goroutine.
func TestIdleClientsHoldNoGoroutine(t *testing.T) {
	const n = 10_000
	issuer := tokenauthtest.NewServer()
	t.Setenv("BENCH_SECRET", "secret")
	t.Cleanup(func() { // or every scrape after this has ten thousand clients
		tokenRequests.Reset()
		tokenRequestDuration.Reset()
		clockSkew.Reset()
	})
	name := func(i int) string { return fmt.Sprintf("client%d", i) }
	clients := make(object, n)
	for i := range n {
		clients[name(i)] = object{"client_id": name(i), "client_secret": "{env.BENCH_SECRET}"}
	}
	raw, err := json.Marshal(object{"issuer": issuer.Issuer(), "clients": clients})
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
	defer func() {
		if err := app.Cleanup(); err != nil {
			t.Error(err)
		}
	}()
	app.http, app.logger = issuer.Client(), zap.NewNop()
	app.events.stop() // it would wait for apps to start
	before := runtime.NumGoroutine()
	sources := make([]*tokenauth.Source, n)
	for i := range n {
		if sources[i], err = app.source(name(i), []string{"esign"}, false); err != nil {
			t.Fatal(err)
		}
	}
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("provisioning started %d goroutines", now-before)
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		if _, err := source.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Those that fetched end by themselves.
	for deadline := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines stay, of %d clients", runtime.NumGoroutine()-before, n)
		}
	}
}
