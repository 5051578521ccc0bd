package tokenauth

import (
	"net/http"
	"time"
)

// maxSkew is the difference between clocks below which they count as equal.
const maxSkew = 2 * time.Second

// clockTolerance is the difference between clocks from which on a provider may refuse an
// assertion or a proof.
const clockTolerance = 5 * time.Second

// maxCorrection is the largest difference between clocks that is corrected. A clock
// that nobody sets differs by some minutes after months. If the difference is larger,
// this clock was never set, or the provider's clock is wrong, and it is not known which.
// An assertion dated by a wrong clock could be used long after it was made.
const maxCorrection = 10 * time.Minute

// A Clock says how a provider's clock differs from this machine's.
type Clock struct {
	// Known reports whether the difference is known: the provider has sent its time
	// (Date) since this machine's clock was last set and since the machine was last
	// suspended. Some providers never send it: the Date of a response is optional.
	Known bool

	// Ahead is how much the provider's clock was ahead of this machine's when the
	// provider last sent its time, in whole seconds. It is negative if that clock was
	// behind, and zero if the difference was less than two seconds or is not known.
	Ahead time.Duration
}

// Correctable reports whether assertions and proofs for the provider are dated by the
// provider's clock. They are if the difference is known and is ten minutes at most.
// Otherwise they are dated by this machine's clock.
func (c Clock) Correctable() bool { return c.Known && c.Ahead.Abs() <= maxCorrection }

// correction returns the difference between the time in assertions and proofs and this
// machine's time.
func (c Clock) correction() time.Duration {
	if !c.Correctable() {
		return 0
	}
	return c.Ahead
}

// measuredSkew is the difference of a provider's clock, measured by one of its responses.
type measuredSkew struct {
	ahead time.Duration // how much it is ahead of this machine's clock
	at    instant
}

// Clock returns how the provider's clock differs from this machine's. It is measured by
// the provider's own responses that do not come from a cache. When this machine's clock is
// set, the difference is not known any more: NTP may have corrected the clock.
func (p *Provider) Clock() Clock {
	skew := p.skew.Load()
	if skew == nil || readClocks().apart(skew.at) > maxSkew {
		return Clock{}
	}
	return Clock{Known: true, Ahead: skew.ahead}
}

// measure compares the clocks by the header of a response to a request made at sent. A
// response from a cache has an old Date, so it is not used.
func (p *Provider) measure(header http.Header, sent time.Time) {
	if len(header["Age"]) > 0 {
		return
	}
	now := readClocks()
	if ahead, ok := clockSkew(header, sent, now.wall); ok {
		p.skew.Store(&measuredSkew{ahead: ahead, at: now})
	}
}

// now returns the time to put into assertions and proofs for the provider.
func (p *Provider) now() time.Time { return time.Now().Add(p.Clock().correction()) }

// clockSkew returns how much the clock of a server is ahead of this machine's. It reads
// the Date of a response to a request made at sent, which came at received. The Date was
// written between the two times, and is cut to whole seconds. If it can be from that
// interval, the clocks agree. Otherwise they differ by its distance from the interval,
// with an error of half a second. clockSkew reports false if there is no valid Date.
func clockSkew(header http.Header, sent, received time.Time) (time.Duration, bool) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0, false
	}
	var skew time.Duration
	if ahead := date.Sub(received.Round(0)); ahead > 0 {
		skew = ahead + time.Second/2
	} else if behind := date.Add(time.Second).Sub(sent.Round(0)); behind < 0 {
		skew = behind - time.Second/2
	}
	if skew.Abs() < maxSkew {
		return 0, true
	}
	return skew.Round(time.Second), true
}
