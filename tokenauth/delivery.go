package tokenauth

import (
	"io"
	"net/http"
	"sync/atomic"
)

// A Delivery is what has become of one call so far. Proxies send a call again
// on their own account, through the same Transport; the Delivery is how it
// knows. The zero value is a call that was not sent yet. It is for one call,
// and not safe for concurrent use. A body that it holds is let go of when the call
// is answered, or when the context of the request that it was first given ends:
// which must be that of the whole call, not of one try.
type Delivery struct {
	token    *Token        // obtained for this call, before it was first sent
	prepared bool          // the body has been looked at
	broken   error         // why it could not be read
	held     *heldBody     // the body, if it can be sent again
	rest     io.Reader     // the body, if it cannot
	stream   *streamedBody // what rest is sent by

	nonce      string // that the last response to the call gave, for its next proof
	expecting  bool   // the body was announced by "Expect: 100-continue"
	unexpected bool   // the server does not support that (RFC 9110 section 10.1.1)

	secrets sentSecrets

	sent     bool  // the other side may have seen the call
	answered bool  // it has answered, and the body is not held any more
	err      error // of the last send
}

// prepare looks at the body of req, once, and holds it if it is no longer than
// limit and there is budget for it. Otherwise it is left to be streamed.
func (d *Delivery) prepare(req *http.Request, limit int64, budget *Budget) error {
	if err := d.hold(req, limit, budget); err != nil || d.prepared {
		return err
	}
	d.prepared = true
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	d.rest = req.Body
	if limit <= 0 || req.ContentLength > 0 {
		return nil
	}
	held := &heldBody{budget: budget}
	whole, err := held.fillUpTo(req.Body, limit)
	if err != nil {
		held.abandon()
		d.broken = err
		return err
	}
	held.holdUntil(req.Context())
	if whole {
		d.held, d.rest = held, nil
		return nil
	}
	d.rest = io.MultiReader(held.reader(), req.Body)
	held.answer() // what was read is sent once
	return nil
}

// hold is prepare, for a body that is sure to be held: its length is known, and
// there is room for it. Of others it leaves everything as it is.
func (d *Delivery) hold(req *http.Request, limit int64, budget *Budget) error {
	// A body and a length of 0 say that the length is not known (net/http).
	if d.prepared || req.Body == nil || req.ContentLength <= 0 || req.ContentLength > limit || !budget.reserve(req.ContentLength) {
		return d.broken
	}
	d.prepared = true
	held := &heldBody{budget: budget}
	if err := held.fill(req.Body, req.ContentLength); err != nil {
		held.abandon()
		d.broken = err
		return err
	}
	// The request outlives a send that failed, since the proxy may try again.
	held.holdUntil(req.Context())
	d.held = held
	return nil
}

// empty reports whether the call has no body, or one of which nothing came.
func (d *Delivery) empty() bool { return d.rest == nil && (d.held == nil || d.held.length == 0) }

// repeatable reports whether the call can be sent again as it was.
func (d *Delivery) repeatable() bool { return d.rest == nil && !d.answered }

// whole reports whether the call can be sent again as it was, although it has been
// sent: its body is held, or was not touched. Then nobody reads what it was sent by.
func (d *Delivery) whole() bool {
	return d.repeatable() || (!d.answered && d.stream != nil && d.stream.reclaim())
}

// done lets go of the body: the call was answered.
func (d *Delivery) done() {
	if d.held != nil {
		d.held.answer()
		d.held, d.answered = nil, true
	}
}

// fail lets go of the body, which nobody may send any more.
func (d *Delivery) fail() {
	if d.held != nil {
		d.held.abandon()
	}
}

// streamedBody is a body that is read once. Its Close does nothing before that,
// since the call may be tried again if no connection could be made.
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
	reclaimed // it is sent by another one
)

// reclaim takes the body back, and reports false if somebody has read from it.
func (b *streamedBody) reclaim() bool { return b.state.CompareAndSwap(untouched, reclaimed) }

// Read implements io.Reader.
func (b *streamedBody) Read(p []byte) (int, error) {
	if !b.state.CompareAndSwap(untouched, touched) && b.state.Load() == reclaimed {
		return 0, errReleased
	}
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF && !b.closed.Load() { // else it is not the caller who ended it
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

// end makes up for the Close that did nothing.
func (b *streamedBody) end() {
	b.final.Store(true)
	if b.closed.Load() {
		_ = b.body.Close()
	}
}

// emptyBody is the body of a request that has none. As with heldReader, net/http
// does not know that.
type emptyBody struct{}

// Read implements io.Reader.
func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }

// Close implements io.Closer.
func (emptyBody) Close() error { return nil }
