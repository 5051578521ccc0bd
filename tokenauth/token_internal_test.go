package tokenauth

import (
	"strings"
	"testing"
	"time"
)

// A token must be due for renewal when it expires, at the latest. A fresh token is used
// without a look at its expiry.
func TestTokenIsStaleBeforeItExpires(t *testing.T) {
	now := readClocks()
	for _, life := range []time.Duration{time.Second, time.Minute, 5 * time.Minute, 24 * time.Hour} {
		for _, before := range []time.Duration{0, time.Millisecond, time.Second, time.Minute, time.Hour} {
			token := newToken(&tokenResponse{lifetime: life}, nil, now, now, before)
			if token.refreshAt.since(token.expiresAt) > 0 {
				t.Errorf("life %v, refresh_before %v: stale %v after it has expired", life, before, token.refreshAt.since(token.expiresAt))
			}
			if token.expiresAt.reached(now.plus(life)) {
				t.Errorf("life %v: there is no leeway", life)
			}
		}
	}
}

// The machine's clock may be corrected while a token is used.
func TestSharedTokenExpiresByTheMonotonicClock(t *testing.T) {
	provider, err := NewProvider("https://issuer.example")
	if err != nil {
		t.Fatal(err)
	}
	v := &visit{shared: &shared{direct: &direct{requester: &requester{config: Config{Provider: provider}}}}}
	issued := time.Now().Add(-time.Minute).Round(0) // as it is read from a store
	token := v.read(sharedToken{AccessToken: "token", IssuedAt: issued, Lifetime: 5 * time.Minute}, nil)
	if !strings.Contains(token.expiresAt.mono.String(), "m=") {
		t.Error("it expires by the clock on the wall")
	}
	if want := issued.Add(210 * time.Second); token.expiresAt.wall.Sub(want).Abs() > time.Second {
		t.Errorf("it expires at %v, want %v", token.expiresAt, want)
	}
}
