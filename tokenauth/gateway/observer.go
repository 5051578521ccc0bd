package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// A Reason is why a call was sent again.
type Reason string

// The reasons for sending a call again.
const (
	// ReasonRejected: its token was refused, and there is another one.
	ReasonRejected Reason = "rejected"
	// ReasonNonce: the server wanted its nonce in the proof (RFC 9449 section 9).
	ReasonNonce Reason = "dpop_nonce"
	// ReasonUnprocessed: the server promised that it has not processed the call (RFC
	// 9113 sections 6.8 and 8.7), or the call is safe and its connection or stream
	// ended.
	ReasonUnprocessed Reason = "unprocessed"
	// ReasonProxy: the user of the Transport, such as a proxy, tries a safe call again
	// that the server may have received.
	ReasonProxy Reason = "retry"
)

// An Observer is told about the calls of a Transport, with the group of each call. Its
// methods are called while the call waits, and concurrently.
type Observer interface {
	// Served is called once for each call, when it has its first token. The state is StateFresh or StateStale
	// if the token came from memory, and StateNone if the call had to wait for it.
	Served(group string, state tokenauth.State)

	// Waited is called when a call has waited for a token since start. The error says
	// why there is no token; nil if there is one.
	Waited(ctx context.Context, group string, start time.Time, err error)

	// Rejected is called when a response with the given status refuses the token of a
	// call.
	Rejected(group string, status int)

	// Retried is called before a call is sent again.
	Retried(group string, reason Reason)
}

// rejected reports whether res refuses the token of call. If so, it tells the observer.
func (t *Transport) rejected(call *Call, res *http.Response) bool {
	rejected := call.rejected(res)
	if rejected && t.Observer != nil {
		t.Observer.Rejected(call.Group, res.StatusCode)
	}
	return rejected
}

// retrying tells the observer that call is about to be sent again.
func (t *Transport) retrying(call *Call, reason Reason) {
	if t.Observer != nil {
		t.Observer.Retried(call.Group, reason)
	}
}
