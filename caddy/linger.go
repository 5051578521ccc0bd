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

// How long, and for how many bytes, a caller is heard whose body nobody needs.
const (
	lingerTime  = 30 * time.Second
	lingerBytes = 64 << 20

	// How long it is waited for that sends nothing, if its answer cannot end before it is
	// heard: it may have stopped, and wait for that.
	lingerPause = 2 * time.Second
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

	ours   atomic.Bool               // the gateway deals with it
	own    atomic.Pointer[Transport] // of a reverse_proxy of one's own, which it has come to
	begun  atomic.Bool               // somebody has read from it
	closed atomic.Bool               // nobody may read from it any more, but the gateway
	whole  atomic.Bool               // all its bytes have been read
	ended  atomic.Bool               // there is nothing left to read

	mu   sync.Mutex // held while it is read
	read int64      // in bytes
	err  error      // what ended it
}

// lingeringVar is the variable of a request that holds its lingeringBody: handlers
// such as request_body put readers of their own around it.
const lingeringVar = "bankid_esign.body"

// lingering returns the body of the call that ctx belongs to, nil if none was put there.
func lingering(ctx context.Context) *lingeringBody {
	body, _ := caddyhttp.GetVar(ctx, lingeringVar).(*lingeringBody)
	return body
}

// linger puts a body that can be read to its end later into r, unless it has one,
// and returns it; nil if r has no body.
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

// errAnswered ends a body whose call has been answered, for those who may still
// be sending it. It is not io.EOF: what was sent must not look like the whole.
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

// Close leaves the body of a call to the gateway alone, which hears what is left of it;
// the server closes it when the request has ended. Other handlers of the site close
// theirs, as if there were no gateway.
func (b *lingeringBody) Close() error {
	if b.ours.Load() {
		b.closed.Store(true)
		return nil
	}
	return b.ReadCloser.Close()
}

// sentBy returns the body of a call as a transport sends it: content, which handlers have
// wrapped b in. When the transport closes it, b is closed, and no wrapper. The one of Caddy's
// reverse proxy has a data race between Close and Read (reverseproxy.go in Caddy 2.11), and
// net/http calls these at once when the API's host answers early over HTTP/2.
func (b *lingeringBody) sentBy(content io.Reader) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{content, b}
}

// short reports whether the body is so short that most likely it is there.
func (b *lingeringBody) short() bool { return b.length >= 0 && b.length <= keptShort }

// mustEnd reports whether the connection must end with the answer, since what is left of
// the body is on it.
func (b *lingeringBody) mustEnd() bool { return b.alone && !b.whole.Load() }

// hear reads what the caller still sends, if one of the places is free, and ends
// the body: nobody may read it when the server has ended the call. With HTTP/2, the answer
// comes after that.
func (b *lingeringBody) hear(control *http.ResponseController, places chan struct{}) {
	pause := lingerTime
	if !b.alone {
		pause = lingerPause
	}
	b.hearUntil(control, places, pause)
}

// hearUntil is hear, for no longer than pause when nothing comes.
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

// A pausingReader reads what comes until deadline, and with no longer pauses than pause.
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

// wait sets how long the next reading, or one that is under way, may take.
func (r pausingReader) wait() error {
	end := time.Now().Add(r.pause)
	if end.After(r.deadline) {
		end = r.deadline
	}
	return r.control.SetReadDeadline(end)
}

// discard reads what comes until deadline, and with no longer pauses than pause, and ends
// the body. A caller that still waits to be asked for its body is not asked.
func (b *lingeringBody) discard(control *http.ResponseController, deadline time.Time, pause time.Duration) {
	rest := pausingReader{b.ReadCloser, control, deadline, pause}
	// Before the lock, which may be held by a read that waits for the caller.
	if rest.wait() != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errAnswered
		if b.begun.Swap(true) || !b.expects {
			if _, err := io.CopyN(io.Discard, rest, lingerBytes); err == io.EOF {
				b.whole.Store(true) // otherwise it broke off, or goes on
			}
		}
		b.ended.Store(true)
	}
	_ = control.SetReadDeadline(time.Time{})
}

// settle sees to the body of r, a call that was refused with err, with which error
// routes deal if there are any. b may be nil.
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

// refuse answers the call with status, if HTTP/1 is spoken, and hears the caller.
// With HTTP/2, the answer is for those to give that come after it.
func (b *lingeringBody) refuse(w http.ResponseWriter, status int, places chan struct{}) {
	control := http.NewResponseController(w)
	if b.alone && b.short() {
		b.hear(control, places) // the connection can be used again
	}
	if b.mustEnd() {
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
// what is left of it would look like the whole. They get it as it is if nobody has
// read from it, and the caller waits to be asked for it, or no place is free.
func (b *lingeringBody) keepFor(w http.ResponseWriter, r *http.Request, places chan struct{}, keep func() io.ReadCloser) {
	defer func() {
		if b.mustEnd() {
			w.Header().Set("Connection", "close") // whatever they answer
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

// keptShort is the length, in bytes, up to which a body is short: it is read before
// a refusal, and kept for error routes if nobody has read from it.
const keptShort = 64 << 10

// kept returns the body of r from memory: what the transport of a reverse_proxy of one's
// own holds; of a call that has not come to one, nil if it is longer than keptShort, or
// somebody has read from it.
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

// answeredBody is what is left of a body that has been read.
type answeredBody struct{}

// Read implements io.Reader.
func (answeredBody) Read([]byte) (int, error) { return 0, errAnswered }

// Close implements io.Closer.
func (answeredBody) Close() error { return nil }
