package gateway

import (
	"io"
	"net/http"
	"net/textproto"
	"sync/atomic"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// An Exchange records what has become of one call so far. A proxy may try a call again
// through the same Transport, and the Transport knows from the Exchange what was sent
// before. The zero value is a call that was not sent yet. An Exchange is for one call,
// and is not safe for concurrent use. It holds the body until the response comes, or
// until the context of the first request ends. So that context must be the context of
// the whole call, not of one try.
type Exchange struct {
	// Call is the row of the table. Transport.Try looks it up; Transport.Ready needs it.
	Call *Call

	// Interim is told about interim responses (1xx), but for 101. It may be called after
	// Try has returned. Default: the httptrace.ClientTrace of the context is told.
	Interim func(code int, header textproto.MIMEHeader) error

	token    *tokenauth.Token // obtained for this call, before it was first sent
	prepared bool             // the body has been looked at
	broken   error            // why it could not be read
	held     *heldBody        // the body, if it can be sent again
	rest     io.Reader        // the body, if it cannot
	stream   *streamedBody    // what rest is sent by

	nonce      string // from the last response to the call, for its next proof
	expecting  bool   // the body was announced by "Expect: 100-continue"
	unexpected bool   // the server does not support that (RFC 9110 section 10.1.1)

	secrets sentSecrets

	sent     bool  // the server may have seen the call
	answered bool  // the response has come, and the body is not held any more
	err      error // of the last send
}

// prepare looks at the body of req once. It holds the body if that is at most limit bytes
// long and the budget allows it. Otherwise the body will be streamed.
func (x *Exchange) prepare(req *http.Request, limit int64, budget *Budget) error {
	if err := x.hold(req, limit, budget); err != nil || x.prepared {
		return err
	}
	x.prepared = true
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	x.rest = req.Body
	if limit <= 0 || req.ContentLength > 0 {
		return nil
	}
	held := &heldBody{budget: budget}
	whole, err := held.fillUpTo(req.Body, limit)
	if err != nil {
		held.abandon()
		x.broken = err
		return err
	}
	held.holdUntil(req.Context())
	if whole {
		x.held, x.rest = held, nil
		return nil
	}
	x.rest = io.MultiReader(held.reader(), req.Body)
	held.answer() // the part that was read is sent only once
	return nil
}

// hold is prepare for a body of known length that is at most limit bytes long and that
// the budget allows. It does nothing for another body.
func (x *Exchange) hold(req *http.Request, limit int64, budget *Budget) error {
	// In net/http, a body with a length of 0 has an unknown length.
	if x.prepared || req.Body == nil || req.ContentLength <= 0 || req.ContentLength > limit || !budget.reserve(req.ContentLength) {
		return x.broken
	}
	x.prepared = true
	held := &heldBody{budget: budget}
	if err := held.fill(req.Body, req.ContentLength); err != nil {
		held.abandon()
		x.broken = err
		return err
	}
	// The request outlives a send that failed, since the proxy may try again.
	held.holdUntil(req.Context())
	x.held = held
	return nil
}

// empty reports whether the call has no body, or an empty one.
func (x *Exchange) empty() bool { return x.rest == nil && (x.held == nil || x.held.length == 0) }

// retryable reports whether the call can be sent again with its whole body.
func (x *Exchange) retryable() bool { return x.rest == nil && !x.answered }

// whole reports whether the call, which has been sent, can be sent again with its whole
// body: the body is held, or nobody has read from it. If it returns true, the first
// sending cannot read from the body any more.
func (x *Exchange) whole() bool {
	return x.retryable() || (!x.answered && x.stream != nil && x.stream.reclaim())
}

// done is called when the call was answered. It releases the body.
func (x *Exchange) done() {
	if x.held != nil {
		x.held.answer()
		x.held, x.answered = nil, true
	}
}

// fail is called when the call has failed. It releases the body, which cannot be sent any
// more.
func (x *Exchange) fail() {
	if x.held != nil {
		x.held.abandon()
	}
}

// streamedBody is a body that can be read once. Close does nothing until somebody has read
// from it, since the call may be tried again if there was no connection.
type streamedBody struct {
	io.Reader
	body   io.Closer
	state  atomic.Int32 // untouched, touched or reclaimed
	closed atomic.Bool
	final  atomic.Bool // the call will not be tried again
	broken atomic.Pointer[error]
}

// States of a streamedBody.
const (
	untouched = iota
	touched
	reclaimed // another streamedBody sends it
)

// reclaim takes the body back. It returns false if somebody has read from it.
func (b *streamedBody) reclaim() bool { return b.state.CompareAndSwap(untouched, reclaimed) }

// Read implements io.Reader.
func (b *streamedBody) Read(p []byte) (int, error) {
	if !b.state.CompareAndSwap(untouched, touched) && b.state.Load() == reclaimed {
		return 0, errReleased
	}
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF && !b.closed.Load() { // after Close, it is not the caller's error
		b.broken.Store(&err)
	}
	return n, err
}

// failure returns why the body could not be read to its end, nil if it could.
func (b *streamedBody) failure() error {
	if err := b.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// Close implements io.Closer.
func (b *streamedBody) Close() error {
	b.closed.Store(true)
	if b.state.Load() != touched && !b.final.Load() {
		return nil
	}
	return b.body.Close()
}

// end says that the call will not be tried again. It closes the body if a Close before
// did nothing.
func (b *streamedBody) end() {
	b.final.Store(true)
	if b.closed.Load() {
		_ = b.body.Close()
	}
}

// emptyBody is an empty request body. Like a heldReader, it hides from net/http that it
// could be sent again.
type emptyBody struct{}

// Read implements io.Reader.
func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }

// Close implements io.Closer.
func (emptyBody) Close() error { return nil }
