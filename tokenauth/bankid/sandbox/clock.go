package sandbox

import (
	"sync/atomic"
	"time"
)

// A clock is what the sandbox takes for the time: that of the machine, moved by
// an offset. It decides about everything that is a point in time for BankID's
// clients too, and when a token or code expires. How long an order lasts, it does not
// change.
// The zero value is right; it is safe for concurrent use.
type clock struct {
	offset atomic.Int64 // a time.Duration
}

func (c *clock) now() time.Time { return time.Now().Add(c.moved()) }

func (c *clock) moved() time.Duration { return time.Duration(c.offset.Load()) }

func (c *clock) move(offset time.Duration) { c.offset.Store(int64(offset)) }
