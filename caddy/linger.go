package caddyesign

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// lingerTime is how long a caller is heard to the end of a body that nobody has
// use for.
const lingerTime = 30 * time.Second

// A lingeringBody is the body of a call, of which the rest can still be read
// when the call has been answered. A server that closes a connection on which
// the caller is still sending resets it, and the answer is lost with it: the
// caller would not learn why its upload ended. net/http waits a little in that
// case, but not where Caddy has put a reader of its own around the body.
type lingeringBody struct {
	io.ReadCloser

	ended atomic.Bool // there is nothing left to read

	mu    sync.Mutex // held while it is read
	begun bool       // somebody has read from it
	err   error      // what ended it
}

// lingering returns r with a body that can be read to its end later, and that
// body, nil if there is none.
func lingering(r *http.Request) (*lingeringBody, *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		return nil, r
	}
	body, out := &lingeringBody{ReadCloser: r.Body}, *r
	out.Body = body
	return body, &out
}

// errAnswered ends a body whose call has been answered, for whoever may still be
// sending it. It is not io.EOF: what was sent must not look like the whole.
var errAnswered = errors.New("the call has been answered")

// Read implements io.Reader.
func (b *lingeringBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	b.begun = true
	n, err := b.ReadCloser.Read(p)
	b.err = err
	b.ended.Store(err != nil)
	return n, err
}

// Close does nothing: the server closes the body when the request has ended.
func (*lingeringBody) Close() error { return nil }

// linger reads what is left of the body of r. If the answer has been written to
// w, the caller gets it before that.
func (b *lingeringBody) linger(w http.ResponseWriter, r *http.Request, written bool) {
	if b == nil || b.ended.Load() {
		return
	}
	control := http.NewResponseController(w)
	if written {
		_ = control.Flush()
	}
	// Before the lock, which somebody may hold who waits for the caller.
	if err := control.SetReadDeadline(time.Now().Add(lingerTime)); err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errAnswered
	}
	if b.begun || r.Header.Get("Expect") == "" { // else the caller waits to be asked for it
		_, _ = io.Copy(io.Discard, b.ReadCloser)
	}
	_ = control.SetReadDeadline(time.Time{})
}
