package caddyesign

import (
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// badSkew is the smallest difference between two clocks that is reported.
const badSkew = 5 * time.Second

// skewed reports whether the clocks are known to differ by badSkew or more.
func skewed(c tokenauth.Clock) bool { return c.Known && c.Ahead.Abs() >= badSkew }

// skewSeconds returns how many seconds the provider's clock is ahead, or nil if that is
// not known.
func skewSeconds(c tokenauth.Clock) *float64 {
	if !c.Known {
		return nil
	}
	seconds := c.Ahead.Seconds()
	return &seconds
}

// utc formats t for comparison with another clock's time.
func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }
