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
	// lockWait is how long to wait while another process obtains a token. It is longer
	// than most storages need to notice that the holder of a lock has died.
	lockWait = 20 * time.Second

	// lockWaitJitter is the most by which lockWait is prolonged, at random, so that
	// processes that started together do not give up together.
	lockWaitJitter = 10 * time.Second

	// refusedWait is how long to look for the token of another process while a caller
	// waits, if the store refuses a lock that is held instead of waiting for it. It is
	// shortened by up to refusedWaitJitter, for the same reason.
	refusedWait       = 3 * time.Second
	refusedWaitJitter = time.Second

	// probeAfter is how long to wait for the lock before looking whether the store works.
	probeAfter = 700 * time.Millisecond

	// writeWait is how long a turn lasts at most after the token was obtained. The token
	// is written in that time, and other processes wait for it.
	writeWait = time.Second

	// During the wait, the store is read again after firstLook, then after twice that
	// time, and so on up to lastLook.
	firstLook = 50 * time.Millisecond
	lastLook  = time.Second
)

// A turn is this process's turn to ask the provider. The process has it while it holds
// the lock.
type turn struct {
	locked  chan struct{} // closed when the turn has come
	refused chan error    // gives the reason if the turn does not come
	over    chan struct{} // closed when the turn is not needed any more
	once    sync.Once
	ended   chan struct{} // closed when the lock was given back, or was refused
}

// end ends the turn. If the turn comes later, it ends at once. For a nil turn, end does
// nothing.
func (t *turn) end() {
	if t != nil {
		t.once.Do(func() { close(t.over) })
	}
}

// lock starts to wait for the turn at an entry in the background. It returns nil if the
// previous turn has not ended: if a store never returns from Lock, only one goroutine may
// hang there.
func (s *shared) lock(e *entry) *turn {
	select {
	case s.operations.locking <- struct{}{}:
	default:
		return nil
	}
	t := &turn{locked: make(chan struct{}), refused: make(chan error, 1), over: make(chan struct{}), ended: make(chan struct{})}
	go func() { // ends when the store's operations return
		defer close(t.ended)
		defer func() { <-s.operations.locking }()
		// This context is not cancelled when a token has come, since some storages then
		// never return from Lock.
		ctx, cancel := context.WithTimeout(context.Background(), lockWait+lockWaitJitter)
		defer cancel()
		if err := guarded(storeSubject, func() error { return s.store.Lock(ctx, e.lock()) }); err != nil {
			t.refused <- err
			return
		}
		close(t.locked)
		<-t.over
		s.unlock(e)
	}()
	return t
}

// unlock gives the lock back. It tries several times, since some storages keep a lock
// alive for as long as the process runs.
func (s *shared) unlock(e *entry) {
	for wait := time.Second; ; wait *= 4 {
		err := s.unlockOnce(e)
		if err == nil {
			return
		}
		s.notify(storeError(err))
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
	return guarded(storeSubject, func() error { return s.store.Unlock(ctx, e.lock()) })
}

// gotLock returns a channel that is closed when the turn has come. For a nil turn, it
// returns nil.
func (t *turn) gotLock() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.locked
}

// lockRefused returns a channel that gives the reason if the turn does not come. For a nil
// turn, it returns nil.
func (t *turn) lockRefused() <-chan error {
	if t == nil {
		return nil
	}
	return t.refused
}

// errHeld is the error if this process does not get the lock, and no other process leaves
// a token.
var errHeld = errors.New("this server does not get the lock, and no other server leaves a token")

// await waits for this process's turn to ask the provider, and returns the turn. If another
// process obtains a token meanwhile, it returns that token. If neither comes in time, or
// the store does not work, both results are nil.
func (v *visit) await(ctx context.Context, metadata *Metadata) (got *turn, token *Token) {
	if v.exhausted() || (v.lastReadError != nil && !v.probe(ctx)) {
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
	awaited := v.need.awaited
	if v.urgent() {
		awaited = nil // already known
	}
	for {
		select {
		case <-awaited:
			awaited = nil
			look.Reset(0) // look at once whether there is time left for the caller to wait
		case <-turn.gotLock():
			if token := v.take(ctx, metadata); token != nil {
				return nil, token
			}
			return turn, nil
		case err := <-turn.lockRefused():
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
			if left <= 0 || v.exhausted() || !w.storeWorks(ctx) {
				return nil, nil
			}
			look.Reset(min(w.pause(took), left))
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// look is take during the wait for the turn. If the turn has come by the end of the look,
// the look has delayed it, and its time counts for the budget. Otherwise its time does not
// count, since the visit waits for the other process anyway.
func (v *visit) look(ctx context.Context, metadata *Metadata, turn *turn) *Token {
	spent := v.spent
	token := v.take(ctx, metadata)
	select {
	case <-turn.gotLock():
	default:
		if !v.exhausted() {
			v.spent = spent
		}
	}
	return token
}

// A wait says how long, and how often, a visit looks for the token of another process.
type wait struct {
	visit       *visit
	began       time.Time
	long, short time.Duration // the whole time; short if the store refuses the lock
	next        time.Duration // time between two looks
	refuses     bool          // the store does not wait for a lock that is held
	refusal     error         // why this process does not have the lock
}

// newWait begins a wait.
func (v *visit) newWait() *wait {
	return &wait{
		visit: v, began: time.Now(), next: firstLook, refusal: errHeld,
		long:  lockWait + rand.N(lockWaitJitter),       //nolint:gosec // jitter
		short: refusedWait - rand.N(refusedWaitJitter), //nolint:gosec // jitter
	}
}

// refused notes that a lock was refused after some time. If the store has waited for the
// lock, the lock may come at the next try.
func (w *wait) refused(err error, after time.Duration) {
	w.refuses = w.refuses || after < refusedWait
	w.refusal = fmt.Errorf("the storage refuses the lock: %w", err)
}

// left returns how much longer to wait. idle says that no goroutine waits for the lock: then
// a caller must not wait long.
func (w *wait) left(idle bool) time.Duration {
	if w.visit.urgent() && (w.refuses || idle) {
		began := w.began
		if w.visit.urgentSince.After(began) {
			began = w.visit.urgentSince
		}
		return time.Until(began.Add(w.short))
	}
	return time.Until(w.began.Add(w.long))
}

// storeWorks reports whether the store works. It tries the store only after probeAfter. If the
// store works, that time does not count for the budget.
func (w *wait) storeWorks(ctx context.Context) bool {
	if time.Since(w.began) < probeAfter {
		return true
	}
	spent := w.visit.spent
	works := w.visit.probe(ctx)
	if works {
		w.visit.spent = spent
	}
	return works
}

// pause returns how long to wait until the next look, after a look that took took.
func (w *wait) pause(took time.Duration) time.Duration {
	w.next = min(2*w.next, lastLook)
	return max(w.next, 2*took)
}
