package tokenauth

import (
	"io"
	"net/http"
	"sync/atomic"
)

// A Delivery is what has become of one call so far. Proxies send a call again
// on their own account, through the same Transport; the Delivery is how it
// knows. The zero value is a call that was not sent yet. It is for one call,
// and not safe for concurrent use.
type Delivery struct {
	token    *Token    // obtained for this call, before it was first sent
	prepared bool      // the body has been looked at
	broken   error     // why it could not be read
	held     *heldBody // the body, if it can be sent again
	rest     io.Reader // the body, if it cannot

	sent bool  // the other side may have seen the call
	err  error // of the last send
}

// prepare looks at the body of req, once, and holds it if it is no longer than
// limit and there is budget for it. Otherwise it is left to be streamed.
func (d *Delivery) prepare(req *http.Request, limit int64, budget *Budget) error {
	if d.prepared {
		return d.broken
	}
	d.prepared = true
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	d.rest = req.Body
	if limit <= 0 {
		return nil
	}
	size := req.ContentLength
	if size < 0 {
		size = limit
	}
	if size > limit || !budget.reserve(size) {
		return nil
	}
	held := &heldBody{length: req.ContentLength}
	var err error
	if held.length >= 0 {
		held.chunks, err = budget.read(req.Body, size)
	} else {
		// One more byte than is allowed tells whether there are more.
		var body []byte
		body, err = io.ReadAll(io.LimitReader(req.Body, limit+1))
		if held.length = int64(len(body)); held.length > 0 {
			held.chunks = [][]byte{body}
		}
	}
	if err != nil {
		budget.release(size)
		d.broken = err
		return err
	}
	if held.length > limit {
		budget.release(size)
		d.rest = io.MultiReader(held.reader(), req.Body)
		return nil
	}
	d.held, d.rest = held, nil
	// The request outlives a send that failed, since the proxy may try again.
	held.holdUntil(req.Context(), func() {
		budget.recycle(held.chunks)
		budget.release(size)
	})
	return nil
}

// repeatable reports whether the call can be sent again as it was.
func (d *Delivery) repeatable() bool { return d.rest == nil }

// done lets go of the body: the call was answered.
func (d *Delivery) done() {
	if d.held != nil {
		d.held.answer()
		d.held, d.rest = nil, http.NoBody
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
	body io.Closer
	read atomic.Bool
}

// Read implements io.Reader.
func (b *streamedBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.Reader.Read(p)
}

// Close implements io.Closer.
func (b *streamedBody) Close() error {
	if !b.read.Load() {
		return nil
	}
	return b.body.Close()
}

// emptyBody is the body of a request that has none. As with heldReader, net/http
// does not know that.
type emptyBody struct{}

// Read implements io.Reader.
func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }

// Close implements io.Closer.
func (emptyBody) Close() error { return nil }
