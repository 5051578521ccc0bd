package caddyesign

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// These limit how much of an early answer is held back, in bytes, and for how long.
const (
	earlyHeld = 64 << 10
	earlyWait = 500 * time.Millisecond
)

// An earlyAnswer is the http.ResponseWriter for the answer to a call whose body may not
// have been read to its end. Callers react to such an answer in two ways. Some first
// send the rest, then read the answer. Others stop sending, and wait for the end of the
// answer.
//
// With HTTP/1, an answer with a length that closes the connection suits both: it is
// sent, and then the rest of the body is read. With HTTP/2, the end of the answer ends
// the stream, and so the body. There the rest of the body is read before the answer is
// sent. An answer that is long and has no length, or that does not come to its end, is
// sent as it comes.
//
// It sends the answers of other handlers of a site as they come.
type earlyAnswer struct {
	http.ResponseWriter
	body *lingeringBody
	// deals reports whether the answer is to a call of the gateway.
	deals func() bool
	// refused returns why the transport has refused the call, or nil if it has not.
	refused func() *gatewayError

	mu      sync.Mutex // the timer writes too
	timer   *time.Timer
	passing bool        // nothing is held back
	ended   bool        // nothing more is written
	status  int         // of the answer that is held back, 0 before there is one
	header  http.Header // for fields that are set after WriteHeader
	held    []byte
	refusal *gatewayError // if not nil, the call was refused, and nothing of this answer is written
}

// Header implements http.ResponseWriter. Fields that are set after WriteHeader are
// trailers. They go into a copy, since another goroutine may be writing the original.
func (a *earlyAnswer) Header() http.Header {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.header != nil {
		return a.header
	}
	return a.ResponseWriter.Header()
}

// WriteHeader implements http.ResponseWriter.
func (a *earlyAnswer) WriteHeader(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writeHeader(status)
}

// writeHeader is WriteHeader for a caller that has the lock.
func (a *earlyAnswer) writeHeader(status int) {
	switch {
	case a.passing || status < http.StatusOK:
		a.ResponseWriter.WriteHeader(status)
		return
	case a.status != 0:
		return
	}
	a.status = status
	if !a.deals() {
		a.pass()
		return
	}
	if a.refusal = a.refused(); a.refusal != nil {
		a.header = make(http.Header) // a throw-away: nothing of it goes to the caller
		return
	}
	header := a.ResponseWriter.Header()
	if a.body.alone && a.body.short() && !a.body.begun.Load() { // no handler wants the body
		a.body.hear(http.NewResponseController(a.ResponseWriter), callerPlaces)
	}
	if a.body.whole.Load() {
		a.pass()
		return
	}
	if a.body.alone {
		// The rest of the body must not be taken for another call. And net/http would
		// read some of it before it answers, to use the connection again.
		header.Set("Connection", "close")
		if header.Get("Content-Length") != "" {
			a.pass()
			return
		}
	}
	a.header = header.Clone()
	a.timer = time.AfterFunc(earlyWait, a.overdue)
}

// overdue sends the part that is held back of an answer that does not come to its end.
// The server may be waiting for the end of the body, and the caller for the answer.
func (a *earlyAnswer) overdue() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended && !a.passing && a.release() == nil {
		_ = http.NewResponseController(a.ResponseWriter).Flush() //nolint:bodyclose // there is none
	}
}

// Write implements http.ResponseWriter.
func (a *earlyAnswer) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status == 0 {
		a.writeHeader(http.StatusOK)
	}
	if a.refusal != nil {
		return len(p), nil
	}
	if !a.passing && len(a.held)+len(p) <= earlyHeld {
		a.held = append(a.held, p...)
		return len(p), nil
	}
	if err := a.release(); err != nil {
		return 0, err
	}
	n, err := a.ResponseWriter.Write(p)
	if err == nil && a.header != nil { // this answer was slow, and may be slow again
		_ = http.NewResponseController(a.ResponseWriter).Flush() //nolint:bodyclose // there is none
	}
	return n, err
}

// FlushError implements what http.ResponseController looks for.
func (a *earlyAnswer) FlushError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status == 0 {
		a.writeHeader(http.StatusOK)
	}
	if !a.passing {
		return nil
	}
	return http.NewResponseController(a.ResponseWriter).Flush() //nolint:bodyclose // there is none
}

// Unwrap implements what http.ResponseController looks for.
func (a *earlyAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// settle stops the timer. The part that is held back then stays held back.
func (a *earlyAnswer) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// breakOff sends the part that is held back, if any, of an answer that has broken off,
// so that the caller sees its status.
func (a *earlyAnswer) breakOff() {
	a.settle()
	if !a.deals() {
		return
	}
	if a.release() == nil && a.passing {
		_ = http.NewResponseController(a.ResponseWriter).Flush() //nolint:bodyclose // there is none
	}
}

// end sends the part that is held back, with its length, and reads the rest of the
// caller's body.
func (a *earlyAnswer) end() {
	a.settle()
	if !a.deals() {
		return
	}
	if a.status == 0 {
		a.writeHeader(http.StatusOK) // as net/http does
	}
	header := a.ResponseWriter.Header()
	maps.Copy(header, a.header) // this includes the trailers
	control, places := http.NewResponseController(a.ResponseWriter), callerPlaces
	if !a.passing && a.status != 0 {
		if !a.body.alone {
			a.body.hear(control, places)
		}
		if header.Get("Content-Length") == "" && header.Get("Trailer") == "" && hasBody(a.status) {
			header.Set("Content-Length", strconv.Itoa(len(a.held)))
		}
	}
	if a.release() != nil || (!a.body.alone && !a.body.whole.Load()) {
		places = nil // the caller has left, or waits for the end of a long answer
	}
	if a.body.ended.Load() {
		return
	}
	_ = control.Flush()
	pause := lingerTime
	if header.Get("Content-Length") == "" {
		pause = lingerPause // net/http ends the answer only after this pause
	}
	a.body.hearUntil(control, places, pause)
}

// release sends the part that is held back. Nothing is held back from then on.
func (a *earlyAnswer) release() error {
	if a.passing || a.status == 0 {
		return nil
	}
	a.pass()
	_, err := a.ResponseWriter.Write(a.held) //nolint:gosec // it is the API's answer, which passes unchanged
	a.held = nil
	return err
}

// pass writes the header. Nothing is held back from then on.
func (a *earlyAnswer) pass() {
	a.passing = true
	a.ResponseWriter.WriteHeader(a.status)
}

// hasBody reports whether an answer with this status has a body (RFC 9110 section
// 6.4.1).
func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
