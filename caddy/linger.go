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
	alone   bool // on its connection, as with HTTP/1
	expects bool // the caller waits to be asked for it

	begun atomic.Bool // somebody has read from it
	ended atomic.Bool // there is nothing left to read

	mu  sync.Mutex // held while it is read
	err error      // what ended it
}

// lingering returns r with a body that can be read to its end later, and that
// body, nil if there is none.
func lingering(r *http.Request) (*lingeringBody, *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, r
	}
	body, out := &lingeringBody{ReadCloser: r.Body, alone: r.ProtoMajor == 1, expects: r.Header.Get("Expect") != ""}, *r
	out.Body = body
	return body, &out
}

// errAnswered ends a body whose call has been answered, for whoever may still be
// sending it. It is not io.EOF: what was sent must not look like the whole.
var errAnswered = errors.New("the call has been answered")

// Read implements io.Reader.
func (b *lingeringBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p)
	b.err = err
	b.ended.Store(err != nil)
	return n, err
}

// Close does nothing: the server closes the body when the request has ended.
func (*lingeringBody) Close() error { return nil }

// linger reads what is left of the body when the call has been answered. The
// caller gets the answer before that.
func (b *lingeringBody) linger(w http.ResponseWriter) {
	if b == nil || !b.alone || b.ended.Load() {
		return
	}
	if !b.discard(http.NewResponseController(w), true) {
		// net/http may take what comes after that for the next request.
		panic(http.ErrAbortHandler)
	}
}

// outlive sees to the body of r when the call has failed with err, with which
// Caddy answers, by error routes or without. Error routes get the body if keep can
// take it into memory, or one that fails: they may send it elsewhere, where what is
// left of it would look like the whole. Without them, the caller gets the status
// before it is heard to the end.
func (b *lingeringBody) outlive(err error, routes bool, w http.ResponseWriter, r *http.Request, keep func() io.ReadCloser) {
	control := http.NewResponseController(w)
	if routes && (b.begun.Load() || !b.expects) && control.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		body := keep()
		_ = control.SetReadDeadline(time.Time{})
		if body != nil {
			r.Body = body
			return
		}
	}
	if b.alone && !b.ended.Load() {
		if !routes {
			// Otherwise net/http would hear the caller out before it answers, to use
			// the connection again.
			w.Header().Set("Connection", "close")
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(errorStatus(err))
		}
		b.discard(control, !routes)
	}
	if b.begun.Load() {
		r.Body = answeredBody{}
	}
}

// discard reads what is left, unless the caller still waits to be asked for it, and
// reports false if that does not come. What has been written is sent before that.
func (b *lingeringBody) discard(control *http.ResponseController, written bool) bool {
	// Before the lock, which somebody may hold who waits for the caller.
	if err := control.SetReadDeadline(time.Now().Add(lingerTime)); err != nil {
		return true // nothing was read, and nothing is known
	}
	if written {
		_ = control.Flush()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errAnswered
	}
	var err error
	if b.begun.Load() || !b.expects {
		b.begun.Store(true)
		_, err = io.Copy(io.Discard, b.ReadCloser)
	}
	_ = control.SetReadDeadline(time.Time{})
	return err == nil
}

// answeredBody is what is left of a body that has been read.
type answeredBody struct{}

// Read implements io.Reader.
func (answeredBody) Read([]byte) (int, error) { return 0, errAnswered }

// Close implements io.Closer.
func (answeredBody) Close() error { return nil }
