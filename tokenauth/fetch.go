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

// fetchLocked starts an attempt, unless another is in flight or none can be made.
func (s *Source) fetchLocked() { s.startLocked(&inflight{}) }

// startLocked starts the attempt f, unless another is in flight or none can be made.
func (s *Source) startLocked(f *inflight) {
	user := s.users.newest()
	if s.inflight != nil || s.closed || user == nil || s.config.Provider == nil {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	// This is not the context of the caller, since other callers wait for the result
	// too, and later ones will use it. The attempt limits its own time.
	ctx, cancel := context.WithCancel(context.Background())
	f.done, f.awaited, f.limit = make(chan struct{}), make(chan struct{}), s.limitLocked()
	s.inflight, s.cancel = f, cancel
	if !f.look {
		s.lastAttempt = readClocks()
	}
	s.background.Go(func() {
		defer cancel()
		s.run(ctx, f, user)
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

// run makes the attempt f. When it has ended, run wakes the waiting callers in every case.
func (s *Source) run(ctx context.Context, f *inflight, user *user) {
	start := time.Now()
	event := Event{Scopes: strings.Join(s.config.Scopes, " ")}
	var credentials Credentials
	defer func() {
		if cause := recover(); cause != nil {
			// The value of the panic is dropped, since it may hold a credential.
			f.token, f.err = nil, &Error{Op: opToken, Cause: CauseUnusable, Err: errors.New("the attempt panicked")}
		}
		event.Duration, event.Clock = time.Since(start), s.config.Provider.Clock()
		silent := s.finish(f, credentials, &event)
		close(f.done)
		if user.Observe != nil && !silent {
			notify(&s.notifying, func() { user.Observe(event) })
		}
	}()
	n := need{deadline: start.Add(f.limit), limit: f.limit, awaited: f.awaited, better: s.better, event: &event}
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

// notify calls observe, while it holds turn: one call at a time. observe is not code of
// this package, so its panic must not end the process.
func notify(turn *sync.Mutex, observe func()) {
	turn.Lock()
	defer turn.Unlock()
	defer func() { _ = recover() }()
	observe()
}

// finish ends the attempt f: it puts the new token into use, or notes the failure, and
// schedules the next attempt. It returns true if the observer need not be notified: Close
// has ended the attempt, or the attempt was a look that found nothing.
func (s *Source) finish(f *inflight, credentials Credentials, event *Event) (silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inflight, s.cancel = nil, nil
	now := readClocks()
	last := s.inUseLocked(now)
	if f.err != nil {
		s.failures++
		if !s.closed {
			var left time.Duration
			if last.usable(now) {
				left = now.until(last.expiresAt)
			}
			wait, step := backoff(f.err, s.backoffSteps, left, event.Duration)
			if step {
				s.backoffSteps++
			}
			f.err.retryAt = now.plus(wait)
			f.err.RetryAt = f.err.retryAt.mono
			s.retryAfterUntil = now.plus(f.err.retryAfter)
		}
		s.failure, s.refusedCredentials, s.lastCredentialCheck = f.err, credentials, now
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
	s.failure, s.failures, s.backoffSteps, s.acceptedCredentials = nil, 0, 0, credentials
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
		if s.newest == token {
			s.useNewestLocked() // most of its lifetime is over, so every API knows it by now
			return
		}
		if s.inUseLocked(now) == token && s.newest == nil && token.used.Load() && now.reached(s.retryAtLocked()) {
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
