package caddyesign

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// How long, and for how many bytes, a caller is heard whose body nobody needs.
const (
	lingerTime  = 30 * time.Second
	lingerBytes = 64 << 20
)

// How many callers are heard at a time, in the whole process. Those who were not
// admitted have places of their own, so that they take none from the others.
var (
	callerPlaces   = make(chan struct{}, 512)
	strangerPlaces = make(chan struct{}, 64)
)

// A lingeringBody is the body of a call, the rest of which can still be read when
// the call has been answered. Most callers send all of a body before they look at
// the answer. If they cannot, since the server closes the connection or ends the
// stream, the answer is lost: they see a broken connection, or wait for ever.
type lingeringBody struct {
	io.ReadCloser
	alone   bool  // on its connection, as with HTTP/1
	expects bool  // the caller waits to be asked for it
	length  int64 // in bytes; -1 if it is not known

	begun atomic.Bool // somebody has read from it
	whole atomic.Bool // all its bytes have been read
	ended atomic.Bool // there is nothing left to read

	mu   sync.Mutex // held while it is read
	read int64      // in bytes
	err  error      // what ended it
}

// lingering returns r with a body that can be read to its end later, and that
// body, nil if there is none.
func lingering(r *http.Request) (*lingeringBody, *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, r
	}
	out := *r
	body := &lingeringBody{ReadCloser: r.Body, alone: r.ProtoMajor == 1, expects: r.Header.Get("Expect") != "", length: r.ContentLength}
	out.Body = body
	return body, &out
}

// errAnswered ends a body whose call has been answered, for those who may still
// be sending it. It is not io.EOF: what was sent must not look like the whole.
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
	b.read += int64(n)
	b.ended.Store(err != nil)
	if err == io.EOF || b.read == b.length {
		b.whole.Store(true)
	}
	return n, err
}

// Close does nothing: the server closes the body when the request has ended.
func (*lingeringBody) Close() error { return nil }

// hear reads what the caller still sends, if one of the places is free, and ends
// the body: nobody may read it when the server has ended the call. A caller that
// still waits to be asked for its body is not asked.
func (b *lingeringBody) hear(control *http.ResponseController, places chan struct{}) {
	if b.ended.Load() {
		return
	}
	deadline := time.Now()
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		deadline = deadline.Add(lingerTime)
	default: // those who still read the body end at once
	}
	// Before the lock, which may be held by a read that waits for the caller.
	if control.SetReadDeadline(deadline) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errAnswered
		if b.begun.Swap(true) || !b.expects {
			_, _ = io.CopyN(io.Discard, b.ReadCloser, lingerBytes) // it may break off
		}
		b.ended.Store(true)
	}
	_ = control.SetReadDeadline(time.Time{})
}

// refuse answers the call with status, if HTTP/1 is spoken, and hears the caller.
// With HTTP/2, the answer is for those to give that come after it.
func (b *lingeringBody) refuse(w http.ResponseWriter, status int, places chan struct{}) {
	control := http.NewResponseController(w)
	if b.alone && !b.whole.Load() {
		// What is left of the body is no call. And net/http would read some of it
		// before it answers, to use the connection again.
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
		_ = control.Flush()
	}
	b.hear(control, places)
}

// keepFor leaves to the error routes of r, a call that has failed, its body if keep
// can take it into memory, or one that fails: they may send it elsewhere, where
// what is left of it would look like the whole.
func (b *lingeringBody) keepFor(w http.ResponseWriter, r *http.Request, keep func() io.ReadCloser) {
	control := http.NewResponseController(w)
	if (b.begun.Load() || !b.expects) && control.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		body := keep()
		_ = control.SetReadDeadline(time.Time{})
		if body != nil {
			r.Body = body
			return
		}
	}
	b.hear(control, callerPlaces)
	if b.begun.Load() {
		r.Body = answeredBody{}
	}
}

// answeredBody is what is left of a body that has been read.
type answeredBody struct{}

// Read implements io.Reader.
func (answeredBody) Read([]byte) (int, error) { return 0, errAnswered }

// Close implements io.Closer.
func (answeredBody) Close() error { return nil }
