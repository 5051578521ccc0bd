package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// lockWait is how long to wait for another process to obtain a token. It is
	// longer than most storages take to notice that the holder of a lock has died.
	lockWait = 20 * time.Second

	// lockWaitJitter is by how much that is prolonged at random, so that those who
	// started together do not give up together.
	lockWaitJitter = 10 * time.Second

	// refusedWait is how long to look for the token of another process if the store
	// refuses a lock that is held instead of waiting for it, and a caller waits. It is up
	// to refusedWaitJitter shorter, for the same reason.
	refusedWait       = 3 * time.Second
	refusedWaitJitter = time.Second

	// doubt is how long to wait for the lock of a store that has not shown yet that it
	// works.
	doubt = 700 * time.Millisecond

	// writeWait is how long the others wait for a token that was obtained to be written.
	writeWait = time.Second

	// While waiting, the store is read again after firstLook, and then after
	// twice as long each time, up to lastLook.
	firstLook = 50 * time.Millisecond
	lastLook  = time.Second
)

// A turn is one process's turn to ask the provider, which it has while it holds the
// lock.
type turn struct {
	locked  chan struct{} // closed when the turn has come
	refused chan error    // why it does not come
	over    chan struct{} // closed when it is not needed any more
	once    sync.Once
	ended   chan struct{} // closed when the lock was given back, or did not come
}

// end ends the turn. If it comes later, it ends at once. A nil turn has no end.
func (t *turn) end() {
	if t != nil {
		t.once.Do(func() { close(t.over) })
	}
}

// lock waits for the turn at an entry in the background, nil if the turn before has not
// ended: a lock that never comes, whatever its context says, is waited for once.
func (s *shared) lock(e *entry) *turn {
	select {
	case s.operations.locking <- struct{}{}:
	default:
		return nil
	}
	t := &turn{locked: make(chan struct{}), refused: make(chan error, 1), over: make(chan struct{}), ended: make(chan struct{})}
	go func() { // it ends when the store lets it
		defer close(t.ended)
		defer func() { <-s.operations.locking }()
		// Not cancelled when the token has come: some storages then go on for ever.
		ctx, cancel := context.WithTimeout(context.Background(), lockWait+lockWaitJitter)
		defer cancel()
		if err := guarded(func() error { return s.store.Lock(ctx, e.lock()) }); err != nil {
			t.refused <- err
			return
		}
		close(t.locked)
		<-t.over
		s.unlock(e)
	}()
	return t
}

// unlock gives the lock back. It tries that some times: some storages keep a lock alive
// for as long as the process that has it.
func (s *shared) unlock(e *entry) {
	for wait := time.Second; ; wait *= 4 {
		err := s.unlockOnce(e)
		if err == nil {
			return
		}
		s.tell(storeError(err))
		if wait > lockWait {
			return
		}
		time.Sleep(wait)
	}
}

// unlockOnce tries once to give the lock back.
func (s *shared) unlockOnce(e *entry) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return guarded(func() error { return s.store.Unlock(ctx, e.lock()) })
}

// hasCome returns what is closed when the turn has come. That of a nil turn never is.
func (t *turn) hasCome() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.locked
}

// isRefused returns what tells why the turn does not come. That of a nil turn never does.
func (t *turn) isRefused() <-chan error {
	if t == nil {
		return nil
	}
	return t.refused
}

// errHeld is the failure if the lock cannot be had, and nobody leaves a token.
var errHeld = errors.New("the lock cannot be had, and no other server leaves a token")

// await waits until it is this process's turn to ask the provider; or it returns the
// token that another process has obtained meanwhile. If neither comes in time, or the
// store does not work, it returns nil twice.
func (v *visit) await(ctx context.Context, metadata *Metadata) (got *turn, token *Token) {
	if v.hopeless() || (v.odd != nil && !v.probe(ctx)) {
		return nil, nil
	}
	w := v.newWait()
	look := time.NewTimer(firstLook)
	defer look.Stop()
	asked, turn := w.began, v.shared.lock(v.entries.token)
	defer func() {
		if got == nil {
			turn.end()
		}
	}()
	hurry := v.need.hurry
	if v.urgent() {
		hurry = nil // it is known
	}
	for {
		select {
		case <-hurry:
			hurry = nil
			look.Reset(0) // this may be as long as the caller can wait
		case <-turn.hasCome():
			if token := v.take(ctx, metadata); token != nil {
				return nil, token
			}
			return turn, nil
		case err := <-turn.isRefused():
			turn = nil
			w.refused(err, time.Since(asked))
			if !v.probe(ctx) {
				return nil, nil
			}
		case <-look.C:
			began := time.Now()
			if token := v.look(ctx, metadata, turn); token != nil {
				return nil, token
			}
			took := time.Since(began)
			if turn == nil {
				asked, turn = time.Now(), v.shared.lock(v.entries.token)
			}
			left := w.left(turn == nil)
			if left <= 0 {
				v.fail(ctx, &StoreError{StoreLocked, w.refusal})
			}
			if left <= 0 || v.hopeless() || !w.worthwhile(ctx) {
				return nil, nil
			}
			look.Reset(min(w.pause(took), left))
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// look is take while the turn is waited for. If it comes meanwhile, the look has kept it
// waiting. If not, the time of the look is no part of the budget: it is the other
// process that is waited for.
func (v *visit) look(ctx context.Context, metadata *Metadata, turn *turn) *Token {
	spent := v.spent
	token := v.take(ctx, metadata)
	select {
	case <-turn.hasCome():
	default:
		if !v.hopeless() {
			v.spent = spent
		}
	}
	return token
}

// A wait is for how long, and how often, another process's token is looked for.
type wait struct {
	visit       *visit
	began       time.Time
	long, short time.Duration // for a lock that is waited for, and for one that is refused
	next        time.Duration // between two looks
	refuses     bool          // the store does not wait for a lock that is held
	refusal     error         // of the lock
}

// newWait begins a wait.
func (v *visit) newWait() *wait {
	return &wait{
		visit: v, began: time.Now(), next: firstLook, refusal: errHeld,
		long:  lockWait + rand.N(lockWaitJitter),       //nolint:gosec // jitter
		short: refusedWait - rand.N(refusedWaitJitter), //nolint:gosec // jitter
	}
}

// refused notes that a lock was refused after a time. One that was waited for may come
// when it is waited for again.
func (w *wait) refused(err error, after time.Duration) {
	w.refuses = w.refuses || after < refusedWait
	w.refusal = fmt.Errorf("the storage refuses the lock: %w", err)
}

// left returns how much longer to wait. A caller does not wait long if nothing waits for
// the lock.
func (w *wait) left(idle bool) time.Duration {
	if w.visit.urgent() && (w.refuses || idle) {
		began := w.began
		if w.visit.hurried.After(began) {
			began = w.visit.hurried
		}
		return time.Until(began.Add(w.short))
	}
	return time.Until(w.began.Add(w.long))
}

// worthwhile reports whether the store works, once that is in doubt. Nor is the time for
// that part of the budget.
func (w *wait) worthwhile(ctx context.Context) bool {
	if time.Since(w.began) < doubt {
		return true
	}
	spent := w.visit.spent
	works := w.visit.probe(ctx)
	if works {
		w.visit.spent = spent
	}
	return works
}

// pause returns how long to wait until the next look, after one that took a time.
func (w *wait) pause(took time.Duration) time.Duration {
	w.next = min(2*w.next, lastLook)
	return max(w.next, 2*took)
}
