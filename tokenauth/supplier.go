package tokenauth

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A supplier gets the tokens of a Source: from the provider, or first from a store. One
// attempt at a time uses it.
type supplier interface {
	// obtain returns a token, or an error.
	obtain(ctx context.Context, n need) (*Token, error)

	// look returns a token that another process has obtained, or nil if there is none
	// that is better than the present one. It does not ask the provider.
	look(ctx context.Context, n need) *Token

	// fleet reports whether other processes may obtain tokens for this one.
	fleet() bool
}

// A need describes what one attempt needs: its credentials, its time limits and so on.
type need struct {
	credentials Credentials
	deadline    time.Time         // for discovery and the token request; with a store, for discovery
	limit       time.Duration     // with a store, for the token request
	awaited     <-chan struct{}   // closed when a caller waits
	better      func(*Token) bool // reports whether a token is better than the present one
	event       *Event            // the attempt writes its results here
}

// supplier returns the supplier for r.
func (s *Source) supplier(r Runtime) supplier {
	direct := &direct{&s.requester, r.Client}
	if r.Store == nil {
		return direct
	}
	var observing sync.Mutex
	return newShared(direct, r.Store, s.operations, s.storeWrites.Go, func(e StoreEvent) {
		if r.ObserveStore != nil {
			notify(&observing, func() { r.ObserveStore(e) })
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
		return false // it must be replaced, since it is stale or was rejected
	case latest != nil && latest.rejected.Load() && token.issued.wall.Before(latest.issued.wall):
		return false // it is older than the rejected token, which never reached the store
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
