package tokenauth

import (
	"testing"
	"time"
)

// A token must be looked at again when it expires at the latest: until then,
// nobody compares the clock with its expiry.
func TestTokenIsStaleBeforeItExpires(t *testing.T) {
	now := time.Now()
	for _, life := range []time.Duration{time.Second, time.Minute, 5 * time.Minute, 24 * time.Hour} {
		for _, before := range []time.Duration{0, time.Millisecond, time.Second, time.Minute, time.Hour} {
			token := newToken(&tokenResponse{lifetime: life}, nil, now, now, before)
			if token.refreshAt.After(token.expiresAt) {
				t.Errorf("life %v, refresh_before %v: stale %v after it has expired", life, before, token.refreshAt.Sub(token.expiresAt))
			}
			if !token.expiresAt.Before(now.Add(life)) {
				t.Errorf("life %v: there is no leeway", life)
			}
		}
	}
}
