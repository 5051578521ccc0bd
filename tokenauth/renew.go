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

// Renew asks for another token because rejected was refused where it was
// used. It returns one that differs, waiting for it as long as ctx allows, or
// nil if none can be had: because of an error, which does not end the life of
// the rejected one, or because tokens have been renewed for that reason less
// than 30 seconds ago, and no other process has left a newer one.
func (s *Source) Renew(ctx context.Context, rejected *Token) *Token {
	if rejected == nil {
		return nil
	}
	flight := s.Reject(rejected)
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil
		}
	}
	token := s.current.Load()
	if token == rejected || !token.usable(time.Now()) || token.secret.Equal(rejected.secret) {
		return nil
	}
	token.markUsed()
	return token
}

// Reject is Renew without waiting. The channel is closed when the fetch ends;
// it is nil if there is nothing to wait for.
func (s *Source) Reject(rejected *Token) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if rejected == nil || s.current.Load() != rejected {
		return nil // renewed already: a late rejection says nothing of the new one
	}
	if s.flight == nil {
		if now.Before(s.retryAtLocked()) {
			return nil
		}
		if s.renewed.IsZero() || now.Sub(s.renewed) >= renewalBrake {
			s.suspect = rejected
			if s.fetchLocked(); s.flight != nil {
				s.renewed = now
			}
		} else if runtime, _ := s.runtimes.newest(); runtime.Store != nil && now.Sub(s.looked) >= lookBrake {
			s.looked, s.suspect = now, rejected
			s.startLocked(&flight{done: make(chan struct{}), look: true})
		}
	}
	if s.flight == nil {
		return nil
	}
	return s.flight.done
}
