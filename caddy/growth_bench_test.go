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

// grown is a configuration with n of something.
type grown struct {
	app      object
	handlers []object
}

// growths are the things that a configuration can have many of. In each, the handler
// with the number 0 is the same.
var growths = map[string]func(app object, n int) grown{
	// These are clients, each with a handler, and so with a source.
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
	// These are sites that share one client, one scope and one host.
	"sites": func(app object, n int) grown {
		handlers := make([]object, n)
		for i := range n {
			handlers[i] = benchHandler("http://127.0.0.1:1")
		}
		return grown{app, handlers}
	},
	// These are scopes of one token.
	"scopes": func(app object, n int) grown {
		scopes := make([]string, n)
		for i := range n {
			scopes[i] = fmt.Sprintf("scope/%d", i)
		}
		handler := benchHandler("http://127.0.0.1:1")
		handler["scopes"] = scopes
		return grown{app, []object{handler}}
	},
	// These are upstream hosts of one client.
	"hosts": func(app object, n int) grown {
		handlers := make([]object, n)
		for i := range n {
			handlers[i] = benchHandler(fmt.Sprintf("http://%s:1", benchHost(i)))
		}
		return grown{app, handlers}
	},
}

// BenchmarkGrowth measures a request in configurations that grow. The growth should not
// affect it.
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

// awaitTokens waits until every source of the running configuration has its token, so
// that obtaining them is not measured. Ten thousand at a time may exceed the limit of
// file descriptors; then some are tried again.
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

// BenchmarkProvision measures loading a configuration with many clients, each with its
// own handler, and for comparison the same number of bare reverse proxies.
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

// A client that has its token costs memory, but no goroutine.
func TestIdleClientsHoldNoGoroutine(t *testing.T) {
	const n = 1000
	issuer := tokenauthtest.NewServer()
	t.Setenv("BENCH_SECRET", "secret")
	t.Cleanup(func() { // otherwise every later scrape has a thousand clients
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
	app.events.stop() // it would wait for the apps to start
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
	// Goroutines that fetched a token end by themselves.
	for deadline := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines stay, of %d clients", runtime.NumGoroutine()-before, n)
		}
	}
}
