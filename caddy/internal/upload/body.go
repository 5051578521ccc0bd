package upload

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// shortLength is the length, in bytes, up to which a body counts as short. A short body
// is drained before a refusal, and can be handed over if nothing has read from it.
const shortLength = 64 << 10

// A Body is the body of a request. The rest of it can still be read after the response.
type Body struct {
	io.ReadCloser
	alone   bool  // it has the connection to itself, as with HTTP/1
	expects bool  // the client waits to be asked for the body
	length  int64 // in bytes; -1 if not known

	kept   atomic.Bool // it stays open for the Drainer
	begun  atomic.Bool // something has read from the body
	closed atomic.Bool // only the Drainer may still read from it
	whole  atomic.Bool // all its bytes have been read
	ended  atomic.Bool // there is nothing left to read

	mu   sync.Mutex // held during a read
	read int64      // in bytes
	err  error      // the error that ended the body
}

// Wrap replaces the body of r by a Body, and returns that, or nil if r has no body.
func Wrap(r *http.Request) *Body {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	b := &Body{ReadCloser: r.Body, alone: r.ProtoMajor == 1, expects: r.Header.Get("Expect") != "", length: r.ContentLength}
	r.Body = b
	return b
}

// KeepOpen says that the body will be drained. From then on, Close does not close it.
func (b *Body) KeepOpen() { b.kept.Store(true) }

// Begun reports whether something has read from the body.
func (b *Body) Begun() bool { return b.begun.Load() }

// errResponded is the read error of a body whose request has got its response, for a
// transport that may still be sending the body. It is not io.EOF: what was sent must
// not look complete.
var errResponded = errors.New("the request has got its response")

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	b.begun.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed.Load():
		return 0, errResponded
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

// Close closes the body, unless KeepOpen was called. In that case the next reads fail,
// but the rest of the body can be drained, and the server closes the body when the
// request has ended.
func (b *Body) Close() error {
	if b.kept.Load() {
		b.closed.Store(true)
		return nil
	}
	return b.ReadCloser.Close()
}

// Outgoing returns the body in the form for a transport to send. content is b in the
// wrappers of other handlers. When the transport closes the body, only b is closed, not
// the wrappers: the wrapper of Caddy's reverse proxy has a data race between Close and
// Read (reverseproxy.go in Caddy 2.11), and net/http calls both at once if the server
// responds early over HTTP/2.
func (b *Body) Outgoing(content io.Reader) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{complete{content, b}, b}
}

// A complete is content of a body that ends only if the body has ended.
type complete struct {
	content io.Reader
	body    *Body
}

// Read implements io.Reader. Another handler may have read the body until an error, and have
// put what it got in its place, as Caddy does for {http.request.body}: that must not look like
// all of it. If nothing has read the body, something else was put in its place on purpose.
func (c complete) Read(p []byte) (int, error) {
	n, err := c.content.Read(p)
	if b := c.body; err == io.EOF && b.begun.Load() && !b.whole.Load() {
		return n, b.unended()
	}
	return n, err
}

// unended returns why the body has not been read to its end.
func (b *Body) unended() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return cmp.Or(b.err, io.ErrUnexpectedEOF)
}

// short reports whether the body is so short that it has most likely arrived already.
func (b *Body) short() bool { return b.length >= 0 && b.length <= shortLength }

// mustEnd reports whether the connection must end with the response, because the rest
// of the body is still on it.
func (b *Body) mustEnd() bool { return b.alone && !b.whole.Load() }
