package tokenauth

import (
	"context"
	"errors"
	"io"
	"sync"
)

// errReleased ends the reading of a body that is no longer held.
var errReleased = errors.New("the request body is no longer held")

// A heldBody is a request body in memory, from where it can be sent again. The
// memory is used for other bodies later, while a sender may still be reading
// when the answer is there: so it is read under a lock, and only copied.
type heldBody struct {
	length int64

	mu       sync.Mutex
	chunks   [][]byte
	released func()      // gives them back
	last     *heldReader // the last that was made, unless it is closed
	answered bool        // there will be no other
}

// reader returns what sends the body from its beginning. Those before it read no
// further.
func (b *heldBody) reader() *heldReader {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = &heldReader{body: b, rest: b.chunks}
	return b.last
}

// answer says that the body will not be sent again. A sending that has not come
// to its end goes on.
func (b *heldBody) answer() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answered = true
	b.settle()
}

// holdUntil has released called when the memory is no longer needed, which is
// when ctx is done, at the latest.
func (b *heldBody) holdUntil(ctx context.Context, released func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stop := context.AfterFunc(ctx, b.abandon)
	b.released = func() {
		stop()
		released()
	}
}

// settle releases the body when nobody will read it.
func (b *heldBody) settle() {
	if b.answered && (b.last == nil || len(b.last.rest) == 0) {
		b.release()
	}
}

// release lets go of the body.
func (b *heldBody) release() {
	if b.released != nil {
		b.released()
		b.released, b.chunks, b.last = nil, nil, nil
	}
}

// abandon lets go of the body, and ends its sending.
func (b *heldBody) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release()
}

// A heldReader is a heldBody that is being sent. Unlike bytes.Reader, net/http
// does not know it, and so not that it could be read from its beginning again,
// or that there is none. Otherwise it repeats the request on its own account
// when a connection breaks.
type heldReader struct {
	body   *heldBody
	rest   [][]byte // chunks that have not been read
	offset int      // in the first of them
}

// Read implements io.Reader.
func (r *heldReader) Read(p []byte) (int, error) {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	switch {
	case len(r.rest) == 0:
		return 0, io.EOF
	case r != r.body.last:
		return 0, errReleased
	}
	n := 0
	for n < len(p) && len(r.rest) > 0 { // HTTP/2 makes a frame of what it gets
		copied := copy(p[n:], r.rest[0][r.offset:])
		n += copied
		if r.offset += copied; r.offset == len(r.rest[0]) {
			r.rest, r.offset = r.rest[1:], 0
		}
	}
	r.body.settle()
	return n, nil
}

// Close implements io.Closer.
func (r *heldReader) Close() error {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	if r == r.body.last {
		r.body.last = nil
		r.body.settle()
	}
	return nil
}
