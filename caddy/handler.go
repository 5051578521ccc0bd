package caddyesign

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/archive"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/upload"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler is a gateway to BankID's eSign APIs. Applications call it as they
// would call BankID, with the same methods and paths, but without credentials.
// It decides whether the caller is admitted, waits for an access token if the call
// needs one, and proxies the call to the host of its API.
//
// The download of signed documents destroys BankID's copy. So a download continues
// when its caller leaves, and the gateway keeps the documents in memory for ten
// minutes: if the same caller asks for the same order again, it gets the same
// response. This requires that callers can be told apart. With `callers any`, it
// requires an authentication handler or a client certificate that identifies them.
// All responses that are kept take up 128 MiB at most; a download that does not fit
// ends with its caller.
//
// It is a terminal handler, like `reverse_proxy`. Its own errors carry a
// `Proxy-Status` response header field (RFC 9209); BankID's errors do not.
//
// When it fails a request, it sets this placeholder:
//
// Placeholder | Description
// ------------|-------------
// `{http.bankid_esign.error}` | The proxy error type, as in RFC 9209
type Handler struct {
	// Which calls can be made, and with which client's tokens.
	Access

	// Who may call: `authenticated` (an authentication handler has set
	// `{http.auth.user.id}`, or the connection has a verified client certificate),
	// `local` (programs on this machine that call without a proxy), or `any` (something
	// else decides). A user that the handlers `vars` or `map` name does not count. With
	// `authenticated`, it is an error if they name one in the same site, or in a place
	// that requests to the site may have passed through before. Requests that a browser
	// makes for another site are refused in any case. Default: `authenticated`.
	Callers string `json:"callers,omitempty"`

	// The origins of APIs, by API, if they differ from those of the environment.
	Upstreams map[string]string `json:"upstreams,omitempty"`

	// The reverse proxy that sends the calls, configured as in the `reverse_proxy`
	// handler, but without `upstreams`, and with `http` as the only `protocol` of the
	// transport. Options that could send a token elsewhere, or retry a call, are
	// refused. Default: the reverse proxy of Go's library, which is faster and looks the
	// same to callers and the API. It is also used if only `transport` is set, unless the
	// HTTP configuration mentions a placeholder `{http.reverse_proxy.*}` or has the
	// handler `templates`.
	ProxyRaw json.RawMessage `json:"proxy,omitempty"`

	table      *gateway.Table
	routes     map[string]*route // by API
	name       string            // in Proxy-Status
	downloads  *download.Store
	keep       time.Duration    // how long downloads are kept; 0 if they are not
	archive    *archive.Archive // has those that are stored, or were before a reload; nil if there is none
	stores     bool             // whether downloads are put there
	client     clientKey        // the client whose orders the calls are about
	identities *identities
	drainers   drainers
	logger     *zap.Logger

	subrouteErrors bool // whether a subroute around the handler has its own error routes
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.bankid_esign",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets up the handler. It does not use the network.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.subrouteErrors = slices.ContainsFunc(ctx.Modules(), func(m caddy.Module) bool {
		subroute, ok := m.(*caddyhttp.Subroute)
		return ok && subroute.Errors != nil
	})
	if err := h.validate(); err != nil {
		return err
	}
	app, err := loadApp(ctx)
	if err != nil {
		return err
	}
	if h.Callers == callersAny {
		if h.has(bankid.B2B) || slices.Contains(h.Scopes, bankid.ScopeNNIN) {
			h.logger.Warn("callers are not checked here, and can seal in the name of the organisation or obtain national identity numbers; make sure that something else checks them",
				zap.Strings("apis", h.APIs))
		}
	}
	if h.table, err = h.Access.table(); err != nil {
		return err
	}
	byOrigin := make(map[string][]string)
	for _, name := range h.APIs {
		origin, err := h.origin(app, bankid.API(name))
		if err != nil {
			return err
		}
		byOrigin[origin] = append(byOrigin[origin], name)
	}
	h.routes = make(map[string]*route, len(h.APIs))
	for origin, apis := range byOrigin {
		r, err := h.provisionRoute(ctx, app, origin, apis)
		if err != nil {
			return err
		}
		for _, name := range apis {
			h.routes[name] = r
		}
		h.name = r.name
	}
	if h.name == "" {
		h.name = defaultProxyName
	}
	client, err := app.client(h.Client)
	if err != nil {
		return err
	}
	h.downloads, h.client = app.downloads.Store, clientKey{app.env.Issuer, client.ClientID}
	if app.Downloads.mode() != downloadsOff {
		h.keep = app.Downloads.keep()
		if h.Callers == callersAny && !app.tellsApart && (h.has(bankid.SignDoc) || h.has(bankid.Timestamp)) {
			h.logger.Warn("downloads are not kept, since callers cannot be told apart: use 'callers authenticated' with an authentication handler or client certificates, or write 'downloads off'")
		}
	}
	h.identities = &identities{machine: machineIdentity()}
	h.stores = app.Downloads.mode() == downloadsStorage
	if h.archive, err = app.archive(h.Client, client); err != nil {
		return err
	}
	h.drainers = app.drainers
	return standBefore(ctx, h.name, h.drainers)
}

// callTable returns the calls that can be made. The transport of the handler has the
// same table.
func (h *Handler) callTable() *gateway.Table { return h.table }

// validate returns an error for a fault that can be found without the app.
func (h *Handler) validate() error {
	if err := h.Access.validate(); err != nil {
		return err
	}
	if err := checkCallers(h.Callers); err != nil {
		return err
	}
	for name := range h.Upstreams {
		if !slices.Contains(h.APIs, name) {
			return fmt.Errorf("upstream of '%s': that API is not among those of this directive", name)
		}
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	x := beginExchange(r)
	if x.body != nil {
		x.body.KeepOpen()
	}
	if err := h.admitted(r); err != nil {
		return h.finish(w, r, x.ofRefusal(r.Context()), err, h.drainers.strangers)
	}
	call, err := h.lookUp(r)
	if err != nil {
		return h.finish(w, r, x.ofRefusal(r.Context()), err, h.drainers.callers)
	}
	x = h.routes[call.Group].transport.exchange(r)
	x.refusal = nil // of the same call before
	if x.body == nil {
		err = h.serve(w, r, x, next)
	} else {
		early := &upload.EarlyResponse{
			ResponseWriter: w, Body: x.body, Drainer: h.drainers.callers,
		}
		if _, short := h.routes[call.Group].proxy.(*direct); !short { // that returns refusals as errors
			early.Discard = func() bool { return x.refusal != nil }
		}
		err = early.Serve(func(w http.ResponseWriter) error { return h.serve(w, r, x, next) })
		if x.refusal != nil {
			err = handlerError(x.refusal)
		}
	}
	if err == nil {
		return nil
	}
	return h.finish(w, r, x, err, h.drainers.callers)
}

// serve makes the call.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, x *exchange, next caddyhttp.Handler) error {
	noGuesses(w.Header(), r)
	if x.Call.Download {
		return h.serveDownload(w, r, x, next)
	}
	return h.forward(w, r, x, next)
}

// noGuesses has the server of r not add fields to a response that the API does not send.
// net/http guesses a Content-Type, and not always, and quic-go 0.63.0 sends a length of 0 with
// 204, with 304 and to HEAD.
func noGuesses(header http.Header, r *http.Request) {
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil
	}
	if _, ok := header["Content-Length"]; !ok && r.ProtoMajor == 3 {
		header["Content-Length"] = nil
	}
}

// finish ends r with err, and returns the error for error routes.
func (h *Handler) finish(w http.ResponseWriter, r *http.Request, x *exchange, err error, drainer *upload.Drainer) error {
	header := w.Header()
	for _, name := range []string{"Content-Type", "Content-Length"} {
		if len(header[name]) == 0 {
			delete(header, name) // see noGuesses; error routes may need them
		}
	}
	kind, err := finish(header, r, h.name, err)
	x.count(r, h.Client, kind, err)
	x.settle(w, r, err, h.subrouteErrors || hasErrorRoutes(r), drainer)
	return err
}

// admitted returns an error if the caller may not make r, and nil if it may.
func (h *Handler) admitted(r *http.Request) error {
	if refusal := admit(r, h.Callers); refusal != nil {
		if r.TLS != nil && !r.TLS.HandshakeComplete {
			// A client certificate counts only after the handshake (RFC 8470).
			return handlerError(&gatewayError{
				status: http.StatusTooEarly, kind: requestDenied,
				message: "the caller is not authenticated yet, in TLS early data",
			})
		}
		if c := h.logger.Check(zapcore.WarnLevel, "caller refused"); c != nil {
			c.Write(
				zap.String("remote", r.RemoteAddr),
				zap.String("host", r.Host),
				zap.String("method", r.Method),
				zap.String("path", r.URL.Path),
				zap.String("reason", refusal.message),
				zap.String("advice", refusal.advice),
			)
		}
		return handlerError(refusal.gatewayError())
	}
	return nil
}

// hint explains why the table has no call for r. It returns "" if it cannot.
func (h *Handler) hint(r *http.Request) string {
	apis := make([]bankid.API, 0, len(h.APIs))
	for _, name := range h.APIs {
		apis = append(apis, bankid.API(name))
	}
	return bankid.Hint(r.Method, r.URL.EscapedPath(), apis...)
}

// lookUp returns the call that r makes, or an error if r must not be made.
func (h *Handler) lookUp(r *http.Request) (*gateway.Call, error) {
	call := h.table.Lookup(r)
	if call == nil {
		refusal := asGatewayError(gateway.NoCall(r))
		if hint := h.hint(r); hint != "" {
			refusal.message = hint
		}
		return nil, handlerError(refusal)
	}
	if err := call.Check(r); err != nil {
		return nil, handlerError(asGatewayError(err))
	}
	if refusal := checkOwnBearer(call, r); refusal != nil {
		return nil, handlerError(refusal)
	}
	return call, nil
}

// forward makes the call. It ends with the context of r.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, x *exchange, next caddyhttp.Handler) error {
	if err := x.ready(r); err != nil {
		return err
	}
	return h.routes[x.Call.Group].proxy.ServeHTTP(w, leaving(r, x.Call), next)
}

// leaving returns r with only the header fields that may leave the gateway, and without
// its trailer. So a value that the operator adds to a field is not appended to a value of
// the caller, and Caddy's proxy does not send a body of known length in chunks. If all
// fields may leave, as with most callers, which are programs, it returns r itself.
func leaving(r *http.Request, call *gateway.Call) *http.Request {
	leaves := func(name string) bool {
		return gateway.Leaves(name) || (name == "Authorization" && call.Kind == gateway.Pass)
	}
	stays := len(r.Trailer) > 0
	for name := range r.Header {
		stays = stays || !leaves(name)
	}
	if !stays {
		return r
	}
	out := *r
	out.Trailer = nil
	out.Header = make(http.Header, len(r.Header))
	for name, values := range r.Header {
		if leaves(name) {
			out.Header[name] = values
		}
	}
	return &out
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
