package tokenauth

import (
	"context"
	"time"
)

const (
	// renewalBrake is the least time between two renewals that rejected tokens
	// asked for, since a provider's new token may be rejected for good.
	renewalBrake = 30 * time.Second

	// lookBrake is the least time between two looks for a token that another
	// process has renewed, while renewalBrake holds.
	lookBrake = time.Second
)

// A refusal is how a token was refused.
type refusal int

// The refusals.
const (
	refusedToken refusal = iota // the answer is about the token
	forbidden                   // the answer may be about what the client may do
)

// Renew asks for another token because rejected was refused where it was used.
// It returns one that differs: the token before it, if rejected is less than a
// minute old and the one before can still be used and was not refused itself, since a
// new token may not be known everywhere yet; or a new one, waiting for it as long as
// ctx allows. It returns nil if none can be had:
// because of an error, which does not end the life of the rejected one, or because
// tokens have been renewed for that reason less than 30 seconds ago, and no other
// process has left a newer one.
func (s *Source) Renew(ctx context.Context, rejected *Token) *Token {
	token, _ := s.renew(ctx, rejected, refusedToken)
	return token
}

// Reject is Renew without waiting. The channel is closed when the fetch ends;
// it is nil if there is nothing to wait for.
func (s *Source) Reject(rejected *Token) <-chan struct{} {
	return s.reject(rejected, refusedToken)
}

// renew is Renew for any refusal. It reports whether it has waited.
func (s *Source) renew(ctx context.Context, rejected *Token, how refusal) (another *Token, waited bool) {
	if rejected == nil {
		return nil, false
	}
	flight := s.reject(rejected, how)
	if waited = flight != nil; waited {
		select {
		case <-flight:
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

// reject is Reject for any refusal.
func (s *Source) reject(rejected *Token, how refusal) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := readClocks()
	switch {
	case rejected == nil:
		return nil
	case rejected == s.before:
		s.before = nil // no remedy
		return nil
	case s.current.Load() != rejected:
		return nil // replaced already: a late rejection says nothing of the present one
	case how == forbidden && rejected.accepted.Load():
		// It is known, so that the answer is about what the client may do.
	case s.retreatLocked(now):
		return nil
	}
	if s.newer != nil {
		rejected.rejected.Store(true)
		s.advanceLocked()
		rejected = s.current.Load()
		if s.excused && !rejected.young(now) {
			return nil // it may be known by now
		}
	}
	if how == forbidden && rejected.young(now) {
		return nil
	}
	rejected.rejected.Store(true)
	return s.renewLocked(now)
}

// renewLocked starts an attempt to replace the present token, which was rejected,
// unless it is too soon for that. The channel is that of Reject.
func (s *Source) renewLocked(now instant) <-chan struct{} {
	if s.flight == nil {
		if !now.reached(s.retryAtLocked()) {
			return nil
		}
		if now.since(s.renewed) >= renewalBrake {
			if s.fetchLocked(); s.flight != nil {
				s.renewed = now
			}
		} else if user := s.users.newest(); user != nil && user.supplier.fleet() && now.since(s.looked) >= lookBrake {
			s.looked = now
			s.startLocked(&flight{look: true})
		}
	}
	if s.flight == nil {
		return nil
	}
	s.flight.hurryUp()
	return s.flight.done
}
