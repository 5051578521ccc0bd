package caddyesign

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

func init() {
	caddy.RegisterModule(Transport{})
}

// These are the default time limits for the phases of a call. Caddy has a default for
// connecting.
const (
	defaultHandshakeTimeout = 10 * time.Second

	// This is how long to wait for the header of a response. Sealing and long-term
	// validation are done while the caller waits; BankID publishes no latency.
	defaultResponseHeaderTimeout = 3 * time.Minute

	// These are how long a body may stand still, in either direction.
	defaultReadTimeout  = time.Minute
	defaultWriteTimeout = time.Minute

	// This is how long to wait for 100 (Continue) before a body is sent without it.
	// Only bodies of calls with a proof wait, if they are too large to be retried.
	defaultExpectContinueTimeout = time.Second
)

// If nothing came from an HTTP/2 connection for pingAfter, it is sent a ping. If no
// response comes within pingTimeout, it is closed: a firewall may have forgotten it.
// The time is long because the response may wait behind a large body on a slow line.
const (
	pingAfter   = 3 * time.Second
	pingTimeout = 7 * time.Second
)

// Transport is Caddy's HTTP transport for a reverse proxy in front of BankID's eSign
// APIs. It puts on every call exactly the authorization that the call needs, on a copy
// of the request that nothing else in the server sees. If the token was refused, it
// retries the call where that is safe. Calls that its table does not name get 404.
//
// It does not check who the caller is: the handler `bankid_esign` does. So, unlike that
// handler, it cannot keep the only copy of a signed document for a caller that leaves
// during the download. Use the handler for downloads.
//
// If a body breaks off, or the response comes before its end, the rest of the body is
// read, and not taken for another call, as with that handler. To do so, the transport
// closes the body of a call itself, without the wrappers that other handlers have put
// around it. Refused uploads to any route of the site are treated like that.
//
// If it refuses a call, the response looks as if it came from the upstream, with
// `Proxy-Status` (RFC 9209), because a reverse proxy would take an error for a failure
// of the upstream. If there is no access token, it returns an error, which counts as
// such a failure.
//
// When it fails a request, it sets this placeholder:
//
// Placeholder | Description
// ------------|-------------
// `{http.bankid_esign.error}` | The proxy error type, as in RFC 9209
type Transport struct {
	// The HTTP transport that sends the calls. Its compression is off, since bodies
	// must pass unchanged. Each phase of a call has a limit by default: `dial_timeout`
	// is `3s`, `tls.handshake_timeout` is `10s`, `response_header_timeout` is `3m`, and
	// `write_timeout` and `read_timeout` are `1m`. The last two limit how long the body
	// of a request or a response may stand still, not how long it takes as a whole.
	// They do not limit the wait for the header.
	*reverseproxy.HTTPTransport

	// Which calls can be made, and with which client's tokens.
	Access

	// The origin of the APIs. Calls go there, and nowhere else. It must be `https`,
	// unless it is a loopback address. Default: the origin that the environment has.
	Upstream string `json:"upstream,omitempty"`

	core *gateway.Transport
	// ofHandler says that the transport belongs to a handler bankid_esign, which checks
	// the caller and counts refusals itself.
	ofHandler bool

	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Transport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.bankid_esign",
		New: func() caddy.Module { return &Transport{HTTPTransport: new(reverseproxy.HTTPTransport)} },
	}
}

// Provision sets up the transport.
func (t *Transport) Provision(ctx caddy.Context) error {
	t.logger = ctx.Logger()
	if err := t.Access.validate(); err != nil {
		return err
	}
	handler, short := handlerOf(ctx.Modules())
	t.ofHandler = handler != nil
	app, err := loadApp(ctx)
	if err != nil {
		return err
	}
	if !t.ofHandler {
		if err := guardBodies(ctx, app.drainers); err != nil {
			return err
		}
	}
	origin, err := t.origin(app)
	if err != nil {
		return err
	}
	var table *gateway.Table
	if t.ofHandler {
		table = handler.callTable()
	} else if table, err = t.table(); err != nil {
		return err
	}
	sources, err := t.sources(app)
	if err != nil {
		return err
	}
	var headers []string
	if !short {
		if headers, err = parentHeaders(ctx, origin); err != nil {
			return err
		}
	}
	limits, err := t.provisionHTTP(ctx, origin)
	if err != nil {
		return err
	}
	t.core = &gateway.Transport{
		Base:          t.HTTPTransport,
		Table:         table,
		Sources:       sources,
		Origin:        origin,
		Headers:       headers,
		RequestBuffer: t.RequestBuffer, // both have the same default
		Budget:        app.budget,
		Limits:        limits,
		Traits: gateway.BaseTraits{
			Cleartext:       origin.Scheme == "http" && slices.Contains(t.Versions, "h2c"),
			OnlyUnprocessed: true, // Caddy uses the HTTP/2 of golang.org/x/net/http2
		},
		Observer: newCallObserver(t.Client, t.APIs, t.logger),
		NotSent: func(err error) bool {
			_, ok := errors.AsType[reverseproxy.DialError](err)
			return ok
		},
	}
	return nil
}

// provisionHTTP provisions the HTTP transport, and returns the limits that it does not
// enforce itself.
func (t *Transport) provisionHTTP(ctx caddy.Context, origin *url.URL) (limits gateway.Limits, err error) {
	if err := checkTransport(t.HTTPTransport); err != nil {
		return limits, err
	}
	if origin.Scheme == "http" && (t.ForwardProxyURL != "" || t.NetworkProxyRaw != nil) {
		return limits, refused("network_proxy", refuseInsecure)
	}
	off := false
	t.Compression = &off
	if origin.Scheme == "https" && t.HTTPTransport.TLS == nil {
		t.HTTPTransport.TLS = new(reverseproxy.TLSConfig)
	}
	if origin.Scheme == "http" && t.HTTPTransport.TLS != nil {
		return limits, fmt.Errorf("TLS is configured, but the upstream is %s", origin)
	}
	limits = t.setLimits()
	if err := t.HTTPTransport.Provision(ctx); err != nil {
		return limits, err
	}
	transport := t.HTTPTransport.Transport
	transport.OnProxyConnectResponse = tokenauth.CheckEgressResponse
	transport.HTTP2 = &http.HTTP2Config{
		SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: limits.Write,
	}
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			limitNotSent(conn)
		}
		return conn, err
	}
	return limits, nil
}

// setLimits sets the limit of each phase, and returns the limits that Caddy does not
// enforce. Caddy would apply read_timeout and write_timeout to connections, where the
// wait for a header, and for the next call, counts as well.
func (t *Transport) setLimits() gateway.Limits {
	setDefault(&t.ResponseHeaderTimeout, defaultResponseHeaderTimeout)
	setDefault(&t.ExpectContinueTimeout, defaultExpectContinueTimeout)
	setDefault(&t.ReadTimeout, defaultReadTimeout)
	setDefault(&t.WriteTimeout, defaultWriteTimeout)
	if t.HTTPTransport.TLS != nil {
		setDefault(&t.HTTPTransport.TLS.HandshakeTimeout, defaultHandshakeTimeout)
	}
	connect := time.Duration(t.DialTimeout)
	if t.DialTimeout == 0 {
		connect = 3 * time.Second // Caddy's default
	}
	if t.HTTPTransport.TLS != nil {
		connect += time.Duration(t.HTTPTransport.TLS.HandshakeTimeout)
	}
	limits := gateway.Limits{
		Connect: 2 * connect, // through an egress proxy, there are two connections to make
		Write:   time.Duration(t.WriteTimeout),
		Header:  time.Duration(t.ResponseHeaderTimeout),
		Read:    time.Duration(t.ReadTimeout),
	}
	t.ReadTimeout, t.WriteTimeout = 0, 0
	return limits
}

// setDefault sets d to value if it is not set.
func setDefault(d *caddy.Duration, value time.Duration) {
	if *d <= 0 {
		*d = caddy.Duration(value)
	}
}

// A tableHandler is a handler bankid_esign.
type tableHandler interface{ callTable() *gateway.Table }

// handlerOf returns the handler bankid_esign that the transport at the end of a lineage
// belongs to, or nil if it belongs to another. short is whether it is the handler's
// short way, so that no reverse proxy stands between them.
func handlerOf(lineage []caddy.Module) (h tableHandler, short bool) {
	if len(lineage) >= 2 {
		if h, ok := lineage[len(lineage)-2].(tableHandler); ok {
			return h, true
		}
	}
	if len(lineage) >= 3 {
		h, _ = lineage[len(lineage)-3].(tableHandler)
	}
	return h, false
}

// origin returns the origin that calls go to.
func (t *Transport) origin(app *App) (*url.URL, error) {
	if t.Upstream != "" {
		u, err := resolveUpstream(t.Upstream)
		if err != nil {
			return nil, err
		}
		return u, app.checkOrigin(u)
	}
	var origin *url.URL
	for _, name := range t.APIs {
		next, err := app.origin(bankid.API(name))
		if err != nil {
			return nil, err
		}
		if origin != nil && *next != *origin {
			return nil, fmt.Errorf("the APIs %v are on different hosts: one transport can serve one of them", t.APIs)
		}
		origin = next
	}
	return origin, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.SetScheme(req)
	x := t.exchange(req)
	res, err := t.roundTrip(req, x)
	if err == nil {
		return res, nil
	}
	e, ok := errors.AsType[*gatewayError](err)
	if !ok {
		return nil, err
	}
	// The handler has waited for a token, but the token may have expired while the body
	// came. The API's host is not to blame.
	if e.status < http.StatusInternalServerError || (e.noToken && t.ofHandler) {
		x.refusal = e
		return t.respond(req, x, e), nil
	}
	if !t.ofHandler {
		setErrorPlaceholder(req, e.kind)
		x.count(req, t.Client, e.kind, err)
	}
	return nil, err
}

// roundTrip makes the call of x. Its errors are those of the gateway, and those of the
// HTTP transport as they are: Caddy looks at their types.
func (t *Transport) roundTrip(req *http.Request, x *exchange) (*http.Response, error) {
	if x.download != nil && x.download.Left() != nil {
		return nil, x.download.Left() // nothing is lost yet, and the caller can retry
	}
	if !t.ofHandler { // the handler has done this already
		if x.body != nil {
			x.body.KeepOpen()
		}
		if call := t.core.Table.Lookup(req); call != nil {
			if refusal := checkOwnBearer(call, req); refusal != nil {
				return nil, handlerError(refusal)
			}
		}
	}
	if !req.ProtoAtLeast(1, 1) { // req has the version of the caller's request
		x.Interim = dropInterim
	}
	res, err := t.core.Try(x.outgoing(req), &x.Exchange)
	if err != nil {
		if e := asGatewayError(err); e != nil {
			return nil, handlerError(e)
		}
		return nil, throughEgress(req.Context(), err)
	}
	x.status, x.unframed = res.StatusCode, unframed(res)
	logReference(t.logger, t.Client, res, x)
	return res, nil
}

// unframed reports whether the content of res ends with its connection (RFC 9112 section
// 6.3). If that breaks, the content seems to be at its end.
func unframed(res *http.Response) bool {
	return res.ProtoMajor == 1 && res.ContentLength < 0 && len(res.TransferEncoding) == 0
}

// dropInterim is the Interim of a call over HTTP/1.0. Its caller takes an interim response
// for the final one (RFC 9110 section 15.2), and net/http would send it.
func dropInterim(int, textproto.MIMEHeader) error { return nil }

// respond returns a response to req for e, as if it came from the upstream: the reverse
// proxy takes an error for a failure of the upstream. A handler makes an error of it
// again, if it can.
func (t *Transport) respond(req *http.Request, x *exchange, e *gatewayError) *http.Response {
	res := &http.Response{
		Status: http.StatusText(e.status), StatusCode: e.status, Request: req,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), Body: http.NoBody,
	}
	kind, err := finish(res.Header, req, defaultProxyName, handlerError(e))
	x.count(req, t.Client, kind, err)
	return res
}

// exchange returns the exchange of t for the call that r makes. Outside of a server, it
// returns a new one each time. Routes can change the path of a request that comes to t
// again. Then it makes another call, with another token.
func (t *Transport) exchange(r *http.Request) *exchange {
	call, newest := t.core.Table.Lookup(r), exchangeOf(r.Context())
	for x := newest; x != nil; x = x.previous {
		if x.core == t.core && x.Call == call {
			return x
		}
	}
	if newest.core != nil {
		newest = newest.next(r.Context())
	}
	newest.core, newest.ofHandler, newest.Call = t.core, t.ofHandler, call
	return newest
}

// Interface guards
var (
	_ caddy.Provisioner                      = (*Transport)(nil)
	_ caddy.CleanerUpper                     = (*Transport)(nil)
	_ http.RoundTripper                      = (*Transport)(nil)
	_ reverseproxy.TLSTransport              = (*Transport)(nil)
	_ reverseproxy.RequestHeaderOpsTransport = (*Transport)(nil)
)
