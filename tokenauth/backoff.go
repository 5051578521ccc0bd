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

// backoff returns how long to hold back after a failure, after n steps (n >= 0)
// of the back-off before it, and whether that is another step: exponential and
// capped, with full jitter where the provider is merely away, so that many
// gateways do not return together; at least half of the step where it refused;
// and never less than it asked for.
//
// If it is away, and the present token can be used for left, that is half of it
// at most, so that nobody notices if it is back before the token expires.
func backoff(e *Error, n int, left time.Duration) (wait time.Duration, step bool) {
	if e.Cause == CauseConfiguration {
		return backoffLocal, true // reads a file; costs nobody anything
	}
	first, limit, floor := backoffFirst, backoffMax, 0.0
	if e.Cause == CauseRefused {
		first, limit, floor = backoffFirstDenied, backoffMaxDenied, 0.5
	}
	most := limit
	if n < 16 {
		most = min(first<<n, limit)
	}
	wait = time.Duration(float64(most) * (floor + (1-floor)*rand.Float64())) //nolint:gosec // jitter
	if step = left <= 0 || wait <= left/2 || e.Cause == CauseRefused; !step {
		wait = left / 2
	}
	return max(wait, e.retryAfter, backoffFirst/10), step
}
