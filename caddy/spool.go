package caddyesign

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// A spool is the http.ResponseWriter of a call whose answer is the only copy. It takes
// a successful answer into memory, at the speed of the server, not of the caller. The
// caller gets the answer when it is whole. An answer that is not worth holding, or does
// not fit, is passed on as it comes.
type spool struct {
	http.ResponseWriter // the caller's

	held   *heldAnswers
	answer *heldAnswer
	// attach makes the call end with its caller, when the answer is not held.
	attach func()

	before  http.Header // the header before the call
	header  http.Header // the header at the first WriteHeader
	status  int         // 0 before the first WriteHeader
	passing bool
	tooLong bool // the answer does not fit
}

// newSpool returns a spool that stores the answer in answer.
func newSpool(w http.ResponseWriter, held *heldAnswers, answer *heldAnswer, attach func()) *spool {
	return &spool{ResponseWriter: w, held: held, answer: answer, attach: attach, before: w.Header().Clone()}
}

// WriteHeader implements http.ResponseWriter.
func (s *spool) WriteHeader(status int) {
	if status < http.StatusOK { // the final status follows
		s.ResponseWriter.WriteHeader(status)
		return
	}
	if s.status != 0 {
		return
	}
	s.status, s.header = status, s.Header().Clone()
	// No other status says that the order is complete, and that this is the document.
	if status != http.StatusOK {
		_ = s.pass()
		return
	}
	length, err := strconv.ParseInt(s.header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = 0 // not known yet
	}
	if !s.held.reserve(s.answer, heldOverhead) || !s.grow(length) {
		_ = s.overflow()
	}
}

// grow makes room for n more bytes. It returns false if there is not enough memory.
func (s *spool) grow(n int64) bool {
	if n > 0 && s.held.reserve(s.answer, n) {
		s.answer.body = append(s.answer.body, make([]byte, 0, n))
		return true
	}
	return n <= 0
}

// Write implements http.ResponseWriter.
func (s *spool) Write(p []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	written := 0
	for !s.passing && written < len(p) {
		last := len(s.answer.body) - 1
		if last < 0 || len(s.answer.body[last]) == cap(s.answer.body[last]) {
			if !s.grow(heldChunk) {
				if err := s.overflow(); err != nil {
					return written, err
				}
			}
			continue
		}
		chunk := s.answer.body[last]
		n := copy(chunk[len(chunk):cap(chunk)], p[written:])
		s.answer.body[last] = chunk[:len(chunk)+n]
		s.answer.length += int64(n)
		written += n
	}
	if written == len(p) {
		return written, nil
	}
	n, err := s.ResponseWriter.Write(p[written:])
	return written + n, err
}

// overflow passes on an answer that does not fit.
func (s *spool) overflow() error {
	s.tooLong = true
	return s.pass()
}

// pass stops holding the answer. It passes on the part that has arrived, and everything
// that follows.
func (s *spool) pass() error {
	s.passing = true
	s.attach()
	clear(s.Header())
	maps.Copy(s.Header(), s.header)
	defer s.held.abandon(s.answer) // also if that panics
	s.ResponseWriter.WriteHeader(s.status)
	for _, chunk := range s.answer.body {
		if _, err := s.ResponseWriter.Write(chunk); err != nil { //nolint:gosec // it is the API's answer, which passes unchanged
			return err
		}
	}
	return nil
}

// end says that nothing more comes. whole says whether the answer is complete. end
// reports whether the answer is held now; then the caller has got nothing of it yet.
func (s *spool) end(whole bool) bool {
	switch {
	case s.passing:
		return false
	case s.status == 0:
		s.held.abandon(s.answer)
		return false
	case !whole || s.answer.length == 0:
		if s.pass() == nil {
			_ = s.FlushError()
		}
		return false
	}
	clear(s.Header())
	maps.Copy(s.Header(), s.before)
	// Fields that other handlers have set are removed: they set them again for each
	// call.
	maps.DeleteFunc(s.header, func(name string, values []string) bool {
		return name == "Trailer" || slices.Equal(values, s.before[name])
	})
	s.answer.status, s.answer.header = s.status, s.header
	s.held.hold(s.answer)
	return true
}

// FlushError implements what http.ResponseController looks for.
func (s *spool) FlushError() error {
	if !s.passing {
		return nil
	}
	return http.NewResponseController(s.ResponseWriter).Flush() //nolint:bodyclose // there is none
}

// Unwrap implements what http.ResponseController looks for.
func (s *spool) Unwrap() http.ResponseWriter { return s.ResponseWriter }
