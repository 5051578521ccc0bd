package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// refreshBrake is the least time between an attempt and a later one by Refresh.
const refreshBrake = 10 * time.Second

// A TooSoonError says that Refresh did nothing, because it was called too soon after the
// previous attempt.
type TooSoonError struct {
	// RetryAt is the earliest time at which Refresh makes an attempt.
	RetryAt time.Time

	// ObtainedAt is when the previous attempt obtained the token in use, with the
	// present credentials: then nothing is wrong. It is zero if that attempt failed, or
	// if the credentials have changed.
	ObtainedAt time.Time
}

// Error implements error.
func (e *TooSoonError) Error() string {
	wait := max(time.Until(e.RetryAt), 0).Round(time.Second)
	return fmt.Sprintf("it is too soon after the last attempt to obtain a token: the next one can be made in %s", max(wait, time.Second))
}

// Refresh obtains another token now, whether or not there is a usable one. It is for an
// operator who has repaired something and does not want to wait. It joins the attempt in
// flight, or starts one, and waits for its end as long as ctx allows. If the attempt
// fails, the present token stays in use.
//
// Refresh does not wait for the back-off after failures. But it makes no attempt before
// the time that the provider asked for by Retry-After, and none within 10 seconds of the
// start of the previous attempt: then the error is a *TooSoonError. Other errors are an
// *Error, or the error of ctx.
func (s *Source) Refresh(ctx context.Context) error {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	for {
		attempt, err := s.refresh()
		if tooSoon, ok := errors.AsType[*TooSoonError](err); ok {
			tooSoon.ObtainedAt = s.obtainedAt(ctx)
		}
		if err != nil {
			return err
		}
		select {
		case <-attempt.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case attempt.err != nil:
			return attempt.err
		case attempt.token != nil:
			return nil
		} // else the attempt was only a look for another process's token
	}
}

// obtainedAt returns when the last attempt obtained the token in use with the present
// credentials. It returns zero if the attempt failed, or the credentials have changed.
func (s *Source) obtainedAt(ctx context.Context) time.Time {
	ctx, cancel := context.WithTimeout(ctx, credentialWait)
	defer cancel()
	present, err := s.credentials(ctx) // may read files, so the lock is not held
	s.mu.Lock()
	defer s.mu.Unlock()
	now := readClocks()
	token := s.latestLocked()
	if err != nil || s.failure != nil || !token.usable(now) || !present.equal(s.acceptedCredentials) {
		return time.Time{}
	}
	if token.obtained.mono.Before(s.lastAttempt.mono) || token.rejected.Load() {
		return time.Time{} // the last attempt gave no token that can be used
	}
	return now.wallTime(token.obtained)
}

// refresh returns the attempt that Refresh waits for. It starts one if there is none.
func (s *Source) refresh() (*inflight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inflight != nil {
		s.inflight.markAwaited()
		return s.inflight, nil
	}
	now := readClocks()
	if wait := max(now.until(s.retryAfterUntil), now.until(s.lastAttempt.plus(refreshBrake))); wait > 0 {
		return nil, &TooSoonError{RetryAt: now.mono.Add(wait)}
	}
	s.fetchLocked()
	if s.inflight == nil {
		return nil, s.idleLocked()
	}
	s.inflight.markAwaited()
	return s.inflight, nil
}
