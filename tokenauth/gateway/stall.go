package gateway

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A Phase is a part of sending a call that has a time limit of its own.
type Phase string

// The phases that a Transport limits.
const (
	PhaseConnect Phase = "connecting"
	PhaseWrite   Phase = "writing the request"
	PhaseHeader  Phase = "waiting for the response"
	PhaseRead    Phase = "reading the response"
)

// A TimeoutError says that a call made no progress for too long. It is a
// net.Error, and a timeout.
type TimeoutError struct {
	// Phase is the phase in which the call made no progress.
	Phase Phase

	// Limit is how long it made no progress.
	Limit time.Duration
}

// Error implements error.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("timeout while %s: no progress for %s", e.Phase, e.Limit)
}

// Timeout implements net.Error.
func (*TimeoutError) Timeout() bool { return true }

// Temporary implements net.Error.
func (*TimeoutError) Temporary() bool { return true }

// A stallTimer ends an operation that makes no progress. Unlike a time.Timer, it is cheap
// to start and stop around each of many readings: its time.Timer runs on, and when it
// fires, the stallTimer looks whether there was progress.
type stallTimer struct {
	expire func()           // called once, without the lock
	moved  func() time.Time // returns when another part made progress; may be nil

	mu      sync.Mutex
	phase   Phase
	limit   time.Duration
	since   time.Time // when the present wait began; zero if there is none
	timer   *time.Timer
	armed   bool      // the timer will fire
	fires   time.Time // when it will fire
	begun   bool      // there was a phase after the first one
	stopped bool
	expired *TimeoutError
}

// beginFirst is begin, unless begin or end was called before.
func (s *stallTimer) beginFirst(phase Phase, limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.beginLocked(phase, limit)
	}
}

// begin starts a wait that may take limit.
func (s *stallTimer) begin(phase Phase, limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
	s.beginLocked(phase, limit)
}

// beginLocked starts a wait.
func (s *stallTimer) beginLocked(phase Phase, limit time.Duration) {
	if s.stopped || limit <= 0 {
		return
	}
	s.phase, s.limit, s.since = phase, limit, time.Now()
	end := s.since.Add(limit)
	switch {
	case s.timer == nil:
		s.timer = time.AfterFunc(limit, s.look)
	case !s.armed || end.Before(s.fires):
		s.timer.Reset(limit)
	default:
		return // it looks again when it fires
	}
	s.armed, s.fires = true, end
}

// end says that there was progress. The timer does not run until the next begin.
func (s *stallTimer) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun, s.since = true, time.Time{}
}

// look expires the timer, if the present wait has taken too long.
func (s *stallTimer) look() {
	s.mu.Lock()
	since := s.since
	if s.moved != nil {
		if moved := s.moved(); moved.After(since) {
			since = moved
		}
	}
	left := s.limit - time.Since(since)
	switch {
	case s.stopped || s.since.IsZero():
		s.armed = false
	case left > 0:
		s.timer.Reset(left)
		s.fires = time.Now().Add(left)
	default:
		s.expired, s.stopped = &TimeoutError{s.phase, s.limit}, true
	}
	expired := s.expired
	s.mu.Unlock()
	if expired != nil {
		s.expire()
	}
}

// stop ends the timer. It returns a *TimeoutError if the timer has expired, else nil.
func (s *stallTimer) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.stopped = true
	if s.expired != nil { // a nil *TimeoutError would not be a nil error
		return s.expired
	}
	return nil
}

// err returns a *TimeoutError if the timer has expired, else nil.
func (s *stallTimer) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expired != nil {
		return s.expired
	}
	return nil
}

// A sentBody is a request body whose sending must make progress. The time between two
// readings is the time to write the bytes that were read, and is limited. The time of a
// reading is not limited: it depends on the caller, not on the server.
type sentBody struct {
	io.ReadCloser
	stall  *stallTimer
	limit  time.Duration
	last   atomic.Int64                 // when it was last read from, in nanoseconds of the Unix time
	answer atomic.Pointer[receivedBody] // body of the response; nil if none has come yet, or it has none
	closed chan struct{}
	once   sync.Once
}

// newSentBody returns the body of a request that must make progress within limit while it
// is written.
func newSentBody(body io.ReadCloser, stall *stallTimer, limit time.Duration) *sentBody {
	return &sentBody{ReadCloser: body, stall: stall, limit: limit, closed: make(chan struct{})}
}

// maxWrite is how many bytes of a body are read at once. It is small, so that also a slow
// server takes them within the limit.
const maxWrite = 64 << 10

// Read implements io.Reader.
func (b *sentBody) Read(p []byte) (int, error) {
	b.stall.end()
	n, err := b.ReadCloser.Read(p[:min(len(p), maxWrite)])
	b.last.Store(time.Now().UnixNano())
	if err == nil || err == io.EOF {
		b.stall.begin(PhaseWrite, b.limit)
	} else if answer := b.answer.Load(); answer != nil {
		b.outlast(answer)
	}
	return n, err
}

// outlast is called when the request's body has failed, before that error ends both the
// request and its response. It waits until the response has been read to its end, or makes
// no progress: a caller that sees an early response may break off its upload, and still
// wants the rest of the response.
func (b *sentBody) outlast(answer *receivedBody) {
	look := time.NewTicker(answerPause)
	defer look.Stop()
	for {
		select {
		case <-answer.over:
			return
		case <-b.closed:
			return
		case now := <-look.C:
			if answer.waits(now) {
				return // the server may be waiting for the rest of the request
			}
		}
	}
}

// Close implements io.Closer.
func (b *sentBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.ReadCloser.Close()
}

// answerPause is how long a response may make no progress after the request's body has
// broken off.
const answerPause = 2 * time.Second

// moved returns when the sending last made progress.
func (b *sentBody) moved() time.Time { return time.Unix(0, b.last.Load()) }

// A receivedBody is the body of a response. Its reading must make progress. When it is
// closed, it cancels the context of the attempt.
type receivedBody struct {
	io.ReadCloser
	limit  time.Duration
	stall  stallTimer
	cancel func() // may be nil

	since atomic.Int64  // when the present reading began, in nanoseconds of the Unix time; 0 if there is none
	over  chan struct{} // closed at the end of the body; nil if the request has no body
	once  sync.Once

	// res is the response with this body, if its trailers must not show the secrets;
	// else nil.
	res     *http.Response
	secrets sentSecrets
}

// newReceivedBody returns the body of a response that must make progress within limit
// while it is read. The progress of sent, the request body, counts too; sent may be nil.
func newReceivedBody(body io.ReadCloser, limit time.Duration, sent *sentBody, cancel func()) *receivedBody {
	b := &receivedBody{ReadCloser: body, limit: limit, cancel: cancel}
	b.stall.expire = func() { _ = body.Close() } // this ends the reading
	if sent != nil {
		b.stall.moved, b.over = sent.moved, make(chan struct{})
	}
	return b
}

// Read implements io.Reader.
func (b *receivedBody) Read(p []byte) (int, error) {
	b.stall.begin(PhaseRead, b.limit)
	if b.over != nil {
		b.since.Store(time.Now().UnixNano())
	}
	n, err := b.ReadCloser.Read(p)
	if b.over != nil {
		b.since.Store(0)
	}
	b.stall.end()
	if err == nil {
		return n, nil
	}
	b.end()
	b.concealTrailers()
	if stalled := b.stall.err(); stalled != nil && err != io.EOF {
		err = stalled
	}
	return n, b.secrets.concealError(err)
}

// concealTrailers removes secrets from the trailers, which come with the last reading of
// the body. Close does not do it, since another goroutine may be reading.
func (b *receivedBody) concealTrailers() {
	if b.res != nil {
		b.secrets.concealFields(b.res.Trailer)
	}
}

// waits reports whether a reading has waited for answerPause, without data from the server.
func (b *receivedBody) waits(now time.Time) bool {
	since := b.since.Load()
	return since != 0 && now.Sub(time.Unix(0, since)) >= answerPause
}

// end notes that the body is at its end.
func (b *receivedBody) end() {
	if b.over != nil {
		b.once.Do(func() { close(b.over) })
	}
}

// Close implements io.Closer.
func (b *receivedBody) Close() error {
	_ = b.stall.stop()
	b.end()
	err := b.ReadCloser.Close()
	if b.cancel != nil {
		b.cancel()
	}
	return err
}
