package tokenauth

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"
)

const (
	// A store that does not give back what was written is tried again after
	// firstUnfit, and then after twice as long each time, up to lastUnfit.
	firstUnfit = time.Minute
	lastUnfit  = time.Hour

	// secondReading is how long after the first one what was written is read again, if
	// the first did not find it.
	secondReading = time.Second
)

// shared is the supplier that looks in a store for what other processes have obtained,
// and asks the provider only if there is nothing. It leaves the token in the store for
// the others. The store can fail in any way: that costs time, which is bounded, and
// requests, but no token.
type shared struct {
	direct     *direct
	store      Store
	operations operations
	locking    chan struct{}    // full while the lock is waited for or held
	background func(func())     // runs what goes on when the token is there
	observe    func(StoreEvent) // is told of failures

	mu     sync.Mutex
	alone  bool          // the last token could not be shared
	saving bool          // a token is being written
	pause  time.Duration // until an unfit store is tried again; zero if it is fit
	paused instant       // when that began
}

// newShared returns the supplier that shares what next obtains.
func newShared(next *direct, store Store, background func(func()), observe func(StoreEvent)) *shared {
	return &shared{
		direct: next, store: store, background: background, observe: observe,
		operations: make(operations, storeOperations), locking: make(chan struct{}, 1),
	}
}

// obtain implements supplier. Discovery and the token request have the time of n each,
// since a turn may be long in coming. What is spent with the store comes on top.
func (s *shared) obtain(ctx context.Context, n need) (*Token, error) {
	v := s.visit(n)
	if v == nil {
		return s.direct.obtain(ctx, n)
	}
	limited, cancel := context.WithDeadline(ctx, n.deadline)
	defer cancel()
	metadata, err := s.direct.config.Provider.Metadata(limited, s.direct.client)
	fit, try := s.fit()
	if fit {
		if err != nil {
			metadata = v.metadata(ctx)
		}
		n.event.Metadata = metadata
		if token := v.take(ctx, metadata); token != nil {
			return token, nil
		}
	}
	if metadata == nil {
		return nil, err
	}
	var turn *turn
	defer func() { turn.end() }()
	if fit {
		var token *Token
		if turn, token = v.await(ctx, metadata); token != nil {
			return token, nil
		}
	}
	limited, cancel = context.WithTimeout(ctx, n.limit)
	defer cancel()
	token, err := s.direct.ask(limited, metadata, n)
	if err == nil && (fit || try) {
		v.leave(token, turn)
		turn = nil
	}
	return token, err
}

// look implements supplier.
func (s *shared) look(ctx context.Context, n need) *Token {
	v := s.visit(n)
	if fit, _ := s.fit(); v == nil || !fit {
		return nil
	}
	limited, cancel := context.WithDeadline(ctx, n.deadline)
	defer cancel()
	// Without it, the token of another process may still do.
	n.event.Metadata, _ = s.direct.config.Provider.Metadata(limited, s.direct.client)
	return v.take(ctx, n.event.Metadata)
}

// fleet implements supplier.
func (*shared) fleet() bool { return true }

// fit reports whether the store gives back what is written, as far as is known, and if
// not, whether it is time to try it again.
func (s *shared) fit() (fit, try bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pause == 0, readClocks().since(s.paused) >= s.pause
}

// failed tells of a failure that has cost time at most.
func (s *shared) failed(failure *StoreError) {
	s.observe(StoreEvent{Scopes: strings.Join(s.direct.config.Scopes, " "), Err: failure})
}

// settle notes whether the last token was shared. If not, failure is why.
func (s *shared) settle(failure *StoreError) {
	s.mu.Lock()
	changed := s.alone != (failure != nil)
	s.alone = failure != nil
	s.mu.Unlock()
	if changed {
		s.observe(StoreEvent{Scopes: strings.Join(s.direct.config.Scopes, " "), Err: failure, Changed: true})
	}
}

// judge notes whether what was written could be read.
func (s *shared) judge(fit bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fit {
		s.pause = 0
		return
	}
	s.pause, s.paused = min(max(2*s.pause, firstUnfit), lastUnfit), readClocks()
}

// leave leaves a token for the other processes, and the document with which it was
// obtained. It does that in the background, and ends the turn when the token is there.
func (v *visit) leave(token *Token, turn *turn) {
	value := v.seal(token)
	if value == nil {
		turn.end()
		return
	}
	s := v.shared
	s.mu.Lock()
	busy := s.saving
	s.saving = true
	s.mu.Unlock()
	if busy { // the last token has not been written yet
		turn.end()
		s.settle(&StoreError{StoreSlow, errSilent})
		return
	}
	document := s.direct.config.Provider.document()
	s.background(func() {
		defer func() {
			turn.end()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.saving = false
		}()
		if turn == nil { // nothing was looked for, or in vain
			v.found, _ = s.read(v.entries.token)
		}
		failure := s.save(v.entries.token, value)
		turn.end()
		if failure == nil {
			failure = s.verify(v.entries.token, value, v.found)
			s.judge(failure == nil)
		}
		if failure != nil {
			s.failed(failure)
		} else if document != nil {
			if failure := s.save(v.entries.document, document); failure != nil {
				s.failed(failure)
			}
		}
		if failure == nil {
			failure = v.failure
		}
		s.settle(failure)
	})
}

// seal returns what the other processes are to read of a token, nil if it is of no use
// to them; nor is it if this machine's clock is known to be wrong, and is not
// corrected: they would take the token for younger or older than it is.
func (v *visit) seal(token *Token) []byte {
	clock := v.shared.direct.config.Provider.Clock()
	if token.once || (clock.Known && !clock.Correctable()) {
		return nil
	}
	value, err := json.Marshal(sharedToken{
		AccessToken: token.secret.Reveal(), IssuedAt: token.issued.wall.Add(clock.correction()),
		Lifetime: token.lifetime, Scopes: token.scopes,
	})
	if err != nil {
		return nil // it is made of strings and numbers
	}
	return value
}

// save writes an entry when nobody waits for it.
func (s *shared) save(e *entry, value []byte) *StoreError {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	err := s.operations.run(ctx, func(ctx context.Context) error { return e.save(ctx, s.store, value) })
	return storeError(err)
}

// verify reads what was written. Another process may have written since, but nothing is
// left of what was found before.
func (s *shared) verify(e *entry, written, found []byte) *StoreError {
	for again := false; ; again = true {
		value, err := s.read(e)
		switch {
		case err == nil && (string(value) == string(written) || string(value) != string(found)):
			return nil
		case !again:
			time.Sleep(secondReading) // nobody waits, and it may take a moment
		case err == nil:
			return &StoreError{StoreChanged, errors.New("the storage gives back an older value than was written")}
		case errors.Is(err, fs.ErrNotExist):
			return &StoreError{StoreLost, errors.New("the storage does not have what was written")}
		default:
			return storeError(err)
		}
	}
}

// read reads an entry when nobody waits for it.
func (s *shared) read(e *entry) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	var value []byte
	err := s.operations.run(ctx, func(ctx context.Context) (err error) {
		value, err = e.load(ctx, s.store)
		return err
	})
	if err != nil {
		return nil, err // value may still be written to
	}
	return value, nil
}

// storeError says what kind of failure err is; nil if it is none.
func storeError(err error) *StoreError {
	kind := StoreUnreachable
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errSilent):
		kind = StoreSlow
	case errors.Is(err, errSealed):
		kind = StoreChanged
	case errors.Is(err, errTooLarge):
		kind = StoreTooLarge
	}
	return &StoreError{kind, err}
}
