package tokenauth

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A supplier is where the tokens of a Source come from: its provider, or a store that
// is asked before the provider. One attempt at a time uses it.
type supplier interface {
	// obtain returns a token. The error is not nil if there is none.
	obtain(ctx context.Context, n need) (*Token, error)

	// look returns a token that another process has obtained, nil if there is none
	// that is better than the present one. It does not ask the provider.
	look(ctx context.Context, n need) *Token

	// fleet reports whether other processes may obtain tokens for this one.
	fleet() bool
}

// A need is what one attempt to obtain a token has to go by.
type need struct {
	credentials Credentials
	deadline    time.Time         // of discovery, and of the token request unless another process is waited for
	limit       time.Duration     // of a token request that starts after such a wait
	hurry       <-chan struct{}   // closed when a caller waits
	better      func(*Token) bool // reports whether a token is better than the present one
	event       *Event            // is told what is found out
}

// supplier returns where r gets tokens from.
func (s *Source) supplier(r Runtime) supplier {
	direct := &direct{&s.requester, r.Client}
	if r.Store == nil {
		return direct
	}
	var observing sync.Mutex
	return newShared(direct, r.Store, s.operations, s.writing.Go, func(e StoreEvent) {
		if r.ObserveStore != nil {
			tell(&observing, func() { r.ObserveStore(e) })
		}
	})
}

// better reports whether token can be used and is better than the present one.
func (s *Source) better(token *Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	latest, now := s.latestLocked(), readClocks()
	switch {
	case !token.usable(now):
		return false
	case s.knownLocked(token):
		return false // it is to be replaced, since it is stale or was rejected
	case latest != nil && latest.rejected.Load() && token.issued.wall.Before(latest.issued.wall):
		return false // the store has missed the one that was rejected
	case latest.usable(now) && !latest.rejected.Load() && now.until(token.expiresAt) <= now.until(latest.expiresAt):
		return false
	}
	return true
}

// asError returns err as an *Error.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Op: opToken, Cause: CauseConfiguration, Err: err}
}
