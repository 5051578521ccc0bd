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
	// heldLimit is how much memory, in bytes, all held answers together may
	// take up.
	heldLimit = 128 << 20

	// heldFor is how long an answer is held.
	heldFor = 10 * time.Minute

	// heldOverhead is what an answer takes up besides its body, in bytes.
	heldOverhead = 4 << 10

	// heldChunk is by how much a body of unknown length grows, in bytes.
	heldChunk = 64 << 10
)

// heldAnswers are answers that are kept in memory, because they are the only
// copy of what they hold.
//
// Every such answer is kept, also one whose transfer ended without an error:
// that only says that the kernel took the bytes, and a caller may have gone
// without having read them. Where room is needed, those make it, oldest first.
// An answer whose last transfer broke off is kept until its time is over.
type heldAnswers struct {
	limit int64

	mu      sync.Mutex
	used    int64
	answers map[answerKey]*heldAnswer
	closed  bool
}

// answerKey says what an answer is about, and whose it is.
type answerKey [sha256.Size]byte

// A heldAnswer is the answer to a call, or one that is still awaited.
type heldAnswer struct {
	key     answerKey
	about   []zap.Field   // for the log
	settled chan struct{} // closed when the answer is held, or will not be

	// What is handed over. Not modified once the answer is held.
	status int
	header http.Header
	body   [][]byte
	length int64

	// Guarded by heldAnswers.mu.
	size      int64 // of the memory reserved
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

// claim returns the answer at key. If there is none, it is one for the caller of
// claim to settle, by hold or abandon; others wait for that, as long as ctx
// allows. One that is held must be given back with done.
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

// reserve takes n more bytes for a body, or reports false if there are not as
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

// makeRoom drops answers that were delivered, oldest first, until n bytes are
// free. If that cannot be, it drops none.
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

// hold keeps a, which is whole now. It must be given back with done.
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

// abandon says that a will not be held.
func (s *heldAnswers) abandon(a *heldAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.answers, a.key)
	s.free(a)
	close(a.settled)
}

// done ends a transfer of a, which was delivered, or not. It reports whether a is
// still held.
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

// expire drops a, whose time is over.
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

// drop takes a held answer away. Transfers of it that are under way go on.
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

// free gives the memory of a back.
func (s *heldAnswers) free(a *heldAnswer) {
	a.body = nil // not zeroed: HTTP/2 may still read what a caller that left was sent
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
			continue // whoever awaits it settles it
		}
		if !a.delivered {
			a.log(caddy.Log()).Warn("one-shot answer lost: the gateway stops")
		}
		s.drop(a)
	}
	return nil
}

// observeExpired counts and logs that a is gone, and that no transfer of it went
// well.
func (a *heldAnswer) observeExpired(logger *zap.Logger) {
	rescuedAnswers.WithLabelValues(resultExpired).Inc()
	a.log(logger).Warn("one-shot answer expired: its last transfer broke off, and nobody came for it")
}

// log returns a logger of what becomes of a. It says which order that is, in a
// form that cannot be used to ask for it, and nothing of the content.
func (a *heldAnswer) log(logger *zap.Logger) *zap.Logger {
	return logger.With(a.about...).With(zap.Int64("bytes", a.length))
}

// Interface guards
var _ caddy.Destructor = (*heldAnswers)(nil)
