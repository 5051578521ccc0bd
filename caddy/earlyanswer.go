package caddyesign

import (
	"net/http"
	"strconv"
)

// earlyHeld is how much of an early answer is held back at most, in bytes.
const earlyHeld = 64 << 10

// An earlyAnswer writes the answer to a call, the body of which may not have come
// to its end. Callers deal with such an answer in two ways. Some send the rest and
// look at the answer then; others stop sending, and wait for the answer's end. An
// answer by HTTP/1 suits both if it has a length and closes the connection: it is
// sent, and then the caller is heard. With HTTP/2, where an answer ends with its
// stream, which ends the body, the caller is heard before it is sent. A long answer
// without a length is sent as it comes.
type earlyAnswer struct {
	http.ResponseWriter
	body *lingeringBody

	passing bool // nothing is held back
	status  int  // of what is held back, 0 if there is nothing yet
	held    []byte
}

// WriteHeader implements http.ResponseWriter.
func (a *earlyAnswer) WriteHeader(status int) {
	switch {
	case a.passing || status < http.StatusOK:
		a.ResponseWriter.WriteHeader(status)
		return
	case a.status != 0:
		return
	}
	a.status = status
	if a.body.whole.Load() {
		a.pass()
		return
	}
	if a.body.alone {
		// What is left of the body is no call. And net/http would read some of it
		// before it answers, to use the connection again.
		a.Header().Set("Connection", "close")
		if a.Header().Get("Content-Length") != "" {
			a.pass()
		}
	}
}

// Write implements http.ResponseWriter.
func (a *earlyAnswer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if !a.passing && len(a.held)+len(p) <= earlyHeld {
		a.held = append(a.held, p...)
		return len(p), nil
	}
	if err := a.release(); err != nil {
		return 0, err
	}
	return a.ResponseWriter.Write(p)
}

// FlushError implements what http.ResponseController looks for.
func (a *earlyAnswer) FlushError() error {
	if !a.passing {
		return nil
	}
	return http.NewResponseController(a.ResponseWriter).Flush() //nolint:bodyclose // there is none
}

// Unwrap implements what http.ResponseController looks for.
func (a *earlyAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// end sends what is held back, with its length, and hears the caller.
func (a *earlyAnswer) end() {
	control, places := http.NewResponseController(a.ResponseWriter), callerPlaces
	if !a.passing && a.status != 0 {
		if !a.body.alone {
			a.body.hear(control, places)
		}
		if a.Header().Get("Content-Length") == "" && a.Header().Get("Trailer") == "" && hasBody(a.status) {
			a.Header().Set("Content-Length", strconv.Itoa(len(a.held)))
		}
	}
	if a.release() != nil || (!a.body.alone && !a.body.whole.Load()) {
		places = nil // the caller is gone, or waits for the end of a long answer
	}
	if !a.body.ended.Load() {
		_ = control.Flush()
		a.body.hear(control, places)
	}
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
