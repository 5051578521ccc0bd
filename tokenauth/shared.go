package tokenauth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	background func(func())     // runs what goes on when the token is there
	observe    func(StoreEvent) // is told of failures

	mu      sync.Mutex
	visits  int           // so far
	settled int           // the number of the last visit whose outcome is known
	alone   bool          // its token could not be shared
	saving  bool          // a token is being written
	next    func()        // writes the one after it
	pause   time.Duration // until an unfit store is tried again; zero if it is fit
	paused  instant       // when that began
}

// newShared returns the supplier that shares what next obtains.
func newShared(next *direct, store Store, operations operations, background func(func()), observe func(StoreEvent)) *shared {
	return &shared{direct: next, store: store, operations: operations, background: background, observe: observe}
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
	if fit {
		var token *Token
		if turn, token = v.await(ctx, metadata); token != nil {
			return token, nil
		}
	}
	left := false
	defer func() {
		if !left {
			s.release(turn)
		}
	}()
	limited, cancel = context.WithTimeout(ctx, n.limit)
	defer cancel()
	token, err := s.direct.ask(limited, metadata, n)
	if err == nil && (fit || try) {
		left = v.leave(token, turn)
	}
	return token, err
}

// look implements supplier.
func (s *shared) look(ctx context.Context, n need) *Token {
	v := s.visit(n)
	if fit, _ := s.fit(); v == nil || !fit {
		return nil
	}
	n.event.Metadata, _ = s.direct.config.Provider.Discovered()
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

// release ends a turn. The lock is given back in the background.
func (s *shared) release(turn *turn) {
	if turn != nil {
		turn.end()
		s.background(func() { <-turn.ended })
	}
}

// tell tells of a failure that has cost time at most.
func (s *shared) tell(failure *StoreError) {
	s.observe(StoreEvent{Scopes: strings.Join(s.direct.config.Scopes, " "), Err: failure})
}

// settle notes whether the visit's token was shared. If not, failure is why. A later
// visit may have been quicker.
func (v *visit) settle(failure *StoreError) {
	s := v.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.number < s.settled {
		return
	}
	s.settled = v.number
	if s.alone == (failure != nil) {
		return
	}
	s.alone = failure != nil
	s.observe(StoreEvent{Scopes: strings.Join(s.direct.config.Scopes, " "), Err: failure, Changed: true})
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
// It reports whether it does: some tokens are of no use to the others.
func (v *visit) leave(token *Token, turn *turn) bool {
	value := v.seal(token)
	if value == nil {
		return false
	}
	s, document := v.shared, v.shared.direct.config.Provider.document()
	late := time.AfterFunc(writeWait, turn.end)
	write := func() {
		defer late.Stop()
		defer turn.end()
		v.settle(cmp.Or(v.write(value, document, turn), v.alone()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saving { // the last one has not been written yet
		s.next = write
	} else {
		s.saving = true
		s.background(func() { s.writeAll(write) })
	}
	if turn != nil {
		s.background(func() { <-turn.ended })
	}
	return true
}

// writeAll writes a token, and the newest of those that were obtained meanwhile.
func (s *shared) writeAll(write func()) {
	for write != nil {
		write()
		s.mu.Lock()
		write, s.next = s.next, nil
		s.saving = write != nil
		s.mu.Unlock()
	}
}

// write writes a token, ends the turn, and sees whether the token can be read.
func (v *visit) write(value, document []byte, turn *turn) *StoreError {
	s := v.shared
	if turn == nil { // nothing was looked for, or in vain
		v.found, _ = s.read(v.entries.token)
	}
	failure := s.save(v.entries.token, value)
	turn.end()
	if failure == nil {
		failure = s.verify(v.entries.token, value, v.found)
		if failure == nil || failure.Kind == StoreChanged || failure.Kind == StoreLost || failure.Kind == StoreTooLarge {
			s.judge(failure == nil)
		}
	}
	if failure != nil {
		s.tell(failure)
		return failure
	}
	if document != nil {
		if failure := s.save(v.entries.document, document); failure != nil {
			s.tell(failure) // the token is there
		}
	}
	return nil
}

// seal returns what the other processes are to read of a token, nil if the token is of
// no use to them. It also returns nil if this machine's clock is known to be wrong and is
// not corrected: they would take the token for younger or older than it is.
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

// save writes an entry when no caller waits for it. If it takes too long, the store may
// still do it later, and put it over a newer one. That is valid by its own time.
func (s *shared) save(e *entry, value []byte) *StoreError {
	return storeError(s.operations.run(func(ctx context.Context) error { return e.save(ctx, s.store, value) }))
}

// read reads an entry when no caller waits for it.
func (s *shared) read(e *entry) ([]byte, error) {
	var value []byte
	err := s.operations.run(func(ctx context.Context) (err error) {
		value, err = e.load(ctx, s.store)
		return err
	})
	if err != nil {
		return nil, err // value may still be written to
	}
	return value, nil
}

// errLost is the failure of a store that has taken a value, and does not have it.
var errLost = errors.New("the storage does not have what was written")

// verify reads what was written. Another process may have written since, but nothing is
// left of what was found before.
func (s *shared) verify(e *entry, written, found []byte) *StoreError {
	for again := false; ; again = true {
		value, err := s.read(e)
		failure := storeError(err)
		switch {
		case err == nil && (bytes.Equal(value, written) || !bytes.Equal(value, found)):
			return nil
		case err == nil:
			failure = &StoreError{StoreChanged, errors.New("the storage gives back an older value than was written")}
		case failure.Kind == StoreUnreachable && again:
			// It has none, or it cannot be reached any more.
			if failure := s.save(e, written); failure != nil {
				return failure
			}
			if value, err := s.read(e); err == nil && bytes.Equal(value, written) {
				return nil
			}
			return &StoreError{StoreLost, fmt.Errorf("%w: %w", errLost, err)}
		}
		if again {
			return failure
		}
		time.Sleep(secondReading) // no caller waits, and it may take a moment
	}
}

// storeError says what kind of failure err is; nil if it is none.
func storeError(err error) *StoreError {
	kind := StoreUnreachable
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errSilent):
		kind = StoreSlow
	case errors.Is(err, errSealed), errors.Is(err, errSizeless):
		kind = StoreChanged
	case errors.Is(err, errTooLarge):
		kind = StoreTooLarge
	}
	return &StoreError{kind, err}
}
