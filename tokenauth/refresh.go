package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// refreshBrake is the least time between two attempts of which the second one
// was asked for by Refresh.
const refreshBrake = 10 * time.Second

// A TooSoonError says that Refresh did nothing, because it was asked for too
// soon after the attempt before it.
type TooSoonError struct {
	// RetryAt is when it will be done at the earliest.
	RetryAt time.Time

	// ObtainedAt is when the attempt before obtained the token in use, with the
	// present credentials, so that nothing is wrong. Zero if it failed, or they were
	// others.
	ObtainedAt time.Time
}

// Error implements error.
func (e *TooSoonError) Error() string {
	wait := max(time.Until(e.RetryAt), 0).Round(time.Second)
	return fmt.Sprintf("it is too soon after the last attempt to obtain a token: the next one can be made in %s", max(wait, time.Second))
}

// Refresh obtains another token now, whether or not there is a usable one, for
// an operator who has mended something and does not want to wait. It joins the
// attempt in flight, or makes one, and waits for its end as long as ctx allows.
// If it fails, the present token stays in use.
//
// It overrides the back-off after failures. It does not override what the
// provider asked for by Retry-After, nor is it done within 10 seconds of the
// start of the attempt before, whoever asked for that one: the error is a
// *TooSoonError then, and else an *Error, or that of ctx.
func (s *Source) Refresh(ctx context.Context) error {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	for {
		flight, err := s.refresh()
		if tooSoon, ok := errors.AsType[*TooSoonError](err); ok {
			tooSoon.ObtainedAt = s.obtainedAt(ctx)
		}
		if err != nil {
			return err
		}
		select {
		case <-flight.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case flight.err != nil:
			return flight.err
		case flight.token != nil:
			return nil
		} // else it has only looked for the token of another process
	}
}

// obtainedAt returns when the last attempt obtained the token in use with the present
// credentials; zero if it failed, or they are others now.
func (s *Source) obtainedAt(ctx context.Context) time.Time {
	ctx, cancel := context.WithTimeout(ctx, credentialWait)
	defer cancel()
	present, err := s.credentials(ctx) // reads files, so not under the lock
	s.mu.Lock()
	defer s.mu.Unlock()
	now := readClocks()
	token := s.latestLocked()
	if err != nil || s.failure != nil || !token.usable(now) || !present.equal(s.accepted) {
		return time.Time{}
	}
	if token.obtained.mono.Before(s.attempted.mono) || token.rejected.Load() {
		return time.Time{} // the last attempt gave none that can be used
	}
	return now.tell(token.obtained)
}

// refresh returns the flight that Refresh waits for, which it starts if there is
// none.
func (s *Source) refresh() (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		s.flight.hurryUp()
		return s.flight, nil
	}
	now := readClocks()
	if wait := max(now.until(s.heldUntil), now.until(s.attempted.plus(refreshBrake))); wait > 0 {
		return nil, &TooSoonError{RetryAt: now.mono.Add(wait)}
	}
	s.fetchLocked()
	if s.flight == nil {
		return nil, s.idleLocked()
	}
	s.flight.hurryUp()
	return s.flight, nil
}
