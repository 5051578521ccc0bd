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
	// If a store does not return what was written, it is tried again after firstUnfit,
	// then after twice that time, and so on up to lastUnfit.
	firstUnfit = time.Minute
	lastUnfit  = time.Hour

	// secondReading is the time between two readings of an entry that was written, if
	// the first reading did not find it.
	secondReading = time.Second
)

// shared is the supplier that looks in a store for tokens of other processes. If there is
// none, it asks the provider, and leaves the token in the store for the others. If the
// store fails, that costs time, which is limited, and requests, but callers still get
// tokens.
type shared struct {
	direct     *direct
	store      Store
	operations operations
	background func(func())     // runs work that goes on after the attempt
	observe    func(StoreEvent) // is called for failures

	mu          sync.Mutex
	visits      int           // so far
	lastOutcome int           // number of the last visit whose outcome is known
	notShared   bool          // the token of that visit could not be shared
	saving      bool          // a token is being written
	next        func()        // writes the next token
	unfitFor    time.Duration // time until an unfit store is tried again; zero if it is fit
	unfitSince  instant       // when that time began
}

// newShared returns a supplier that shares the tokens of next.
func newShared(next *direct, store Store, operations operations, background func(func()), observe func(StoreEvent)) *shared {
	return &shared{direct: next, store: store, operations: operations, background: background, observe: observe}
}

// obtain implements supplier. Discovery and the token request have the time limit of n
// each, since the wait for a turn may be long. The time for the store is added.
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
	published := false
	defer func() {
		if !published {
			s.release(turn)
		}
	}()
	limited, cancel = context.WithTimeout(ctx, n.limit)
	defer cancel()
	token, err := s.direct.ask(limited, metadata, n)
	if err == nil && (fit || try) {
		published = v.publish(token, turn)
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

// fit reports whether the store returns what is written, as far as is known. If not, try
// reports whether it is time to try it again.
func (s *shared) fit() (fit, try bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unfitFor == 0, readClocks().since(s.unfitSince) >= s.unfitFor
}

// release ends a turn. The lock is given back in the background.
func (s *shared) release(turn *turn) {
	if turn != nil {
		turn.end()
		s.background(func() { <-turn.ended })
	}
}

// notify tells the observer about a failure that has only cost time.
func (s *shared) notify(failure *StoreError) {
	s.observe(StoreEvent{Scopes: strings.Join(s.direct.config.Scopes, " "), Err: failure})
}

// noteOutcome notes whether the visit's token was shared. If it was not, failure says why. If
// the outcome of a later visit is known already, noteOutcome does nothing.
func (v *visit) noteOutcome(failure *StoreError) {
	s := v.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.number < s.lastOutcome {
		return
	}
	s.lastOutcome = v.number
	if s.notShared == (failure != nil) {
		return
	}
	s.notShared = failure != nil
	s.observe(StoreEvent{Scopes: strings.Join(s.direct.config.Scopes, " "), Err: failure, Changed: true})
}

// setFit notes whether an entry that was written could be read.
func (s *shared) setFit(fit bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fit {
		s.unfitFor = 0
		return
	}
	s.unfitFor, s.unfitSince = min(max(2*s.unfitFor, firstUnfit), lastUnfit), readClocks()
}

// publish writes a token for the other processes, and the discovery document with which it
// was obtained. It does that in the background, and ends the turn when the token is
// written. It returns false if it does nothing: the others cannot use some tokens.
func (v *visit) publish(token *Token, turn *turn) bool {
	value := v.seal(token)
	if value == nil {
		return false
	}
	s, document := v.shared, v.shared.direct.config.Provider.document()
	late := time.AfterFunc(writeWait, turn.end)
	write := func() {
		defer late.Stop()
		defer turn.end()
		v.noteOutcome(cmp.Or(v.write(value, document, turn), v.obstacle()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saving { // an earlier token is still being written
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

// writeAll writes a token, and then the newest token that was obtained meanwhile.
func (s *shared) writeAll(write func()) {
	for write != nil {
		write()
		s.mu.Lock()
		write, s.next = s.next, nil
		s.saving = write != nil
		s.mu.Unlock()
	}
}

// write writes a token, ends the turn, and looks whether the token can be read.
func (v *visit) write(value, document []byte, turn *turn) *StoreError {
	s := v.shared
	if turn == nil { // without a turn, the visit may not know the present value
		v.lastValue, _ = s.read(v.entries.token)
	}
	failure := s.save(v.entries.token, value)
	turn.end()
	if failure == nil {
		failure = s.verify(v.entries.token, value, v.lastValue)
		if failure == nil || failure.Kind == StoreChanged || failure.Kind == StoreLost || failure.Kind == StoreTooLarge {
			s.setFit(failure == nil)
		}
	}
	if failure != nil {
		s.notify(failure)
		return failure
	}
	if document != nil {
		if failure := s.save(v.entries.document, document); failure != nil {
			s.notify(failure) // only the document is missing, not the token
		}
	}
	return nil
}

// seal returns the value that the other processes read for a token, or nil if they cannot
// use the token. It also returns nil if this machine's clock is known to be wrong and is
// not corrected: the others would take the token for younger or older than it is.
func (v *visit) seal(token *Token) []byte {
	clock := v.shared.direct.config.Provider.Clock()
	if token.singleUse || (clock.Known && !clock.Correctable()) {
		return nil
	}
	value, err := json.Marshal(sharedToken{
		AccessToken: token.secret.Reveal(), IssuedAt: token.issued.wall.Add(clock.correction()),
		Lifetime: token.lifetime, Scopes: token.scopes,
	})
	if err != nil {
		return nil // cannot happen with strings and numbers
	}
	return value
}

// save writes an entry. No caller waits for it. If it takes too long, the store may still
// write the entry later, over a newer one. That does no harm: the entry has its own times.
func (s *shared) save(e *entry, value []byte) *StoreError {
	return storeError(s.operations.run(func(ctx context.Context) error { return e.save(ctx, s.store, value) }))
}

// read reads an entry. No caller waits for it.
func (s *shared) read(e *entry) ([]byte, error) {
	var value []byte
	err := s.operations.run(func(ctx context.Context) (err error) {
		value, err = e.load(ctx, s.store)
		return err
	})
	if err != nil {
		return nil, err // the operation may still write to value
	}
	return value, nil
}

// errLost is the error if a store has taken a value and does not have it.
var errLost = errors.New("the storage does not have what was written")

// verify reads an entry that was written. Its value must be written, or the newer value of
// another process. It must not be found, the value from before.
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
			// The store has no such entry, or it cannot be reached any more.
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
		time.Sleep(secondReading) // no caller waits, and some stores take a moment
	}
}

// storeError returns err as a StoreError with its kind. It returns nil if err is nil.
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
