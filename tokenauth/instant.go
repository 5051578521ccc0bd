package tokenauth

import "time"

// An instant is a moment on both clocks of a machine. They do not always agree: while the
// machine is suspended, the monotonic clock stands still on many systems, and the wall
// clock goes on; and the wall clock can be set. A time has passed as soon as either clock
// says so. So a token does not live longer because of a suspension, or because the wall
// clock is set back.
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

// since returns how much time has passed since past: the larger of the two clocks'
// differences.
func (i instant) since(past instant) time.Duration {
	return max(i.wall.Sub(past.wall), i.mono.Sub(past.mono))
}

// until returns how much time is left until future: the smaller of the two clocks'
// differences.
func (i instant) until(future instant) time.Duration { return -i.since(future) }

// apart returns how much the clocks disagree about the time since past. They disagree if
// one of them was set, or has stood still.
func (i instant) apart(past instant) time.Duration {
	return (i.wall.Sub(past.wall) - i.mono.Sub(past.mono)).Abs()
}

// reached reports whether deadline has come.
func (i instant) reached(deadline instant) bool {
	return !i.wall.Before(deadline.wall) || !i.mono.Before(deadline.mono)
}

// wallTime returns other as a time on the present wall clock. Its distance from the present
// is what until and since return.
func (i instant) wallTime(other instant) time.Time { return i.mono.Add(i.until(other)) }
