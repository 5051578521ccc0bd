package caddyesign

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/upload"
)

// drainers drain request bodies in the whole process. Callers that were not admitted
// have a drainer of their own, so that they take no places from the others.
type drainers struct {
	callers, strangers *upload.Drainer
}

// strangerPlaces is how many bodies of callers that were not admitted are drained at a
// time.
const strangerPlaces = 64

// newDrainers returns drainers with their defaults.
func newDrainers() drainers {
	return drainers{callers: new(upload.Drainer), strangers: &upload.Drainer{Places: strangerPlaces}}
}

// A requestBody is the body of a request to a site that has a gateway.
type requestBody struct {
	*upload.Body
	own atomic.Pointer[Transport] // the transport of the operator's own reverse_proxy that the call has come to
}

// bodyVar is the request variable that holds the requestBody. It is needed because
// handlers such as request_body wrap the body in their own readers.
const bodyVar = "bankid_esign.body"

// bodyFrom returns the body of the request that ctx belongs to, or nil if wrapBody put
// none there.
func bodyFrom(ctx context.Context) *requestBody {
	body, _ := caddyhttp.GetVar(ctx, bodyVar).(*requestBody)
	return body
}

// wrapBody replaces the body of r by one that can be drained, unless it has been
// replaced already. It returns that body, or nil if r has none.
func wrapBody(r *http.Request) *requestBody {
	if body := bodyFrom(r.Context()); body != nil {
		return body
	}
	wrapped := upload.Wrap(r)
	if wrapped == nil {
		return nil
	}
	body := &requestBody{Body: wrapped}
	caddyhttp.SetVar(r.Context(), bodyVar, body)
	return body
}

// settle deals with the body of r, a request that was refused with err. routes says
// whether error routes handle r. b may be nil.
func (b *requestBody) settle(w http.ResponseWriter, r *http.Request, err error, routes bool, drainer *upload.Drainer) {
	switch {
	case b == nil || r.Context().Err() != nil:
	case routes:
		b.HandOver(w, r, drainer, b.fromOwn(r))
	default:
		b.Refuse(w, errorStatus(err), drainer)
	}
}

// fromOwn returns a function that returns the body of r from the memory of the
// transport of the operator's own reverse_proxy. It returns nil if the call has come to
// no such transport.
func (b *requestBody) fromOwn(r *http.Request) func() io.ReadCloser {
	own := b.own.Load()
	if own == nil {
		return nil
	}
	return func() io.ReadCloser { return own.bodyInMemory(r, b) }
}
