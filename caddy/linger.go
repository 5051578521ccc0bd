package caddyesign

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// These limit how long, and for how many bytes, a body that nobody needs is read.
const (
	lingerTime  = 30 * time.Second
	lingerBytes = 64 << 20

	// lingerPause is how long to wait for a caller that sends nothing, if its answer
	// cannot end before its body is read. The caller may have stopped sending, and wait
	// for the answer.
	lingerPause = 2 * time.Second
)

// These limit how many bodies are read at a time in the whole process. Callers that
// were not admitted have their own places, so that they take none from the others.
var (
	callerPlaces   = make(chan struct{}, 512)
	strangerPlaces = make(chan struct{}, 64)
)

// A lingeringBody is the body of a call. The rest of it can still be read after the
// call has been answered. Most callers send the whole body before they read the answer.
// If they cannot, because the server closes the connection or ends the stream, they
// lose the answer: they see a broken connection, or wait for ever.
type lingeringBody struct {
	io.ReadCloser
	alone   bool  // it has the connection to itself, as with HTTP/1
	expects bool  // the caller waits to be asked for the body
	length  int64 // in bytes; -1 if not known

	ours   atomic.Bool               // the gateway deals with the body
	own    atomic.Pointer[Transport] // the transport of the operator's own reverse_proxy that the call has come to
	begun  atomic.Bool               // something has read from the body
	closed atomic.Bool               // only the gateway may still read from it
	whole  atomic.Bool               // all its bytes have been read
	ended  atomic.Bool               // there is nothing left to read

	mu   sync.Mutex // held during a read
	read int64      // in bytes
	err  error      // the error that ended the body
}

// lingeringVar is the request variable that holds the lingeringBody. It is needed
// because handlers such as request_body wrap the body in their own readers.
const lingeringVar = "bankid_esign.body"

// lingering returns the body of the call that ctx belongs to, or nil if linger put none
// there.
func lingering(ctx context.Context) *lingeringBody {
	body, _ := caddyhttp.GetVar(ctx, lingeringVar).(*lingeringBody)
	return body
}

// linger replaces the body of r by one whose rest can be read later, unless it has been
// replaced already. It returns that body, or nil if r has none.
func linger(r *http.Request) *lingeringBody {
	if body := lingering(r.Context()); body != nil {
		return body
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	body := &lingeringBody{ReadCloser: r.Body, alone: r.ProtoMajor == 1, expects: r.Header.Get("Expect") != "", length: r.ContentLength}
	r.Body = body
	caddyhttp.SetVar(r.Context(), lingeringVar, body)
	return body
}

// errAnswered is the read error of a body whose call has been answered, for a transport
// that may still be sending it. It is not io.EOF: what was sent must not look complete.
var errAnswered = errors.New("the call has been answered")

// Read implements io.Reader.
func (b *lingeringBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed.Load():
		return 0, errAnswered
	case b.err != nil:
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

// Close does not close the body of a gateway's call: the gateway reads the rest of it,
// and the server closes it when the request has ended. Without a gateway involved,
// Close closes the body as usual.
func (b *lingeringBody) Close() error {
	if b.ours.Load() {
		b.closed.Store(true)
		return nil
	}
	return b.ReadCloser.Close()
}

// sentBy returns the body of a call in the form for a transport to send. content is b
// in the wrappers of other handlers. When the transport closes the body, only b is
// closed, not the wrappers: the wrapper of Caddy's reverse proxy has a data race
// between Close and Read (reverseproxy.go in Caddy 2.11), and net/http calls both at
// once when the API's host answers early over HTTP/2.
func (b *lingeringBody) sentBy(content io.Reader) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{content, b}
}

// short reports whether the body is so short that it has most likely arrived already.
func (b *lingeringBody) short() bool { return b.length >= 0 && b.length <= keptShort }

// mustEnd reports whether the connection must end with the answer, because the rest of
// the body is still on it.
func (b *lingeringBody) mustEnd() bool { return b.alone && !b.whole.Load() }

// hear reads and discards the rest of the caller's body, if one of the places is free,
// and ends the body: nothing may read it after the server has ended the call. With
// HTTP/2, it comes before the answer, so its pauses are short.
func (b *lingeringBody) hear(control *http.ResponseController, places chan struct{}) {
	pause := lingerTime
	if !b.alone {
		pause = lingerPause
	}
	b.hearUntil(control, places, pause)
}

// hearUntil is hear with a given limit for pauses in which nothing comes.
func (b *lingeringBody) hearUntil(control *http.ResponseController, places chan struct{}, pause time.Duration) {
	if b.ended.Load() {
		return
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		b.discard(control, time.Now().Add(lingerTime), pause)
	default:
		b.discard(control, time.Now(), pause)
	}
}

// A pausingReader reads until deadline, or until nothing comes for pause.
type pausingReader struct {
	io.Reader
	control  *http.ResponseController
	deadline time.Time
	pause    time.Duration
}

// Read implements io.Reader.
func (r pausingReader) Read(p []byte) (int, error) {
	if err := r.wait(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// wait sets the time limit of the next read, or of the read under way.
func (r pausingReader) wait() error {
	end := time.Now().Add(r.pause)
	if end.After(r.deadline) {
		end = r.deadline
	}
	return r.control.SetReadDeadline(end)
}

// discard reads until deadline, or until nothing comes for pause, and ends the body. If
// the caller still waits to be asked for its body, discard does not ask.
func (b *lingeringBody) discard(control *http.ResponseController, deadline time.Time, pause time.Duration) {
	rest := pausingReader{b.ReadCloser, control, deadline, pause}
	// This comes before the lock, because a read that waits for the caller may hold it.
	if rest.wait() != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errAnswered
		if b.begun.Swap(true) || !b.expects {
			if _, err := io.CopyN(io.Discard, rest, lingerBytes); err == io.EOF {
				b.whole.Store(true) // otherwise the body broke off, or is longer
			}
		}
		b.ended.Store(true)
	}
	_ = control.SetReadDeadline(time.Time{})
}

// settle deals with the body of r, a call that was refused with err. routes says
// whether error routes handle r. b may be nil.
func (b *lingeringBody) settle(w http.ResponseWriter, r *http.Request, err error, routes bool, places chan struct{}) {
	switch {
	case b == nil || r.Context().Err() != nil:
	case b.ended.Load() && b.own.Load() == nil && !b.mustEnd():
	case routes:
		b.keepFor(w, r, places, func() io.ReadCloser { return b.kept(r) })
	default:
		b.refuse(w, errorStatus(err), places)
	}
}

// refuse reads the rest of the body. If a connection of HTTP/1 must end because of that
// rest, refuse first sends status. Otherwise the handlers around the gateway send it
// later.
func (b *lingeringBody) refuse(w http.ResponseWriter, status int, places chan struct{}) {
	control := http.NewResponseController(w)
	if b.alone && b.short() {
		b.hear(control, places) // the connection can be used again
	}
	if b.mustEnd() {
		// The rest of the body must not be taken for another call. And net/http would
		// read some of it before it answers, to use the connection again.
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
		_ = control.Flush()
	}
	b.hear(control, places)
}

// keepFor prepares the body of r, a call that has failed, for its error routes. They
// may send it elsewhere, where the rest of it must not look like the whole. So they get
// the whole body from memory if keep returns it, and otherwise a body whose reads fail.
// The body stays as it is if nothing has read from it and the caller waits to be asked
// for it, or no place is free.
func (b *lingeringBody) keepFor(w http.ResponseWriter, r *http.Request, places chan struct{}, keep func() io.ReadCloser) {
	defer func() {
		if b.mustEnd() {
			w.Header().Set("Connection", "close") // whatever the error routes answer
		}
	}()
	if !b.begun.Load() && b.expects {
		return
	}
	control, deadline := http.NewResponseController(w), time.Now()
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		deadline = deadline.Add(lingerTime)
	default:
		if !b.begun.Load() {
			return
		}
	}
	_ = control.SetReadDeadline(deadline)
	if body := keep(); body != nil {
		_ = control.SetReadDeadline(time.Time{})
		r.Body = body
		return
	}
	b.discard(control, deadline, lingerTime)
	r.Body = answeredBody{}
}

// keptShort is the length, in bytes, up to which a body counts as short. A short body
// is read before a refusal, and kept for error routes if nothing has read from it.
const keptShort = 64 << 10

// kept returns the body of r from memory. If the call has come to the transport of the
// operator's own reverse_proxy, it is the body that the transport holds. Otherwise it
// is nil if the body is longer than keptShort, or if something has read from it.
func (b *lingeringBody) kept(r *http.Request) io.ReadCloser {
	if own := b.own.Load(); own != nil {
		return own.core.Body(r, b.begun.Load(), own.delivery(r.Context()))
	}
	if b.begun.Load() {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(r.Body, keptShort+1))
	if err != nil || len(content) > keptShort {
		return nil
	}
	return io.NopCloser(bytes.NewReader(content))
}

// answeredBody is the body of a call whose real body has been read already.
type answeredBody struct{}

// Read implements io.Reader.
func (answeredBody) Read([]byte) (int, error) { return 0, errAnswered }

// Close implements io.Closer.
func (answeredBody) Close() error { return nil }
