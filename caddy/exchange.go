package caddyesign

import (
	"context"
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/upload"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// An exchange is what is known of one call while it is served, by the site before the
// gateway, the handler and the transport. A request has one, unless it comes to a second
// gateway, such as in error routes, or makes another call. Each of those has its own.
type exchange struct {
	gateway.Exchange

	core      *gateway.Transport // makes the call; nil before the request has come to one
	ofHandler bool               // whether core belongs to a handler bankid_esign

	body     *upload.Body       // of the request; nil if there is none
	download *download.Recorder // nil if the call ends with its caller
	transfer *transfer          // of the short way; nil on the other
	status   int                // of the API's last response; 0 if there is none
	unframed bool               // that response ends with its connection
	refusal  *gatewayError      // why the transport has not sent the call, although it responds
	counted  bool               // the metric has the error that ended the call
	settled  bool               // the body has been dealt with

	previous *exchange // of another gateway that the request has come to before
}

// exchangeVar is the request variable that holds the newest exchange of a request. It is
// not a value of the context, because Caddy gives error routes the context from before
// the gateway. Handlers such as request_body wrap the body, so the body is in it too.
const exchangeVar = "bankid_esign.exchange"

// exchangeOf returns the newest exchange of a request with the context ctx. If there is
// none, it returns a new one that is not kept.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := caddyhttp.GetVar(ctx, exchangeVar).(*exchange); ok {
		return x
	}
	return new(exchange)
}

// beginExchange returns the newest exchange of r. If there is none, it makes one, and
// replaces the body of r by one that can be drained.
func beginExchange(r *http.Request) *exchange {
	if x, ok := caddyhttp.GetVar(r.Context(), exchangeVar).(*exchange); ok {
		return x
	}
	x := &exchange{body: upload.Wrap(r)}
	caddyhttp.SetVar(r.Context(), exchangeVar, x)
	return x
}

// ofRefusal returns the exchange for a request with the context ctx that a gateway refuses
// before it knows the call: x, or a new one if x is of a call that has ended.
func (x *exchange) ofRefusal(ctx context.Context) *exchange {
	if x.settled {
		return x.next(ctx)
	}
	return x
}

// next returns a new exchange of the request with the context ctx, after x.
func (x *exchange) next(ctx context.Context) *exchange {
	next := &exchange{body: x.body, download: x.download, previous: x}
	caddyhttp.SetVar(ctx, exchangeVar, next)
	return next
}

// ready waits until the call can be made, which may need a token. The wait is before the
// reverse proxy, which would blame the API's host for a failure.
func (x *exchange) ready(r *http.Request) error {
	if err := x.core.Ready(r, &x.Exchange); err != nil {
		return waitError(err)
	}
	return nil
}

// outgoing returns req with its body in the form for a transport to send.
func (x *exchange) outgoing(req *http.Request) *http.Request {
	if x.body == nil || req.Body == nil || req.Body == http.NoBody {
		return req
	}
	out := *req
	out.Body = x.body.Outgoing(req.Body)
	return &out
}

// settle deals with the body of r, which has ended with err. errorRoutes is whether
// error routes handle r.
func (x *exchange) settle(w http.ResponseWriter, r *http.Request, err error, errorRoutes bool, drainer *upload.Drainer) {
	x.settled = true
	switch {
	case x.body == nil:
	case r.Context().Err() != nil: // the caller has left
		if x.core != nil {
			x.body.Drain(w, nil)
		}
	case !errorRoutes:
		x.body.Refuse(w, errorStatus(err), drainer)
	case x.core == nil:
		x.body.HandOver(w, r, drainer, nil)
	default:
		x.body.HandOver(w, r, drainer, func() io.ReadCloser {
			return x.core.Body(r, x.body.Begun(), &x.Exchange)
		})
	}
}

// count counts an error that has ended the call of r, once. If the error comes from a
// gateway in a response route, that gateway has counted it.
func (x *exchange) count(r *http.Request, client, kind string, err error) {
	for within := exchangeOf(r.Context()); within != nil && within != x; within = within.previous {
		x.counted = x.counted || within.counted
	}
	if !x.counted {
		x.counted = true
		countRefusal(client, kind, errorStatus(err))
	}
}
