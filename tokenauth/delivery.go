package tokenauth

import (
	"bytes"
	"context"
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
	held     []byte    // the body, if it can be sent again
	rest     io.Reader // the body, if it cannot
	release  func()    // gives the memory of held back

	sent bool  // the other side may have seen the call
	err  error // of the last send
}

// prepare looks at the body of req, once, and holds it if it is no longer than
// limit and there is budget for it. Otherwise it is left to be streamed.
func (d *Delivery) prepare(req *http.Request, limit int64, budget *Budget) error {
	if d.prepared {
		return nil
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
	var body []byte
	var err error
	if req.ContentLength >= 0 {
		body = make([]byte, size)
		_, err = io.ReadFull(req.Body, body)
	} else {
		// One more byte than is allowed tells whether there are more.
		body, err = io.ReadAll(io.LimitReader(req.Body, limit+1))
	}
	if err != nil || int64(len(body)) > limit {
		budget.release(size)
		d.rest = io.MultiReader(bytes.NewReader(body), req.Body)
		return err
	}
	d.held, d.rest = body, nil
	// The request outlives a send that failed, since the proxy may try again.
	stop := context.AfterFunc(req.Context(), func() { budget.release(size) })
	d.release = func() {
		if stop() {
			budget.release(size)
		}
	}
	return nil
}

// repeatable reports whether the call can be sent again as it was.
func (d *Delivery) repeatable() bool { return d.rest == nil }

// done lets go of the body: the call was answered.
func (d *Delivery) done() {
	if d.release != nil {
		d.release()
		d.release, d.held, d.rest = nil, nil, http.NoBody
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

// sliceReader is a body in memory. Unlike bytes.Reader, net/http does not know
// it, and so not that it could be read from its beginning again, or that there
// is none. Otherwise it repeats the request on its own account when a connection
// breaks.
type sliceReader struct{ rest []byte }

// Read implements io.Reader.
func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (*sliceReader) Close() error { return nil }
