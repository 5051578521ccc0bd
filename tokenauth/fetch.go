package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// fetchLocked starts an attempt unless one is in flight.
func (s *Source) fetchLocked() { s.startLocked(&flight{done: make(chan struct{})}) }

// startLocked starts the attempt f unless one is in flight, or none can be made.
func (s *Source) startLocked(f *flight) {
	runtime, attached := s.runtimes.newest()
	if s.flight != nil || s.closed || !attached || s.config.Provider == nil {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	// Not the context of whoever asks: others wait for the result too, and the
	// next one will want it. The attempt limits its own time.
	ctx, cancel := context.WithCancel(context.Background())
	f.limit = s.limitLocked()
	s.flight, s.cancel = f, cancel
	if !f.look {
		s.attempted = readClocks()
	}
	s.background.Go(func() {
		defer cancel()
		s.fly(ctx, f, runtime)
	})
}

// idleLocked returns why startLocked did not start an attempt. That is no failed
// one, and nothing to hold back for.
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

// fly makes the attempt f. Whatever happens, those who wait for it are told.
func (s *Source) fly(ctx context.Context, f *flight, runtime Runtime) {
	start := time.Now()
	event := Event{Scopes: strings.Join(s.config.Scopes, " ")}
	var credentials Credentials
	defer func() {
		if cause := recover(); cause != nil {
			// The value may hold anything, a credential for one.
			f.token, f.err = nil, &Error{Op: opToken, Cause: CauseUnusable, Err: errors.New("the attempt panicked")}
		}
		event.Duration, event.Clock = time.Since(start), s.config.Provider.Clock()
		ended := s.land(f, credentials, &event)
		close(f.done)
		if runtime.Observe != nil && !ended {
			s.tell(runtime.Observe, event)
		}
	}()
	limited, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()
	var err error
	if credentials, err = s.credentials(limited); err != nil {
		f.err = &Error{Op: "reading client credentials", Cause: CauseConfiguration, Err: err}
		return
	}
	event.ClientID = credentials.ClientID
	s.remember(identity{clientID: credentials.ClientID})
	if sharing := s.newSharing(runtime.Store, credentials); sharing != nil {
		sharing.look, sharing.limit = f.look, f.limit
		f.token, err = s.share(ctx, limited, sharing, runtime.Client, &event)
	} else if !f.look {
		f.token, err = s.obtain(limited, runtime.Client, credentials, &event)
	}
	if f.token != nil {
		f.token.clientID = credentials.ClientID
	}
	if err != nil {
		f.token, f.err = nil, asError(err)
	}
}

// tell tells the observer of an attempt. It may be anybody's code: a panic of it
// is not to end the process.
func (s *Source) tell(observe func(Event), event Event) {
	s.observing.Lock()
	defer s.observing.Unlock()
	defer func() { _ = recover() }()
	observe(event)
}

// asError returns err as an *Error.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Op: opToken, Cause: CauseConfiguration, Err: err}
}

// obtain asks the provider for a token.
func (s *Source) obtain(ctx context.Context, client *http.Client, credentials Credentials, event *Event) (*Token, error) {
	metadata, err := s.config.Provider.Metadata(ctx, client)
	if err != nil {
		return nil, err
	}
	return s.ask(ctx, client, metadata, credentials, event)
}

// ask asks the token endpoint of metadata. If it has vanished, the provider's
// configuration is read again, and where that names another one, the attempt
// goes on there.
func (s *Source) ask(ctx context.Context, client *http.Client, metadata *Metadata, credentials Credentials, event *Event) (*Token, error) {
	event.Metadata = metadata
	token, err := s.request(ctx, client, metadata, credentials, event)
	if err == nil || !vanished(err) {
		return token, err
	}
	s.config.Provider.Outdated(metadata)
	again, readErr := s.config.Provider.Metadata(ctx, client)
	if readErr != nil || again.TokenEndpoint == metadata.TokenEndpoint {
		return nil, err
	}
	event.Metadata = again
	return s.request(ctx, client, again, credentials, event)
}

// vanished reports whether err says that there is no token endpoint where the
// request was sent.
func vanished(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case e.Status == 0:
		return e.Cause == CauseUnavailable // no such host, connection refused
	}
	return gone(e.Status) || e.Status >= 300 && e.Status < 400
}

// request asks the token endpoint of metadata.
func (s *Source) request(ctx context.Context, client *http.Client, metadata *Metadata, credentials Credentials, event *Event) (*Token, error) {
	method, err := chooseMethod(s.config.AuthMethod, credentials, metadata)
	if err != nil {
		return nil, &Error{Op: opToken, Cause: CauseConfiguration, Err: err}
	}
	prover, err := s.newProver(credentials, metadata)
	if err != nil {
		return nil, &Error{Op: opToken, Cause: CauseConfiguration, Err: fmt.Errorf("DPoP: %w", err)}
	}
	s.remember(newIdentity(credentials, method, metadata, prover))
	request := tokenRequest{
		provider: s.config.Provider, metadata: metadata, method: method, credentials: credentials,
		audience: s.config.Audience, scopes: s.config.Scopes, prover: prover, nonces: &s.nonces,
	}
	sent := readClocks()
	res, err := request.send(ctx, client)
	event.NonceWanted = event.NonceWanted || request.challenged
	if err != nil {
		if failure, ok := errors.AsType[*Error](err); ok && failure.Status != 0 {
			failure.request = request.facts()
		}
		return nil, err
	}
	event.LifetimeAssumed, event.LifetimeGiven = res.assumed, res.given
	now := readClocks()
	token := newToken(res, prover, sent, now, s.config.RefreshBefore)
	if !token.once && !token.usable(now) {
		return nil, &Error{Op: opToken, Cause: CauseUnusable, Err: errLate}
	}
	return token, nil
}

// errLate is what is wrong with a token that lives shorter than its answer took.
var errLate = errors.New("the token had expired when it arrived")

// newProver returns what makes the proofs of the next token, nil if none are
// needed.
func (s *Source) newProver(credentials Credentials, metadata *Metadata) (*prover, error) {
	if !s.config.DPoP {
		return nil, nil
	}
	if credentials.DPoPKey != nil {
		return newProver(credentials.DPoPKey, metadata.DPoPAlgorithms)
	}
	if s.key != nil {
		if prover, err := newProver(s.key, metadata.DPoPAlgorithms); err == nil {
			return prover, nil
		} // else the provider has changed what it supports
	}
	alg := "ES256"
	if metadata.DPoPAlgorithms != nil && !slices.Contains(metadata.DPoPAlgorithms, alg) {
		alg = "RS256"
	}
	key, err := GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	s.key = key
	return newProver(s.key, metadata.DPoPAlgorithms)
}

// land ends the flight f: it puts the new token in the place of the old one,
// or notes the failure, and arranges what comes next. It reports whether Close
// has ended the flight, or it has found nothing, which is news to nobody.
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
		// Some providers hand out the same token until it expires. To ask again
		// before that would be to ask in vain.
		f.token.refreshAt = f.token.expiresAt
	}
	if f.token.once {
		return false // for those who wait for it, but for nobody after
	}
	s.replaceLocked(f.token)
	s.scheduleLocked(f.token.refreshAt, f.token)
	return false
}

// missing returns the scopes asked for that token does not have, as far as the
// provider said.
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
			s.advanceLocked() // it has been there for most of its life: it is known by now
			return
		}
		if s.inUseLocked(now) == token && s.newer == nil && token.used.Load() && now.reached(s.retryAtLocked()) {
			s.fetchLocked()
		}
	})
}

// String describes the source in a log, without anything secret.
func (s *Source) String() string {
	if s.config.Provider == nil {
		return "token source that was not made by NewSource"
	}
	return fmt.Sprintf("token source for %q at %s", strings.Join(s.config.Scopes, " "), s.config.Provider.Issuer())
}
