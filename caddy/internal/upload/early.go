package upload

import (
	"cmp"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxBuffered is how much of an early response is buffered at most, in bytes.
const maxBuffered = 64 << 10

// An EarlyResponse is the http.ResponseWriter for the response to a request whose body
// may not have been read to its end. Clients react to such a response in two ways. Some
// first send the rest, then read the response. Others stop sending, and wait for the end
// of the response.
//
// With HTTP/1, a response with a length that closes the connection suits both: it is
// sent, and then the body is drained. With HTTP/2, the end of the response ends the
// stream, and so the body. There the body is drained before the response is sent. A
// response that is long and has no length, or that does not come to its end, is sent as
// it comes.
type EarlyResponse struct {
	http.ResponseWriter
	Body    *Body    // of the request
	Drainer *Drainer // for Body

	// Wait is how long a response that does not come to its end is buffered.
	// Default: 500 ms.
	Wait time.Duration

	// Concerned reports whether Body is to be drained here. Otherwise the response is
	// sent as it comes. Default: it is.
	Concerned func() bool

	// Discard reports, when the response begins, whether nothing of it is to be sent,
	// since another response follows. Then Serve restores the header. Default: it is sent.
	Discard func() bool

	mu        sync.Mutex // the timer writes too
	timer     *time.Timer
	passing   bool        // nothing is buffered
	ended     bool        // nothing more is written
	discarded bool        // nothing of the response is written
	status    int         // of the buffered response, 0 before there is one
	header    http.Header // for fields that are set after WriteHeader
	buffer    []byte
}

// Serve calls handle, which must write the response to e, and returns its error. If the
// response is complete, Serve sends what was buffered, and drains the body. If handle
// panics, as a reverse proxy does when a response breaks off, the client gets what was
// buffered, and the body ends. If handle returns an error, or the response is discarded,
// the client gets no more of it, and the body is not drained yet.
func (e *EarlyResponse) Serve(handle func(w http.ResponseWriter) error) error {
	returned := false
	defer func() {
		if !returned {
			e.breakOff()
		}
	}()
	var before http.Header
	if e.Discard != nil {
		before = e.ResponseWriter.Header().Clone()
	}
	err := handle(e)
	returned = true
	if err != nil || e.discarded {
		e.stop()
	} else {
		e.end()
	}
	if e.discarded {
		header := e.ResponseWriter.Header()
		clear(header)
		maps.Copy(header, before)
	}
	return err
}

// Header implements http.ResponseWriter. Fields that are set after WriteHeader are
// trailers. They go into a copy, since another goroutine may be writing the original.
func (e *EarlyResponse) Header() http.Header {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.header != nil {
		return e.header
	}
	return e.ResponseWriter.Header()
}

// WriteHeader implements http.ResponseWriter.
func (e *EarlyResponse) WriteHeader(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.writeHeader(status)
}

// writeHeader is WriteHeader for a caller that has the lock.
func (e *EarlyResponse) writeHeader(status int) {
	switch {
	case e.passing || status < http.StatusOK:
		e.ResponseWriter.WriteHeader(status)
		return
	case e.status != 0:
		return
	}
	e.status = status
	if !e.concerned() {
		e.pass()
		return
	}
	if e.discarded = e.Discard != nil && e.Discard(); e.discarded {
		e.header = make(http.Header) // a throw-away: nothing of it goes to the client
		return
	}
	header := e.ResponseWriter.Header()
	if e.Body.alone && e.Body.short() && !e.Body.begun.Load() { // no handler wants the body
		e.Body.Drain(e.ResponseWriter, e.Drainer)
	}
	if e.Body.whole.Load() {
		e.pass()
		return
	}
	if e.Body.alone {
		// The rest of the body must not be taken for another request. And net/http would
		// read some of it before it responds, to use the connection again.
		header.Set("Connection", "close")
		if header.Get("Content-Length") != "" {
			e.pass()
			return
		}
	}
	e.header = header.Clone()
	e.timer = time.AfterFunc(cmp.Or(e.Wait, 500*time.Millisecond), e.overdue)
}

// concerned reports whether the body is to be drained here.
func (e *EarlyResponse) concerned() bool { return e.Concerned == nil || e.Concerned() }

// overdue sends the buffered part of a response that does not come to its end.
// The server may be waiting for the end of the body, and the client for the response.
func (e *EarlyResponse) overdue() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended && !e.passing && e.release() == nil {
		_ = http.NewResponseController(e.ResponseWriter).Flush() //nolint:bodyclose // it has no body
	}
}

// Write implements http.ResponseWriter.
func (e *EarlyResponse) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.status == 0 {
		e.writeHeader(http.StatusOK)
	}
	if e.discarded {
		return len(p), nil
	}
	if !e.passing && len(e.buffer)+len(p) <= maxBuffered {
		e.buffer = append(e.buffer, p...)
		return len(p), nil
	}
	if err := e.release(); err != nil {
		return 0, err
	}
	n, err := e.ResponseWriter.Write(p)
	if err == nil && e.header != nil { // this response was slow, and may be slow again
		_ = http.NewResponseController(e.ResponseWriter).Flush() //nolint:bodyclose // it has no body
	}
	return n, err
}

// FlushError implements what http.ResponseController looks for.
func (e *EarlyResponse) FlushError() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.status == 0 {
		e.writeHeader(http.StatusOK)
	}
	if !e.passing {
		return nil
	}
	return http.NewResponseController(e.ResponseWriter).Flush() //nolint:bodyclose // it has no body
}

// Unwrap implements what http.ResponseController looks for.
func (e *EarlyResponse) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// stop stops the timer. The buffered part then stays buffered.
func (e *EarlyResponse) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	if e.timer != nil {
		e.timer.Stop()
	}
}

// breakOff sends the buffered part, if any, of a response that has broken off,
// so that the client sees its status. It also ends the body: a transport may still be
// sending it.
func (e *EarlyResponse) breakOff() {
	e.stop()
	if !e.concerned() {
		return
	}
	if e.release() == nil && e.passing {
		_ = http.NewResponseController(e.ResponseWriter).Flush() //nolint:bodyclose // it has no body
	}
	e.Body.Drain(e.ResponseWriter, nil)
}

// end sends the buffered part, with its length, and drains the body.
func (e *EarlyResponse) end() {
	e.stop()
	if !e.concerned() {
		return
	}
	if e.status == 0 {
		e.writeHeader(http.StatusOK) // as net/http does
	}
	header := e.ResponseWriter.Header()
	maps.Copy(header, e.header) // this includes the trailers
	drainer := e.Drainer
	if !e.passing {
		if !e.Body.alone {
			e.Body.Drain(e.ResponseWriter, drainer)
		}
		if header.Get("Content-Length") == "" && header.Get("Trailer") == "" && hasBody(e.status) {
			header.Set("Content-Length", strconv.Itoa(len(e.buffer)))
		}
	}
	if e.release() != nil || (!e.Body.alone && !e.Body.whole.Load()) {
		drainer = nil // the client has left, or waits for the end of a long response
	}
	if e.Body.ended.Load() {
		return
	}
	_ = http.NewResponseController(e.ResponseWriter).Flush() //nolint:bodyclose // it has no body
	pause := drainer.time()
	if header.Get("Content-Length") == "" {
		pause = drainer.pause() // net/http ends the response only after this pause
	}
	e.Body.drain(e.ResponseWriter, drainer, pause)
}

// release sends the buffered part. Nothing is buffered from then on.
func (e *EarlyResponse) release() error {
	if e.passing || e.status == 0 {
		return nil
	}
	e.pass()
	_, err := e.ResponseWriter.Write(e.buffer) //nolint:gosec // it is the server's response, which passes unchanged
	e.buffer = nil
	return err
}

// pass writes the header. Nothing is buffered from then on.
func (e *EarlyResponse) pass() {
	e.passing = true
	e.ResponseWriter.WriteHeader(e.status)
}

// hasBody reports whether a response with this status has a body (RFC 9110 section
// 6.4.1).
func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
