package tokenauth

import (
	"context"
	"crypto"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"
)

// A Queue is the way to something that serves a limited number of calls at once and may
// hang, such as a TPM. Calls that wait for their turn get it in the order in which they
// came. A call that hangs keeps its turn until it returns. Queues are safe for concurrent
// use. NewQueue makes one.
type Queue struct {
	made   time.Time
	places []place
	free   chan *place
}

// A place is that of one call.
type place struct {
	began atomic.Int64 // when its call began, in nanoseconds since the Queue was made; 0 if there is none
}

// NewQueue returns a Queue that serves up to n calls at once (at least 1).
func NewQueue(n int) *Queue {
	n = max(n, 1)
	q := &Queue{made: time.Now(), places: make([]place, n), free: make(chan *place, n)}
	for i := range q.places {
		q.free <- &q.places[i]
	}
	return q
}

// Do calls f when it is its turn, and returns its error. If ctx ends before, Do returns an
// error that wraps that of ctx: without a call of f if its turn had not come, and else
// while f goes on in the background. So f must not write to variables that its caller
// uses after that.
func (q *Queue) Do(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var mine *place
	select {
	case mine = <-q.free:
	case <-ctx.Done():
		if took := q.longest(); took >= hangTime {
			return fmt.Errorf("it does not respond: a call to it has not returned for %v: %w", took.Round(time.Second), ctx.Err())
		}
		return fmt.Errorf("others are using it: %w", ctx.Err())
	}
	if err := ctx.Err(); err != nil { // both were possible
		q.free <- mine
		return err
	}
	mine.began.Store(int64(max(time.Since(q.made), 1)))
	result := make(chan error, 1)
	go func() { // ends when f returns
		defer func() {
			mine.began.Store(0)
			q.free <- mine
		}()
		result <- guarded("it", f)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it does not respond: %w", ctx.Err())
	}
}

// hangTime is the time after which a call is not taken for one that only makes others wait.
const hangTime = 5 * time.Second

// longest returns for how long the oldest call has been under way.
func (q *Queue) longest() time.Duration {
	var longest time.Duration
	for i := range q.places {
		if began := q.places[i].began.Load(); began > 0 {
			longest = max(longest, time.Since(q.made)-time.Duration(began))
		}
	}
	return longest
}

// Signer returns a Signer that signs with s when it is its turn in q.
func (q *Queue) Signer(s crypto.Signer) Signer { return queued{q, s} }

// queued is a crypto.Signer with its Queue.
type queued struct {
	queue  *Queue
	signer crypto.Signer
}

// Public implements Signer.
func (s queued) Public() crypto.PublicKey { return s.signer.Public() }

// Sign implements Signer.
func (s queued) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	made := make(chan []byte, 1) // s.signer may still be signing when nobody waits any more
	err := s.queue.Do(ctx, func() error {
		signature, err := s.signer.Sign(rand.Reader, digest, opts)
		made <- signature
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-made, nil
}
