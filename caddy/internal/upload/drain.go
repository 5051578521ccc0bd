package upload

import (
	"cmp"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// drainBytes limits how many bytes of one body are drained.
const drainBytes = 64 << 20

// A Drainer drains bodies, and limits that. The zero value can be used. A nil Drainer
// ends bodies, and drains nothing.
type Drainer struct {
	// Places is how many bodies are drained at a time. Any further body ends at once.
	// Default: 512.
	Places int

	// Time is how long a body is drained. Default: 30 s.
	Time time.Duration

	// Pause is how long to wait for a client that sends nothing, if the response cannot
	// end before the body is drained. The client may have stopped sending, and wait for
	// the response. Default: 2 s.
	Pause time.Duration

	busy atomic.Int64 // places that are taken
}

// place takes one of the places. If ok, it must be given back with free.
func (d *Drainer) place() (ok bool) {
	if d == nil {
		return false
	}
	if d.busy.Add(1) > int64(cmp.Or(d.Places, 512)) {
		d.free()
		return false
	}
	return true
}

// free gives a place back.
func (d *Drainer) free() { d.busy.Add(-1) }

// time returns how long a body is drained.
func (d *Drainer) time() time.Duration {
	if d == nil {
		return 0
	}
	return cmp.Or(d.Time, 30*time.Second)
}

// pause returns how long to wait for a client that may wait for the response.
func (d *Drainer) pause() time.Duration {
	if d == nil {
		return 0
	}
	return cmp.Or(d.Pause, 2*time.Second)
}

// Drain drains the body, if d has a place, and ends it: nothing may read the body after
// the server has ended the request. w is the writer of the response. With HTTP/2, Drain
// comes before the response, so its pauses are short.
func (b *Body) Drain(w http.ResponseWriter, d *Drainer) {
	pause := d.time()
	if !b.alone {
		pause = d.pause()
	}
	b.drain(w, d, pause)
}

// drain is Drain with a given limit for pauses in which nothing comes.
func (b *Body) drain(w http.ResponseWriter, d *Drainer, pause time.Duration) {
	if b.ended.Load() {
		return
	}
	deadline := time.Now()
	if d.place() {
		defer d.free()
		deadline = deadline.Add(d.time())
	}
	b.discard(http.NewResponseController(w), deadline, pause)
}

// Refuse drains the body of a request that is refused with status. If a connection of
// HTTP/1 must end because of the rest of the body, Refuse first sends status. Otherwise
// the handlers that called it send status later.
func (b *Body) Refuse(w http.ResponseWriter, status int, d *Drainer) {
	if b.alone && b.short() {
		b.Drain(w, d) // the connection can be used again
	}
	if b.mustEnd() {
		// The rest of the body must not be taken for another request. And net/http would
		// read some of it before it responds, to use the connection again.
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
		_ = http.NewResponseController(w).Flush() //nolint:bodyclose // there is none
	}
	b.Drain(w, d)
}

// discard reads until deadline, or until nothing comes for pause, and ends the body. If
// the client still waits to be asked for its body, discard does not ask.
func (b *Body) discard(control *http.ResponseController, deadline time.Time, pause time.Duration) {
	rest := pausingReader{b.ReadCloser, control, deadline, pause}
	// This comes before the lock, because a read that waits for the client may hold it.
	if rest.wait() != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errResponded
		if b.begun.Swap(true) || !b.expects {
			if n, err := exhaust(io.LimitReader(rest, drainBytes)); err == nil && n < drainBytes {
				b.whole.Store(true) // otherwise the body broke off, or is longer
			}
		}
		b.ended.Store(true)
	}
	_ = control.SetReadDeadline(time.Time{})
}

// discardBuffers has the buffers that are read into.
var discardBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// exhaust reads r to its end, and returns how many bytes that were. It reads more at once
// than io.Discard does: after each read, the server of HTTP/2 tells the client twice how
// much it may send, and to read that takes a program in Python longer than to send.
func exhaust(r io.Reader) (n int64, err error) {
	buffer := discardBuffers.Get().(*[64 << 10]byte)
	defer discardBuffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buffer[:])
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
