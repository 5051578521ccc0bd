package caddyesign

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func init() {
	caddy.RegisterModule(noopTransport{})
	caddy.RegisterModule(bareProxy{})
}

// noopTransport is a transport that responds at once, without a network.
type noopTransport struct{}

// CaddyModule returns the Caddy module information.
func (noopTransport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.bench_noop",
		New: func() caddy.Module { return new(noopTransport) },
	}
}

// RoundTrip implements http.RoundTripper.
func (noopTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: http.NoBody,
	}, nil
}

// bareProxy is a handler that does what a proxy in Caddy must do at the least: it is the
// reverse proxy of net/http/httputil, with a constant header field.
type bareProxy struct{}

// CaddyModule returns the Caddy module information.
func (bareProxy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_bare", New: func() caddy.Module { return new(bareProxy) }}
}

// bareAuthorization is the constant.
var bareAuthorization = []string{"Bearer long"}

// bare is the proxy.
var bare = httputil.ReverseProxy{
	Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", "127.0.0.1:1"
		r.Out.Header["Authorization"] = bareAuthorization
	},
	Transport: noopTransport{}, BufferPool: buffers{},
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (bareProxy) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	bare.ServeHTTP(w, r)
	return nil
}

// noopWriter is an http.ResponseWriter that records only the status.
type noopWriter struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (w *noopWriter) Header() http.Header { return w.header }

// Write implements http.ResponseWriter.
func (w *noopWriter) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements http.ResponseWriter.
func (w *noopWriter) WriteHeader(status int) { w.status = status }

// newBenchIssuer starts an issuer whose tokens live for a day.
func newBenchIssuer(tb testing.TB) *tokenauthtest.Server {
	issuer := tokenauthtest.NewHTTPServer()
	tb.Cleanup(issuer.Close)
	issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, "long", 86400) })
	return issuer
}

// object is a JSON object.
type object = map[string]any

// benchConfig returns a configuration whose server has the given handlers, each in its
// own route for the host with its number.
func benchConfig(tb testing.TB, app object, handlers ...object) *caddy.Config {
	tb.Helper()
	routes := make([]object, 0, len(handlers))
	for i, handler := range handlers {
		routes = append(routes, object{
			"match":  []object{{"host": []string{benchHost(i)}}},
			"handle": []object{handler},
		})
	}
	raw, err := json.Marshal(object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"logging": object{"logs": object{"default": object{"writer": object{"output": "discard"}}}},
		"apps": object{
			"bankid_esign": app,
			"http": object{"servers": object{"bench": object{
				"listen": []string{"127.0.0.1:0"}, "routes": routes, "automatic_https": object{"disable": true},
			}}},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	config := new(caddy.Config)
	if err := json.Unmarshal(raw, config); err != nil {
		tb.Fatal(err)
	}
	return config
}

// benchHost is the host of the handler with the given number: a loopback address.
func benchHost(i int) string { return fmt.Sprintf("127.%d.%d.1", i/256, i%256) }

// benchApp is the app with one client at issuer.
func benchApp(tb testing.TB, issuer *tokenauthtest.Server) object {
	tb.Setenv("BENCH_SECRET", "secret")
	return object{"issuer": issuer.Issuer(), "client_id": "bench", "client_secret": "{env.BENCH_SECRET}"}
}

// benchHandler is a gateway to SignDoc at upstream.
func benchHandler(upstream string) object {
	return object{"handler": "bankid_esign", "apis": []string{"signdoc"}, "callers": "local", "upstreams": object{"signdoc": upstream}}
}

// floorHandler returns a handler that does all of the work except for the token: a
// reverse proxy that sets a constant header field.
func floorHandler() object {
	return object{
		"handler": "reverse_proxy", "upstreams": []object{{"dial": "127.0.0.1:1"}},
		"headers":   object{"request": object{"set": object{"Authorization": []string{"Bearer long"}}}},
		"transport": object{"protocol": "bench_noop"},
	}
}

// runBench runs config until the benchmark ends, and returns its server. In every
// gateway, noopTransport replaces the transport that sends.
func runBench(tb testing.TB, config *caddy.Config) *caddyhttp.Server {
	tb.Helper()
	if err := caddy.Run(config); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			tb.Error(err)
		}
	})
	mod, err := caddy.ActiveContext().App("http")
	if err != nil {
		tb.Fatal(err)
	}
	server := mod.(*caddyhttp.App).Servers["bench"]
	for _, route := range server.Routes {
		if h, ok := route.Handlers[0].(*Handler); ok {
			for _, r := range h.routes {
				r.transport.core.Base = noopTransport{}
			}
		}
	}
	return server
}

// benchServe measures a request to the host with the given number.
func benchServe(b *testing.B, server *caddyhttp.Server, method string, host int) {
	b.Helper()
	serve := serving(b, server, method, host)
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}

// serving returns a function that has server serve a request to the host with the given
// number.
func serving(b testing.TB, server *caddyhttp.Server, method string, host int) func() {
	b.Helper()
	ctx := context.WithValue(b.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}))
	template, err := http.NewRequestWithContext(ctx, method, "/v1/signdoc/pades?sign_id=1", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	template.Host, template.RemoteAddr, template.RequestURI = benchHost(host), "127.0.0.1:50000", template.URL.RequestURI()
	template.Header = http.Header{"Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"bench"}}
	w := &noopWriter{header: make(http.Header, 8)}
	serve := func() {
		clear(w.header)
		w.status = 0
		r := *template
		server.ServeHTTP(w, &r)
		if w.status != http.StatusOK {
			b.Fatalf("status %d, %v", w.status, w.header)
		}
	}
	serve() // the first call obtains the token, if there is none yet
	return serve
}

// BenchmarkHandler measures the gateway in Caddy, from the server to the transport.
// BenchmarkReverseProxyStaticHeader and BenchmarkBareProxy measure what other proxies in
// Caddy cost that set a constant.
func BenchmarkHandler(b *testing.B) {
	app := benchApp(b, newBenchIssuer(b))
	server := runBench(b, benchConfig(b, app, benchHandler("http://127.0.0.1:1")))
	benchServe(b, server, http.MethodGet, 0)
}

// BenchmarkReverseProxyStaticHeader measures the floor for BenchmarkHandler.
func BenchmarkReverseProxyStaticHeader(b *testing.B) {
	app := benchApp(b, newBenchIssuer(b))
	server := runBench(b, benchConfig(b, app, floorHandler()))
	benchServe(b, server, http.MethodGet, 0)
}

// BenchmarkBareProxy measures the least for BenchmarkHandler.
func BenchmarkBareProxy(b *testing.B) {
	app := benchApp(b, newBenchIssuer(b))
	server := runBench(b, benchConfig(b, app, object{"handler": "bench_bare"}))
	benchServe(b, server, http.MethodGet, 0)
}

// A call through the gateway makes few allocations that a bare proxy does not make.
func TestHandlerAllocations(t *testing.T) {
	allocs := make(map[string]float64)
	for name, handler := range map[string]object{"gateway": benchHandler("http://127.0.0.1:1"), "bare": {"handler": "bench_bare"}} {
		t.Run(name, func(t *testing.T) {
			server := runBench(t, benchConfig(t, benchApp(t, newBenchIssuer(t)), handler))
			allocs[name] = testing.AllocsPerRun(1000, serving(t, server, http.MethodGet, 0))
		})
	}
	if allocs["gateway"] > allocs["bare"]+12 {
		t.Errorf("allocations of a call: %v", allocs)
	}
}
