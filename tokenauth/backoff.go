package tokenauth

import (
	"math/rand/v2"
	"time"
)

// Back-off between failed attempts. A refusal will not go away by itself, and
// repeated failed logins can lock a client out; so it starts slow.
const (
	backoffFirst       = 500 * time.Millisecond
	backoffMax         = 30 * time.Second
	backoffFirstDenied = 10 * time.Second
	backoffMaxDenied   = 5 * time.Minute
	backoffLocal       = time.Second
)

// backoff returns how long to hold back after the n-th failure in a row
// (n >= 1): exponential and capped, with full jitter where the provider is
// merely away, so that many gateways do not return together; at least half of
// the step where it refused; and never less than it asked for. If the provider
// is away, and the present token can still be used for left, that is half of it
// at most, so that nobody notices if the provider is back before it expires.
func backoff(e *Error, n int, left time.Duration) time.Duration {
	if e.Cause == CauseConfiguration {
		return backoffLocal // reads a file; costs nobody anything
	}
	first, limit, floor := backoffFirst, backoffMax, 0.0
	if e.Cause == CauseRefused {
		first, limit, floor = backoffFirstDenied, backoffMaxDenied, 0.5
	}
	step := limit
	if shift := n - 1; shift < 16 {
		step = min(first<<shift, limit)
	}
	wait := time.Duration(float64(step) * (floor + (1-floor)*rand.Float64())) //nolint:gosec // jitter
	if e.Cause != CauseRefused && left > 0 {
		wait = min(wait, left/2)
	}
	return max(wait, e.retryAfter, backoffFirst/10)
}
