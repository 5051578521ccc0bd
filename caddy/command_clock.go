package caddyesign

import (
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// clockOf is the inverse of skewSeconds.
func clockOf(seconds *float64) tokenauth.Clock {
	if seconds == nil {
		return tokenauth.Clock{}
	}
	return tokenauth.Clock{Known: true, Ahead: time.Duration(*seconds * float64(time.Second))}
}

// printClock prints how the provider's clock compares with the clock of this machine.
// now is this machine's time.
func printClock(t *table, c tokenauth.Clock, now time.Time) {
	switch {
	case !c.Known:
		t.row(odd, "clock", "the provider does not tell its time; this machine's is "+utc(now))
	case !skewed(c):
		t.row(good, "clock", "agrees with the provider's")
	case c.Correctable():
		t.row(odd, "clock", "the provider's is "+aheadOrBehind(c.Ahead))
	default:
		t.row(odd, "clock", "the provider's is "+aheadOrBehind(c.Ahead)+", too far to be corrected: it shows "+utc(now.Add(c.Ahead))+", and this machine's shows "+utc(now))
	}
}

// aheadOrBehind describes a clock that is ahead of this machine's by d.
func aheadOrBehind(d time.Duration) string {
	if d < 0 {
		return "behind this machine's by " + (-d).String()
	}
	return "ahead of this machine's by " + d.String()
}
