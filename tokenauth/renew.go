package tokenauth

import (
	"context"
	"net/http"
	"time"
)

const (
	// renewalBrake is the least time between two renewals because of rejected tokens:
	// an API may reject every new token too.
	renewalBrake = 30 * time.Second

	// lookBrake is the least time between two looks for a token that another process has
	// renewed. The Source looks for one while renewalBrake forbids a renewal.
	lookBrake = time.Second
)

// Renew returns another token than rejected, which an API has refused with a response of
// the given status. That is the previous token, if rejected is less than a minute old, and
// the previous token can still be used and was not refused: a new token may not be known
// everywhere yet. Otherwise it is a new token, for which Renew waits as long as ctx allows.
// waited reports whether it has waited. With status 403, the refusal may be about what the
// client may do. Then a token that an API has accepted, or that is less than 5 seconds old,
// is not renewed.
//
// Renew returns nil if there is no other token: because the attempt failed, or because
// a refused token was renewed less than 30 seconds ago and no other process has left a
// newer one. After a failure, the Source goes on using rejected until it expires.
func (s *Source) Renew(ctx context.Context, rejected *Token, status int) (another *Token, waited bool) {
	if rejected == nil {
		return nil, false
	}
	done := s.Reject(rejected, status)
	if waited = done != nil; waited {
		select {
		case <-done:
		case <-ctx.Done():
			return nil, true
		}
	}
	now := readClocks()
	token := s.inUse(now)
	if token == rejected || !token.usable(now) || token.secret.Equal(rejected.secret) {
		return nil, waited
	}
	token.markUsed()
	return token, waited
}

// Reject is Renew without the wait. It returns a channel that is closed when the fetch
// ends, or nil if there is no fetch to wait for.
func (s *Source) Reject(rejected *Token, status int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := readClocks()
	forbidden := status == http.StatusForbidden
	switch {
	case rejected == nil:
		return nil
	case rejected == s.previous:
		s.previous = nil // refused too, so it is no longer an alternative
		return nil
	case s.current.Load() != rejected:
		return nil // replaced already: a late rejection says nothing about the present token
	case forbidden && rejected.accepted.Load():
		// An API knows the token, so the 403 is about the client's rights.
	case s.usePreviousLocked(now):
		return nil
	}
	if s.newest != nil {
		rejected.rejected.Store(true)
		s.useNewestLocked()
		rejected = s.current.Load()
		if s.newestWasYoung && !rejected.young(now) {
			return nil // it was refused when it was young; an API may know it by now
		}
	}
	if forbidden && rejected.young(now) {
		return nil
	}
	rejected.rejected.Store(true)
	return s.renewLocked(now)
}

// renewLocked starts an attempt to replace the present token, which was rejected,
// unless it is too soon for that. It returns the channel that Reject returns.
func (s *Source) renewLocked(now instant) <-chan struct{} {
	if s.inflight == nil {
		if !now.reached(s.retryAtLocked()) {
			return nil
		}
		if now.since(s.lastRenewal) >= renewalBrake {
			if s.fetchLocked(); s.inflight != nil {
				s.lastRenewal = now
			}
		} else if user := s.users.newest(); user != nil && user.supplier.fleet() && now.since(s.lastStoreLook) >= lookBrake {
			s.lastStoreLook = now
			s.startLocked(&inflight{look: true})
		}
	}
	if s.inflight == nil {
		return nil
	}
	s.inflight.markAwaited()
	return s.inflight.done
}
