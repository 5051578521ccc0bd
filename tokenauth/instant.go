package tokenauth

import "time"

// An instant is a moment by both clocks of a machine. They do not always agree: while
// the machine is suspended, the monotonic clock stands still on many systems and the
// clock on the wall goes on, and that one can be set. What is to happen after a time
// happens when either clock says that it has passed: so a token does not outlive a
// suspension, and a clock that is set back prolongs nothing.
//
// The zero instant is long past.
type instant struct {
	wall time.Time // without a monotonic reading
	mono time.Time // with one
}

// readClocks returns the present instant.
func readClocks() instant {
	now := time.Now()
	return instant{wall: now.Round(0), mono: now}
}

// plus returns the instant d later.
func (i instant) plus(d time.Duration) instant {
	return instant{wall: i.wall.Add(d), mono: i.mono.Add(d)}
}

// since returns how much time has passed since past: the more of what the clocks say.
func (i instant) since(past instant) time.Duration {
	return max(i.wall.Sub(past.wall), i.mono.Sub(past.mono))
}

// until returns how much time is left until future: the less of what the clocks say.
func (i instant) until(future instant) time.Duration { return -i.since(future) }

// apart returns by how much the clocks disagree about the time that has passed since
// past: one of them was set, or has stood still.
func (i instant) apart(past instant) time.Duration {
	return (i.wall.Sub(past.wall) - i.mono.Sub(past.mono)).Abs()
}

// reached reports whether deadline has come.
func (i instant) reached(deadline instant) bool {
	return !i.wall.Before(deadline.wall) || !i.mono.Before(deadline.mono)
}

// tell returns other as the clock on the wall says it now, so that it is as far from
// the present as until and since say.
func (i instant) tell(other instant) time.Time { return i.mono.Add(i.until(other)) }
