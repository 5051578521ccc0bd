// Command barecaddy is Caddy with the directive `bare <url> <authorization>`: the reverse
// proxy of net/http/httputil, with a constant Authorization. It is the least that a
// handler in Caddy can cost that is still a proxy.
package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/esigngateway/caddy-bankid-esign/caddy" // so that the program is as large as the gateway's
)

func main() {
	caddy.RegisterModule(new(bare))
	httpcaddyfile.RegisterHandlerDirective("bare", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		b := new(bare)
		h.Next()
		if !h.Args(&b.Upstream, &b.Authorization) {
			return nil, h.ArgErr()
		}
		return b, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("bare", httpcaddyfile.Before, "reverse_proxy")
	caddycmd.Main()
}

// bare is the handler.
type bare struct {
	Upstream      string `json:"upstream"`
	Authorization string `json:"authorization"`

	proxy httputil.ReverseProxy
}

// CaddyModule returns the Caddy module information.
func (*bare) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bare", New: func() caddy.Module { return new(bare) }}
}

// Provision implements caddy.Provisioner.
func (b *bare) Provision(caddy.Context) error {
	target, err := url.Parse(b.Upstream)
	if err != nil {
		return err
	}
	// As many idle connections as Caddy keeps; by default it is two.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.DisableCompression = 32, true
	authorization := []string{b.Authorization}
	b.proxy = httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, target.Host
			r.Out.Header["Authorization"] = authorization
		},
		Transport: transport, BufferPool: new(buffers),
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	b.proxy.ServeHTTP(w, r)
	return nil
}

// buffers is a pool of buffers that are as large as Caddy's.
type buffers struct{ sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if buffer, ok := b.Pool.Get().(*[32 << 10]byte); ok {
		return buffer[:]
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.Pool.Put((*[32 << 10]byte)(buffer)) }
