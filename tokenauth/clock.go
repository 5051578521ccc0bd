package tokenauth

import (
	"net/http"
	"time"
)

// maxSkew is the difference of clocks that is not worth correcting.
const maxSkew = 2 * time.Second

// clockTolerance is the difference of clocks that providers may refuse an
// assertion or a proof for.
const clockTolerance = 5 * time.Second

// maxCorrection is the largest difference of clocks that is corrected. A clock that
// is set by nobody is some minutes off after months. One that differs by more was
// never set, or is the provider's that is wrong, and there is no telling which: an
// assertion that is dated by the wrong one could be used long after it was made.
const maxCorrection = 10 * time.Minute

// A Clock is what is known of a provider's clock.
type Clock struct {
	// Known reports whether the provider has told its time since this machine's clock
	// was set last, or the machine was suspended. Many never do: the Date of an answer
	// is optional.
	Known bool

	// Ahead is by how much the provider's clock was ahead of this machine's when it
	// told its time last, in whole seconds; negative if it was behind. Less than two
	// seconds count as none. Zero if it is not known.
	Ahead time.Duration
}

// Correctable reports whether what is signed for the provider is dated by its
// clock: if that is known, and differs by ten minutes at most. Otherwise it is
// dated by this machine's.
func (c Clock) Correctable() bool { return c.Known && c.Ahead.Abs() <= maxCorrection }

// correction returns by how much what is signed is dated later than by this
// machine's clock.
func (c Clock) correction() time.Duration {
	if !c.Correctable() {
		return 0
	}
	return c.Ahead
}

// toldTime is what an answer has told of a provider's clock.
type toldTime struct {
	ahead time.Duration // of this machine's clock
	at    instant
}

// Clock returns what is known of the provider's clock: nothing but its own answers,
// as far as no cache has kept them, tells its time. What was known before this machine's
// clock was set is forgotten: NTP may have set it right.
func (p *Provider) Clock() Clock {
	told := p.told.Load()
	if told == nil || readClocks().apart(told.at) > maxSkew {
		return Clock{}
	}
	return Clock{Known: true, Ahead: told.ahead}
}

// measure compares the clocks by an answer that was asked for at sent. One that
// a cache has kept says nothing of the time now.
func (p *Provider) measure(header http.Header, sent time.Time) {
	if len(header["Age"]) > 0 {
		return
	}
	now := readClocks()
	if ahead, ok := clockSkew(header, sent, now.wall); ok {
		p.told.Store(&toldTime{ahead: ahead, at: now})
	}
}

// now returns the time by which what is signed for the provider is dated.
func (p *Provider) now() time.Time { return time.Now().Add(p.Clock().correction()) }

// clockSkew returns by how much the clock of a server is ahead of this one's,
// by the Date of an answer that was asked for at sent and came at received. The
// Date was written at some time between the two, and is up to a second older; so
// the clocks agree if it could be of that time, and else differ by the distance,
// which is known to half a second. It reports false if there is no telling.
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
