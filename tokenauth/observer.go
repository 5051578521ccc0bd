package tokenauth

import (
	"context"
	"net/http"
	"time"
)

// A Repeat is why a call was sent again.
type Repeat string

// The reasons for sending a call again.
const (
	// RepeatRejected: its token was refused, and there is another one.
	RepeatRejected Repeat = "rejected"
	// RepeatNonce: the server wants its nonce in the proof (RFC 9449 section 9).
	RepeatNonce Repeat = "dpop_nonce"
	// RepeatUnprocessed: the server promises not to have processed it (RFC 9113
	// sections 6.8 and 8.7).
	RepeatUnprocessed Repeat = "unprocessed"
	// RepeatRetry: whoever uses the Transport tries again a call that may have
	// been received.
	RepeatRetry Repeat = "retry"
)

// An Observer is told what becomes of the calls of a Transport, by the group of
// each. Its methods are called while the call waits, and concurrently.
type Observer interface {
	// Served: a call has its token. The state is StateFresh or StateStale if it
	// came from memory, StateNone if the call had to wait for it.
	Served(group string, state State)

	// Waited: a call has waited for a token since start. The error is why there
	// is none.
	Waited(ctx context.Context, group string, start time.Time, err error)

	// Rejected: the answer, of the given status, refuses the token of a call.
	Rejected(group string, status int)

	// Repeated: a call is sent again.
	Repeated(group string, reason Repeat)
}

// rejected tells the observer that res refuses the token of call, if it does.
func (t *Transport) rejected(call *Call, res *http.Response) bool {
	rejected := call.rejected(res)
	if rejected && t.Observer != nil {
		t.Observer.Rejected(call.Group, res.StatusCode)
	}
	return rejected
}

// repeating tells the observer that call is about to be sent again.
func (t *Transport) repeating(call *Call, reason Repeat) {
	if t.Observer != nil {
		t.Observer.Repeated(call.Group, reason)
	}
}
