package caddyesign

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

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

// utc formats t for comparison with another clock's time.
func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// observeClock logs once that the clocks differ. A small difference is a warning, since
// signed assertions and proofs are corrected for it. A larger one is an error.
func (u *sourceUser) observeClock(c tokenauth.Clock) {
	was := u.clock
	u.clock = c
	if !skewed(c) || skewed(was) && was.Correctable() == c.Correctable() {
		return
	}
	level := zapcore.WarnLevel
	if !c.Correctable() {
		level = zapcore.ErrorLevel
	}
	if entry := u.logger.Check(level, "this machine's clock differs from the provider's"); entry != nil {
		now := time.Now()
		entry.Write(
			zap.Duration("provider_ahead_by", c.Ahead),
			zap.Bool("corrected", c.Correctable()),
			zap.String("provider_time", utc(now.Add(c.Ahead))),
			zap.String("machine_time", utc(now)),
		)
	}
}
