package tokenauth

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
	// Phase is where the call was.
	Phase Phase

	// Limit is for how long there was no progress.
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

// A stallTimer ends something that makes no progress. Unlike a time.Timer, it is
// cheap to start and stop around each of many readings: the runtime's timer runs
// on, and looks whether there was progress when it fires.
type stallTimer struct {
	expire func()           // called once, without the lock
	moved  func() time.Time // when something else made progress; may be nil

	mu      sync.Mutex
	phase   Phase
	limit   time.Duration
	since   time.Time // when the present wait began; zero if there is none
	timer   *time.Timer
	armed   bool      // the timer will fire
	fires   time.Time // when it will
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

// end says that there was progress, and nothing to wait for until the next begin.
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

// stop ends the timer, and returns the error if it has expired.
func (s *stallTimer) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.stopped = true
	if s.expired != nil { // a nil *TimeoutError is no nil error
		return s.expired
	}
	return nil
}

// err returns the error if the timer has expired.
func (s *stallTimer) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expired != nil {
		return s.expired
	}
	return nil
}

// A sentBody is a request body whose sending must make progress. The time between
// two readings is the time that it takes to write what was read; while it is read,
// the caller is waited for, not the server.
type sentBody struct {
	io.ReadCloser
	stall  *stallTimer
	limit  time.Duration
	last   atomic.Int64                 // when it was last read from, in nanoseconds of the Unix time
	answer atomic.Pointer[receivedBody] // the response to it; nil if none has come, or it has no body
	closed chan struct{}
	once   sync.Once
}

// newSentBody returns the body of a request that may stop for limit while it is written.
func newSentBody(body io.ReadCloser, stall *stallTimer, limit time.Duration) *sentBody {
	return &sentBody{ReadCloser: body, stall: stall, limit: limit, closed: make(chan struct{})}
}

// maxWrite is how much of a body is read at once, in bytes, so that a slow server
// makes progress within the limit.
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

// outlast waits until a response has been read, or does not go on, before the error of
// the request's body ends both: a caller that sees an early response may break off what
// it sends, and still wants the rest of the response.
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
				return // for the rest of the body, maybe
			}
		}
	}
}

// Close implements io.Closer.
func (b *sentBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.ReadCloser.Close()
}

// answerPause is how long a response may stop whose request's body has broken off.
const answerPause = 2 * time.Second

// moved returns when the sending last made progress.
func (b *sentBody) moved() time.Time { return time.Unix(0, b.last.Load()) }

// A receivedBody is the body of a response, the reading of which must make
// progress. It ends what belongs to the request when it is closed.
type receivedBody struct {
	io.ReadCloser
	limit  time.Duration
	stall  stallTimer
	cancel func() // may be nil

	since atomic.Int64  // when the present reading has begun, in nanoseconds of the Unix time; 0 if there is none
	over  chan struct{} // closed when nothing more comes
	once  sync.Once

	// The response that it belongs to, if nothing of that may show the secrets; else nil.
	res     *http.Response
	secrets sentSecrets
}

// newReceivedBody returns the body of a response that may stop for limit while it
// is read, unless sent, which may be nil, is still on its way to the server.
func newReceivedBody(body io.ReadCloser, limit time.Duration, sent *sentBody, cancel func()) *receivedBody {
	b := &receivedBody{ReadCloser: body, limit: limit, cancel: cancel, over: make(chan struct{})}
	b.stall.expire = func() { _ = body.Close() } // which ends the reading
	if sent != nil {
		b.stall.moved = sent.moved
	}
	return b
}

// Read implements io.Reader.
func (b *receivedBody) Read(p []byte) (int, error) {
	b.stall.begin(PhaseRead, b.limit)
	b.since.Store(time.Now().UnixNano())
	n, err := b.ReadCloser.Read(p)
	b.since.Store(0)
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

// concealTrailers does that, which come with the reading that ends the body. Close does
// not look at them: another goroutine may be reading.
func (b *receivedBody) concealTrailers() {
	if b.res != nil {
		b.secrets.concealFields(b.res.Trailer)
	}
}

// waits reports whether the server has sent nothing for answerPause, though it is read.
func (b *receivedBody) waits(now time.Time) bool {
	since := b.since.Load()
	return since != 0 && now.Sub(time.Unix(0, since)) >= answerPause
}

// end notes that nothing more comes.
func (b *receivedBody) end() { b.once.Do(func() { close(b.over) }) }

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
