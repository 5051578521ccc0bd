package upload

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// HandOver prepares the body of r, a request that has failed, for the handlers that deal
// with it instead, such as error routes. They may send it elsewhere, where the rest of
// the body must not look like the whole. So they get the whole body from memory if
// whole returns it, and otherwise a body whose reads fail. With a nil whole, they get a
// short body that nothing has read from. w is the writer of the response.
//
// The body stays as it is if nothing has read from it and the client waits to be asked
// for it, or d has no place.
func (b *Body) HandOver(w http.ResponseWriter, r *http.Request, d *Drainer, whole func() io.ReadCloser) {
	defer func() {
		if b.mustEnd() {
			w.Header().Set("Connection", "close") // whatever those handlers respond
		}
	}()
	if whole == nil {
		if b.ended.Load() && !b.mustEnd() {
			return // nothing of it is left
		}
		whole = func() io.ReadCloser { return b.readShort(r.Body) }
	}
	if !b.begun.Load() && b.expects {
		return
	}
	control, deadline := http.NewResponseController(w), time.Now()
	if d.place() {
		defer d.free()
		deadline = deadline.Add(d.time())
	} else if !b.begun.Load() {
		return
	}
	_ = control.SetReadDeadline(deadline)
	if body := whole(); body != nil {
		_ = control.SetReadDeadline(time.Time{})
		r.Body = body
		return
	}
	b.discard(control, deadline, d.time())
	r.Body = respondedBody{}
}

// readShort reads a short body into memory, and returns it. content is b in the wrappers
// of other handlers. The result is nil if the body is not short, or if something has
// read from it.
func (b *Body) readShort(content io.Reader) io.ReadCloser {
	if b.begun.Load() {
		return nil
	}
	read, err := io.ReadAll(io.LimitReader(content, shortLength+1))
	if err != nil || len(read) > shortLength {
		return nil
	}
	return io.NopCloser(bytes.NewReader(read))
}

// respondedBody is the body of a request whose real body has ended already.
type respondedBody struct{}

// Read implements io.Reader.
func (respondedBody) Read([]byte) (int, error) { return 0, errResponded }

// Close implements io.Closer.
func (respondedBody) Close() error { return nil }
