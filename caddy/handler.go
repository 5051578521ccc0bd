package caddyesign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// defaultProxyName identifies the gateway in the Proxy-Status field.
const defaultProxyName = "bankid_esign"

// Handler is a gateway to BankID's eSign APIs. Applications call it as they
// would call BankID, with the same methods and paths, but without credentials.
// It decides whether the caller may, waits for an access token if the call
// needs one, and proxies the call to the host of its API.
//
// The download of signed documents destroys BankID's copy. So a download goes on
// when its caller leaves, and what it brought is kept in memory for ten minutes:
// if the same caller asks for the same order again, it gets the same answer.
// That is so where callers can be told apart: not with `callers any`, unless
// an authentication handler or a client certificate says who they are. All
// answers that are kept take up 128 MiB at most; a download that does not fit
// ends with its caller.
//
// It is a terminal handler, like `reverse_proxy`. Its own errors carry a
// `Proxy-Status` response header field (RFC 9209), which those of BankID do not.
//
// When it fails a request, it sets this placeholder:
//
// Placeholder | Description
// ------------|-------------
// `{http.bankid_esign.error}` | The proxy error type, as in RFC 9209
type Handler struct {
	// Which calls can be made, and in whose name.
	Access

	// Who may call: `authenticated` (an authentication handler has set
	// `{http.auth.user.id}`, or the connection has a verified client
	// certificate), `local` (programs on this machine, calling directly), or
	// `any` (something else decides). A user that the handlers `vars` or `map`
	// name does not count: with `authenticated`, it is an error if they do so in
	// the same site, or wherever requests to it may have been. Requests that a
	// browser makes for another site are refused in any case. Default:
	// `authenticated`.
	Callers string `json:"callers,omitempty"`

	// The origins of APIs that are not where the environment has them, by API.
	Upstreams map[string]string `json:"upstreams,omitempty"`

	// The reverse proxy that sends the calls, as in the `reverse_proxy` handler,
	// but without `upstreams`, and with a transport of no other `protocol` than
	// `http`. What could send a token elsewhere or a call twice is refused.
	ProxyRaw json.RawMessage `json:"proxy,omitempty"`

	table  *tokenauth.Table
	routes map[string]*route // by API
	name   string            // in Proxy-Status
	held   *heldAnswers
	orders clientKey // whose orders the calls are about
	logger *zap.Logger

	subrouteErrors bool // whether a subroute around it has error routes of its own
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
		r, err := h.provisionRoute(ctx, origin, apis)
		if err != nil {
			return err
		}
		for _, name := range apis {
			h.routes[name] = r
		}
		h.name = r.proxy.ProxyStatusName
	}
	if h.name == "" {
		h.name = defaultProxyName
	}
	client, err := app.client(h.Client)
	if err != nil {
		return err
	}
	h.held, h.orders = app.held, clientKey{app.env.Issuer, client.ClientID}
	return standBefore(ctx, h.name)
}

// validate reports what is wrong with what can be known without the app.
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
	body := linger(r)
	if body != nil {
		body.ours.Store(true)
	}
	if err := h.admitted(r); err != nil {
		return h.refuse(w, r, err, body, strangerPlaces)
	}
	call, err := h.lookUp(r)
	if err != nil {
		return h.refuse(w, r, err, body, callerPlaces)
	}
	if body == nil {
		return h.fail(w, r, h.serve(w, r, call, next))
	}
	answer, returned := &earlyAnswer{ResponseWriter: w, body: body, deals: func() bool { return true }}, false
	answer.refused = func() *gatewayError {
		refusal, _ := caddyhttp.GetVar(r.Context(), refusalVar).(*gatewayError)
		return refusal
	}
	defer func() {
		if !returned { // the proxy panics when an answer breaks off
			answer.breakOff()
		}
	}()
	err = h.serve(answer, r, call, next)
	returned = true
	switch {
	case answer.refusal != nil:
		_, err = h.mark(w, r, handlerError(answer.refusal)) // which the transport has counted
	case err == nil:
		answer.end()
		return nil
	default:
		err = h.fail(w, r, err)
	}
	answer.settle()
	switch transport := h.routes[call.Group].transport; {
	case r.Context().Err() != nil: // the caller has left
		body.hear(http.NewResponseController(w), nil)
	case h.hasErrorRoutes(r):
		body.keepFor(w, r, callerPlaces, func() io.ReadCloser {
			return transport.core.Body(r, body.begun.Load(), transport.delivery(r.Context()))
		})
	default:
		body.refuse(w, errorStatus(err), callerPlaces)
	}
	return err
}

// refuse prepares for the answer to r, which nobody has dealt with and err is the
// reason for, and returns err.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error, body *lingeringBody, places chan struct{}) error {
	err = h.fail(w, r, err)
	body.settle(w, r, err, h.hasErrorRoutes(r), places)
	return err
}

// serve makes a call.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, call *tokenauth.Call, next caddyhttp.Handler) error {
	if call.OneShot {
		return h.serveOneShot(w, r, call, next)
	}
	return h.forward(w, r, call, next)
}

// hasErrorRoutes reports whether routes answer r when it has failed.
func (h *Handler) hasErrorRoutes(r *http.Request) bool {
	return h.subrouteErrors || hasErrorRoutes(r)
}

// fail prepares for the answer to r that err is, if it is one, and returns err with
// the status that fits: to Caddy, a connection that cannot be made in time is no
// timeout.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) error {
	if err == nil {
		return nil
	}
	kind, err := h.mark(w, r, err)
	countRefusal(h.Client, kind, errorStatus(err))
	return err
}

// mark is fail without counting. It also returns the proxy error type.
func (h *Handler) mark(w http.ResponseWriter, r *http.Request, err error) (kind string, marked error) {
	kind = setErrorHeader(w.Header(), h.name, err)
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok && (kind == connectionTimeout || kind == dnsTimeout) {
		handlerErr.StatusCode = http.StatusGatewayTimeout
		err = handlerErr
	}
	setErrorPlaceholder(r, kind)
	return kind, err
}

// admitted returns nil, or why the caller of r may make no calls.
func (h *Handler) admitted(r *http.Request) error {
	if refusal := h.admit(r); refusal != nil {
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

// lookUp returns the call that r makes, or why it must not.
func (h *Handler) lookUp(r *http.Request) (*tokenauth.Call, error) {
	call := h.table.Lookup(r)
	if call == nil {
		refusal := asGatewayError(tokenauth.NoCall(r))
		if hint := bankid.Hint(r.Method, r.URL.EscapedPath()); hint != "" {
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

// forward makes a call, for as long as the context of r allows.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, call *tokenauth.Call, next caddyhttp.Handler) error {
	if err := h.ready(r, call); err != nil {
		return err
	}
	return h.routes[call.Group].proxy.ServeHTTP(w, h.leaving(r, call), next)
}

// ready waits until the call can be made.
func (h *Handler) ready(r *http.Request, call *tokenauth.Call) error {
	transport := h.routes[call.Group].transport
	// Waiting is done here rather than in the transport, where a reverse proxy
	// would take a failure for one of the API's host.
	if err := transport.core.Ready(r, call, transport.delivery(r.Context())); err != nil {
		return waitError(err)
	}
	return nil
}

// leaving returns r with only those header fields that may leave, so that what
// the operator adds to a field is added to nothing of the caller's. Most callers
// are programs whose fields all may; then it is r itself.
func (h *Handler) leaving(r *http.Request, call *tokenauth.Call) *http.Request {
	leaves := func(name string) bool {
		return tokenauth.Leaves(name) || (name == "Authorization" && call.Kind == tokenauth.Pass)
	}
	stays := false
	for name := range r.Header {
		stays = stays || !leaves(name)
	}
	if !stays {
		return r
	}
	out := *r
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
