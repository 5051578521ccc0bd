package caddyesign

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// How much of an early answer is held back at most, in bytes, and for how long.
const (
	earlyHeld = 64 << 10
	earlyWait = 500 * time.Millisecond
)

// An earlyAnswer writes the answer to a call, the body of which may not have come
// to its end. Callers deal with such an answer in two ways. Some send the rest and
// look at the answer then; others stop sending, and wait for the answer's end. An
// answer by HTTP/1 suits both if it has a length and closes the connection: it is
// sent, and then the caller is heard. With HTTP/2, where an answer ends with its
// stream, which ends the body, the caller is heard before it is sent. An answer
// that is long and has no length, or that does not come to its end, is sent as it
// comes.
//
// It writes any other answer of a site as it comes.
type earlyAnswer struct {
	http.ResponseWriter
	body *lingeringBody
	// deals reports whether the answer is one to a call of the gateway's.
	deals func() bool
	// refused returns why the transport has refused the call, nil if it has not.
	refused func() *gatewayError

	mu      sync.Mutex // the timer writes, too
	timer   *time.Timer
	passing bool        // nothing is held back
	ended   bool        // nothing more is written
	status  int         // of what is held back, 0 if there is nothing yet
	header  http.Header // for what is set after WriteHeader
	held    []byte
	refusal *gatewayError // what the answer is in fact; nothing of it is written then
}

// Header implements http.ResponseWriter. What is set after WriteHeader are trailers;
// they must not be set in a header that is being written.
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

// writeHeader is WriteHeader with the lock.
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
		a.header = make(http.Header) // nothing of it is for the caller
		return
	}
	header := a.ResponseWriter.Header()
	if a.body.alone && a.body.short() && !a.body.begun.Load() { // nobody wants it
		a.body.hear(http.NewResponseController(a.ResponseWriter), callerPlaces)
	}
	if a.body.whole.Load() {
		a.pass()
		return
	}
	if a.body.alone {
		// What is left of the body is no call. And net/http would read some of it
		// before it answers, to use the connection again.
		header.Set("Connection", "close")
		if header.Get("Content-Length") != "" {
			a.pass()
			return
		}
	}
	a.header = header.Clone()
	a.timer = time.AfterFunc(earlyWait, a.overdue)
}

// overdue sends what is held back of an answer that does not come to its end: the
// server may wait for the end of the body, which the caller may not send before it has
// seen the answer.
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
	if err == nil && a.header != nil { // it has been slow, and may be so again
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

// settle ends what the timer does. What is held back then stays so.
func (a *earlyAnswer) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// breakOff sends what is held back of an answer that has broken off, if there is any:
// the caller is to see its status.
func (a *earlyAnswer) breakOff() {
	a.settle()
	if !a.deals() {
		return
	}
	if a.release() == nil && a.passing {
		_ = http.NewResponseController(a.ResponseWriter).Flush() //nolint:bodyclose // there is none
	}
}

// end sends what is held back, with its length, and hears the caller.
func (a *earlyAnswer) end() {
	a.settle()
	if !a.deals() {
		return
	}
	if a.status == 0 {
		a.writeHeader(http.StatusOK) // as net/http does
	}
	header := a.ResponseWriter.Header()
	maps.Copy(header, a.header) // with the trailers
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
		places = nil // the caller is gone, or waits for the end of a long answer
	}
	if a.body.ended.Load() {
		return
	}
	_ = control.Flush()
	pause := lingerTime
	if header.Get("Content-Length") == "" {
		pause = lingerPause // net/http ends it when this is over
	}
	a.body.hearUntil(control, places, pause)
}

// release sends what is held back, and holds nothing back from now on.
func (a *earlyAnswer) release() error {
	if a.passing || a.status == 0 {
		return nil
	}
	a.pass()
	_, err := a.ResponseWriter.Write(a.held) //nolint:gosec // it is the API's answer, which passes unchanged
	a.held = nil
	return err
}

// pass writes the header, and holds nothing back from now on.
func (a *earlyAnswer) pass() {
	a.passing = true
	a.ResponseWriter.WriteHeader(a.status)
}

// hasBody reports whether an answer with status has a body (RFC 9110 section 6.4.1).
func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
