package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// fetchLocked starts an attempt unless one is in flight.
func (s *Source) fetchLocked() { s.startLocked(&flight{}) }

// startLocked starts the attempt f unless one is in flight, or none can be made.
func (s *Source) startLocked(f *flight) {
	user := s.users.newest()
	if s.flight != nil || s.closed || user == nil || s.config.Provider == nil {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	// This is not the context of the caller, since other callers wait for the result
	// too, and later ones will use it. The attempt limits its own time.
	ctx, cancel := context.WithCancel(context.Background())
	f.done, f.hurry, f.limit = make(chan struct{}), make(chan struct{}), s.limitLocked()
	s.flight, s.cancel = f, cancel
	if !f.look {
		s.attempted = readClocks()
	}
	s.background.Go(func() {
		defer cancel()
		s.fly(ctx, f, user)
	})
}

// idleLocked returns the reason why startLocked did not start an attempt. It is not a
// failed attempt, so it does not count for the back-off.
func (s *Source) idleLocked() *Error {
	reason := errDetached
	switch {
	case s.config.Provider == nil:
		reason = errNotMade
	case s.closed:
		reason = errClosed
	}
	return &Error{Op: opToken, Cause: CauseConfiguration, Err: reason}
}

// fly makes the attempt f, and always tells the waiting callers that it has ended.
func (s *Source) fly(ctx context.Context, f *flight, user *user) {
	start := time.Now()
	event := Event{Scopes: strings.Join(s.config.Scopes, " ")}
	var credentials Credentials
	defer func() {
		if cause := recover(); cause != nil {
			// The value of the panic is dropped, since it may hold a credential.
			f.token, f.err = nil, &Error{Op: opToken, Cause: CauseUnusable, Err: errors.New("the attempt panicked")}
		}
		event.Duration, event.Clock = time.Since(start), s.config.Provider.Clock()
		ended := s.land(f, credentials, &event)
		close(f.done)
		if user.Observe != nil && !ended {
			tell(&s.observing, func() { user.Observe(event) })
		}
	}()
	n := need{deadline: start.Add(f.limit), limit: f.limit, hurry: f.hurry, better: s.better, event: &event}
	limited, cancel := context.WithDeadline(ctx, n.deadline)
	defer cancel()
	var err error
	if credentials, err = s.credentials(limited); err != nil {
		f.err = &Error{Op: "reading client credentials", Cause: CauseConfiguration, Err: err}
		return
	}
	event.ClientID, n.credentials = credentials.ClientID, credentials
	s.remember(identity{clientID: credentials.ClientID})
	if f.look {
		f.token = user.supplier.look(ctx, n)
	} else {
		f.token, err = user.supplier.obtain(ctx, n)
	}
	if f.token != nil {
		f.token.clientID = credentials.ClientID
	}
	if err != nil {
		f.token, f.err = nil, asError(err)
	}
}

// tell calls observe, one call after the other. observe is code of others, so its panic
// must not end the process.
func tell(observing *sync.Mutex, observe func()) {
	observing.Lock()
	defer observing.Unlock()
	defer func() { _ = recover() }()
	observe()
}

// land ends the flight f: it puts the new token into use, or notes the failure, and
// schedules the next attempt. It returns true if the observer need not be told: Close has
// ended the flight, or the flight was a look that found nothing.
func (s *Source) land(f *flight, credentials Credentials, event *Event) (ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight, s.cancel = nil, nil
	now := readClocks()
	last := s.inUseLocked(now)
	if f.err != nil {
		s.failures++
		if !s.closed {
			var left time.Duration
			if last.usable(now) {
				left = now.until(last.expiresAt)
			}
			wait, step := backoff(f.err, s.steps, left, event.Duration)
			if step {
				s.steps++
			}
			f.err.retryAt = now.plus(wait)
			f.err.RetryAt = f.err.retryAt.mono
			s.heldUntil = now.plus(f.err.retryAfter)
		}
		s.failure, s.refused, s.checked = f.err, credentials, now
		event.Err, event.Failures, event.Usable = f.err, s.failures, last.usable(now)
		if last.usable(now) {
			s.scheduleLocked(f.err.retryAt, last)
		}
		return s.closed
	}
	if f.token == nil {
		if last.usable(now) {
			s.scheduleLocked(last.refreshAt, last)
		}
		return true
	}
	event.Failures, event.Usable = s.failures, true
	event.Lifetime, event.MissingScopes = f.token.lifetime, s.missing(f.token)
	s.failure, s.failures, s.steps, s.accepted = nil, 0, 0, credentials
	if latest := s.latestLocked(); latest != nil && latest.secret.Equal(f.token.secret) {
		// Some providers return the same token until it expires. Until then, it is
		// useless to ask again.
		f.token.refreshAt = f.token.expiresAt
	}
	if f.token.singleUse {
		return false // the callers that wait get the token, and no others
	}
	s.replaceLocked(f.token)
	s.scheduleLocked(f.token.refreshAt, f.token)
	return false
}

// missing returns the scopes asked for that are not in the provider's list for token. It
// returns nil if there is no list.
func (s *Source) missing(token *Token) (scopes []string) {
	if token.scopes == nil {
		return nil
	}
	for _, scope := range s.config.Scopes {
		if !slices.Contains(token.scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// scheduleLocked renews token at the given time, if it has been used by then
// and is in use.
func (s *Source) scheduleLocked(at instant, token *Token) {
	if s.closed {
		return
	}
	s.timer = time.AfterFunc(readClocks().until(at), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		now := readClocks()
		if s.newer == token {
			s.advanceLocked() // most of its lifetime is over, so every API knows it by now
			return
		}
		if s.inUseLocked(now) == token && s.newer == nil && token.used.Load() && now.reached(s.retryAtLocked()) {
			s.fetchLocked()
		}
	})
}

// String describes the source in a log. It shows nothing secret.
func (s *Source) String() string {
	if s.config.Provider == nil {
		return "token source that was not made by NewSource"
	}
	return fmt.Sprintf("token source for %q at %s", strings.Join(s.config.Scopes, " "), s.config.Provider.Issuer())
}
