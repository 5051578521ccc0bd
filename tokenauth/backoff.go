package tokenauth

import (
	"math/rand/v2"
	"time"
)

// Back-off between failed attempts. After a refusal, it is long from the start: a refusal
// does not go away by itself, and repeated failed logins can lock a client out. While
// there is no token and calls fail, it stays short, so that calls succeed again within
// seconds when the provider is back: the mean wait is a third of backoffMaxNone then.
const (
	backoffFirst       = 500 * time.Millisecond
	backoffMax         = 30 * time.Second
	backoffMaxNone     = 10 * time.Second
	backoffFirstDenied = 10 * time.Second
	backoffMaxDenied   = 5 * time.Minute
	backoffLocal       = time.Second
	backoffLeast       = 50 * time.Millisecond
)

// backoff returns how long to hold back after an attempt that failed with e and took
// took. There were n steps of the back-off before it (n >= 0). step reports whether this
// is another step. The wait is exponential and capped, and never less than the provider
// asked for. If the provider is away, the wait has full jitter, so that many gateways do
// not come back together. If the provider refused, it is at least half of the step.
//
// If the provider is away and the present token can be used for left, the wait is at most
// half of left, so that callers notice nothing if the provider is back in time. If there
// is no token, the time that the attempt took counts as part of the wait.
func backoff(e *Error, n int, left, took time.Duration) (wait time.Duration, step bool) {
	switch {
	case e.Cause == CauseConfiguration:
		return backoffLocal, true // the next attempt reads a file, and disturbs nobody
	case e.Cause == CauseRefused:
		most := exponential(backoffFirstDenied, backoffMaxDenied, n)
		return max(most/2+jitter(most/2), e.retryAfter), true
	case left > 0:
		wait = jitter(exponential(backoffFirst, backoffMax, n))
		if step = wait <= left/2; !step {
			wait = left / 2
		}
	default:
		wait, step = jitter(exponential(backoffFirst, backoffMaxNone, n))-took, true
	}
	return max(wait, e.retryAfter, backoffLeast), step
}

// exponential returns first doubled n times, but at most limit.
func exponential(first, limit time.Duration, n int) time.Duration {
	if n >= 16 {
		return limit
	}
	return min(first<<n, limit)
}

// jitter returns a random part of d.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * rand.Float64()) //nolint:gosec // not a secret
}

// limitLocked returns how long the next attempt may take. If the last attempt timed out
// and there is no token, it is a random time in the second half of Timeout: while an
// attempt hangs, no other one can find out that the provider is back. Sometimes the
// attempt has nearly the whole time, in case the provider is only slow.
func (s *Source) limitLocked() time.Duration {
	limit, now := s.config.Timeout, readClocks()
	if s.failure == nil || s.failure.Cause != CauseTimeout || s.inUseLocked(now).usable(now) {
		return limit
	}
	return limit/2 + jitter(limit/2)
}
