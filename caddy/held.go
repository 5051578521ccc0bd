package caddyesign

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

const (
	// heldLimit is the size, in bytes, of the memory for all held answers together.
	heldLimit = 128 << 20

	// heldFor is how long an answer is held.
	heldFor = 10 * time.Minute

	// heldOverhead is the memory, in bytes, that an answer takes up besides its body.
	heldOverhead = 4 << 10

	// heldChunk is the size, in bytes, of the steps in which a body of unknown length
	// grows.
	heldChunk = 64 << 10
)

// heldAnswers are answers that are kept in memory, because they are the only copy of
// their content.
//
// Every such answer is kept, even if its transfer ended without an error. That only
// says that the kernel took the bytes; the caller may have gone before it read them.
// When room is needed, answers whose transfer ended so are dropped, the oldest first.
// An answer whose last transfer broke off is kept until its time is over.
type heldAnswers struct {
	limit int64

	mu      sync.Mutex
	used    int64
	answers map[answerKey]*heldAnswer
	closed  bool
}

// answerKey identifies an answer: its order, and the caller that it belongs to.
type answerKey [sha256.Size]byte

// A heldAnswer is the answer to a call, or a placeholder for one that has not arrived
// yet.
type heldAnswer struct {
	key     answerKey
	about   []zap.Field   // fields for the log
	settled chan struct{} // closed when the answer is held, or is certain not to be held

	// These are what callers get. They do not change once the answer is held.
	status int
	header http.Header
	body   [][]byte
	length int64

	// These are guarded by heldAnswers.mu.
	size      int64 // memory reserved, in bytes
	held      bool
	since     time.Time
	expiry    *time.Timer
	users     int  // transfers under way
	delivered bool // the last transfer ended without an error
	dropped   bool
}

// newHeldAnswers returns a store of limit bytes.
func newHeldAnswers(limit int64) *heldAnswers {
	return &heldAnswers{limit: limit, answers: make(map[answerKey]*heldAnswer)}
}

// claim returns the held answer at key, which must be given back with done. If there is
// none, it returns a new one with first set, which the caller of claim must settle by
// hold or abandon. While an answer is not settled, others wait for it until ctx ends.
func (s *heldAnswers) claim(ctx context.Context, key answerKey, about ...zap.Field) (answer *heldAnswer, first bool, err error) {
	for {
		s.mu.Lock()
		answer := s.answers[key]
		switch {
		case answer == nil:
			answer = &heldAnswer{key: key, about: about, settled: make(chan struct{})}
			s.answers[key] = answer
			s.mu.Unlock()
			return answer, true, nil
		case answer.held:
			answer.users++
			s.mu.Unlock()
			return answer, false, nil
		}
		s.mu.Unlock()
		select {
		case <-answer.settled:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// reserve reserves n more bytes for the body of a. It returns false if there are not so
// many.
func (s *heldAnswers) reserve(a *heldAnswer, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || n > s.limit || !s.makeRoom(s.used+n-s.limit) {
		return false
	}
	s.used += n
	a.size += n
	heldAnswerBytes.Add(float64(n))
	return true
}

// makeRoom drops answers that were delivered, the oldest first, until n bytes are free.
// If they would not suffice, it drops none.
func (s *heldAnswers) makeRoom(n int64) bool {
	if n <= 0 {
		return true
	}
	var spare []*heldAnswer
	var size int64
	for _, a := range s.answers {
		if a.delivered && a.users == 0 {
			spare = append(spare, a)
			size += a.size
		}
	}
	if size < n {
		return false
	}
	slices.SortFunc(spare, func(a, b *heldAnswer) int { return a.since.Compare(b.since) })
	for ; n > 0; spare = spare[1:] {
		n -= spare[0].size
		s.drop(spare[0])
	}
	return true
}

// hold keeps a, which has arrived whole. It must be given back with done.
func (s *heldAnswers) hold(a *heldAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.held, a.users, a.since = true, 1, time.Now()
	heldAnswerCount.Inc()
	if s.closed {
		s.drop(a)
	} else {
		a.expiry = time.AfterFunc(heldFor, func() { s.expire(a) })
	}
	close(a.settled)
}

// abandon settles a as not held.
func (s *heldAnswers) abandon(a *heldAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.answers, a.key)
	s.free(a)
	close(a.settled)
}

// done ends a transfer of a. delivered says whether the caller got it all. It reports
// whether a is still held.
func (s *heldAnswers) done(a *heldAnswer, delivered bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.users--
	a.delivered = delivered
	if a.dropped && a.users == 0 {
		s.free(a)
	}
	return !a.dropped
}

// expire drops a when its time is over.
func (s *heldAnswers) expire(a *heldAnswer) {
	s.mu.Lock()
	lost := !a.dropped && !a.delivered && a.users == 0
	if !a.dropped {
		s.drop(a)
	}
	s.mu.Unlock()
	if lost {
		a.observeExpired(caddy.Log())
	}
}

// drop removes a held answer. Transfers of it that are under way continue.
func (s *heldAnswers) drop(a *heldAnswer) {
	if a.expiry != nil {
		a.expiry.Stop()
	}
	delete(s.answers, a.key)
	heldAnswerCount.Dec()
	a.dropped = true
	if a.users == 0 {
		s.free(a)
	}
}

// free gives back the memory of a.
func (s *heldAnswers) free(a *heldAnswer) {
	a.body = nil // the bytes are not overwritten: HTTP/2 may still read them for a caller that has left
	s.used -= a.size
	heldAnswerBytes.Sub(float64(a.size))
	a.size = 0
}

// Destruct implements caddy.Destructor.
func (s *heldAnswers) Destruct() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, a := range s.answers {
		if !a.held {
			continue // the call that waits for it settles it
		}
		if !a.delivered {
			a.log(caddy.Log()).Warn("one-shot answer lost: the gateway stops")
		}
		s.drop(a)
	}
	return nil
}

// observeExpired counts and logs that a was dropped without a complete transfer.
func (a *heldAnswer) observeExpired(logger *zap.Logger) {
	rescuedAnswers.WithLabelValues(resultExpired).Inc()
	a.log(logger).Warn("one-shot answer expired: its last transfer broke off, and nobody came for it")
}

// log returns a logger for events about a. It identifies the order in a form that
// cannot be used to ask for it, and shows nothing of the content.
func (a *heldAnswer) log(logger *zap.Logger) *zap.Logger {
	return logger.With(a.about...).With(zap.Int64("bytes", a.length))
}

// Interface guards
var _ caddy.Destructor = (*heldAnswers)(nil)
