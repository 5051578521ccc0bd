package caddyesign

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// If an error route makes the same call again, because its token had expired, the first
// refusal does not replace the response.
func TestSameCallAfterARefusal(t *testing.T) {
	row := gateway.Call{Method: "POST", Path: "/call", Group: "api", Kind: gateway.None}
	table := gateway.NewTable(row)
	transport := &Transport{core: &gateway.Transport{Table: table}, ofHandler: true}
	calls := 0
	proxy := caddyhttp.MiddlewareHandler(proxyFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			transport.exchange(r).refusal = &gatewayError{status: 503, kind: destinationUnavailable, message: "no access token", noToken: true}
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "response")
	}))
	h := &Handler{
		Callers: callersAny, table: table, drainers: newDrainers(), logger: zap.NewNop(),
		routes: map[string]*route{"api": {transport: transport, proxy: proxy}},
	}
	ctx := context.WithValue(t.Context(), caddyhttp.VarsCtxKey, make(map[string]any))
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewReplacer())
	r := httptest.NewRequestWithContext(ctx, row.Method, row.Path, strings.NewReader("body"))
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, r, nil); errorStatus(err) != 503 {
		t.Fatalf("the first call ends with %v", err)
	}
	if err := h.ServeHTTP(w, r, nil); err != nil || w.Body.String() != "response" {
		t.Errorf("the second call ends with %v, and the body %q", err, w.Body)
	}
}

// A proxyFunc is a proxy that a function does the work of.
type proxyFunc func(w http.ResponseWriter, r *http.Request)

func (f proxyFunc) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	f(w, r)
	return nil
}
