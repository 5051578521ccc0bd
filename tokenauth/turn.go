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

	// refusedWait is how long to look for the token of another process, since the
	// visit began, if the store refuses a lock that is held instead of waiting for it.
	// It is up to refusedWaitJitter shorter, for the same reason.
	refusedWait       = 3 * time.Second
	refusedWaitJitter = 500 * time.Millisecond

	// doubt is how long to wait for the lock of a store that has not shown yet that it
	// works.
	doubt = 300 * time.Millisecond

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
	case s.locking <- struct{}{}:
	default:
		return nil
	}
	t := &turn{locked: make(chan struct{}), refused: make(chan error, 1), over: make(chan struct{})}
	go func() { // it ends when the store lets it
		defer func() { <-s.locking }()
		// Not cancelled when the token has come: some storages then go on for ever.
		ctx, cancel := context.WithTimeout(context.Background(), lockWait+lockWaitJitter)
		defer cancel()
		if err := guarded(func() error { return s.store.Lock(ctx, e.lock()) }); err != nil {
			t.refused <- err
			return
		}
		close(t.locked)
		<-t.over
		ctx, cancel = context.WithTimeout(context.Background(), writeTimeout)
		defer cancel()
		if err := guarded(func() error { return s.store.Unlock(ctx, e.lock()) }); err != nil {
			s.failed(storeError(err))
		}
	}()
	return t
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

// errHeld is the failure if nobody leaves a token, and the lock cannot be had.
var errHeld = errors.New("another server has the lock, and leaves no token")

// await waits until it is this process's turn to ask the provider; or it returns the
// token that another process has obtained meanwhile. If neither comes in time, or the
// store does not work, it returns nil twice.
func (v *visit) await(ctx context.Context, metadata *Metadata) (*turn, *Token) {
	if v.hopeless() || (v.odd != nil && !v.probe(ctx)) {
		return nil, nil
	}
	until, refusal := v.began.Add(lockWait+rand.N(lockWaitJitter)), errHeld //nolint:gosec // jitter
	soon := v.began.Add(refusedWait - rand.N(refusedWaitJitter))            //nolint:gosec // jitter
	wait := firstLook
	look := time.NewTimer(wait)
	defer look.Stop()
	turn := v.shared.lock(v.entries.token)
	for {
		if turn == nil && until.After(soon) {
			until = soon // the storage does not wait, so this does, but not for as long
		}
		select {
		case <-turn.hasCome():
			if token := v.take(ctx, metadata); token != nil {
				turn.end()
				return nil, token
			}
			return turn, nil
		case err := <-turn.isRefused():
			turn, refusal = nil, fmt.Errorf("the storage refuses the lock: %w", err)
			if !v.probe(ctx) {
				return nil, nil
			}
		case <-look.C:
			start := time.Now()
			if token := v.take(ctx, metadata); token != nil {
				turn.end()
				return nil, token
			}
			took := time.Since(start)
			late := !time.Now().Before(until)
			if late {
				v.fail(ctx, &StoreError{StoreLocked, refusal})
			}
			if late || v.hopeless() || (time.Since(v.began) >= doubt && !v.probe(ctx)) {
				turn.end()
				return nil, nil
			}
			if turn == nil {
				turn = v.shared.lock(v.entries.token)
			}
			wait = min(2*wait, lastLook)
			look.Reset(min(max(wait, 2*took), time.Until(until)))
		case <-ctx.Done():
			turn.end()
			return nil, nil
		}
	}
}
