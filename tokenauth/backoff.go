package tokenauth

import (
	"math/rand/v2"
	"time"
)

// Back-off between failed attempts. A refusal will not go away by itself, and
// repeated failed logins can lock a client out; so it starts slow. While callers are
// refused for want of a token it stays short, so that they are served within seconds
// when the provider is back: the wait is a third of backoffMaxNone then on average.
const (
	backoffFirst       = 500 * time.Millisecond
	backoffMax         = 30 * time.Second
	backoffMaxNone     = 10 * time.Second
	backoffFirstDenied = 10 * time.Second
	backoffMaxDenied   = 5 * time.Minute
	backoffLocal       = time.Second
	backoffLeast       = 50 * time.Millisecond
)

// backoff returns how long to hold back after an attempt that took so long and failed,
// after n steps (n >= 0) of the back-off before it, and whether that is another step:
// exponential and capped, with full jitter where the provider is merely away, so that
// many gateways do not return together; at least half of the step where it refused;
// and never less than it asked for.
//
// If it is away, and the present token can be used for left, that is half of it
// at most, so that nobody notices if it is back before the token expires. If there is
// none, the time that the attempt took counts as held back.
func backoff(e *Error, n int, left, took time.Duration) (wait time.Duration, step bool) {
	switch {
	case e.Cause == CauseConfiguration:
		return backoffLocal, true // reads a file; costs nobody anything
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

// exponential returns first, doubled n times, and limit at most.
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

// limitLocked returns how long the next attempt may take. Where the provider was
// silent in the last one, and there is no token, it is given up earlier, at random: how
// long an attempt hangs is how long the next one waits, which may meet a provider that
// is back. Now and then it has all the time, for a provider that is merely slow.
func (s *Source) limitLocked() time.Duration {
	limit, now := s.config.Timeout, readClocks()
	if s.failure == nil || s.failure.Cause != CauseTimeout || s.inUseLocked(now).usable(now) {
		return limit
	}
	return limit/2 + jitter(limit/2)
}
