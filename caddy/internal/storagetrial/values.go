package storagetrial

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

const (
	// These are the sizes, in bytes, of entries like a token, and like a long discovery
	// document.
	valueSize = 3 << 10
	largeSize = 64 << 10

	// settleLimit is how long it may take until a value can be read. Servers look for
	// longer, but each second of it delays a caller.
	settleLimit = 3 * time.Second
	firstLook   = 50 * time.Millisecond
	lastLook    = 500 * time.Millisecond

	// Reads and writes are timed until there are speedRounds of each, or until
	// speedLimit has passed.
	speedRounds = 10
	speedLimit  = 10 * time.Second

	// A median time above slowMedian is slow for one read or write. A server looks
	// several times before it asks for a token. Above aloneMedian, that exceeds its
	// patience.
	slowMedian  = 100 * time.Millisecond
	aloneMedian = 500 * time.Millisecond
)

// newValue returns a value that differs from any other, and is not valid text.
func newValue(size int) []byte {
	value := make([]byte, size)
	_, _ = rand.Read(value) // never fails
	copy(value, "\x00\xff\r\n")
	return value
}

// A mismatchError is the error of a read that returns something else than was written.
type mismatchError struct{ what string }

// Error implements error.
func (e *mismatchError) Error() string { return e.what }

// settle reads an entry until it is want, which replaced before. It returns how long
// that took, or zero if the first read found it.
func (r *run) settle(ctx context.Context, s Storage, key string, want, before []byte) (time.Duration, error) {
	start := time.Now()
	for look := firstLook; ; look = min(2*look, lastLook) {
		read := time.Since(start)
		got, err := r.load(ctx, s, key)
		switch {
		case err == nil && bytes.Equal(got, want):
			if look == firstLook {
				return 0, nil
			}
			return read, nil
		case errors.Is(err, fs.ErrNotExist):
			err = &mismatchError{"there is nothing"}
		case err != nil:
		case before != nil && bytes.Equal(got, before):
			err = &mismatchError{"there is still the value before"}
		default:
			err = &mismatchError{fmt.Sprintf("there is another value, of %d bytes", len(got))}
		}
		if fatal(err) || time.Since(start) >= settleLimit || !pause(ctx, look) {
			return 0, err
		}
	}
}

// pause waits for d. It reports false if ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A write is a value to write with one instance, and to read with another.
type write struct {
	to, from      Storage
	key           string
	value, before []byte
}

// seen makes writes, and returns how long the slowest took until it could be read.
func (r *run) seen(ctx context.Context, writes ...write) (time.Duration, *Finding) {
	var slowest time.Duration
	for _, w := range writes {
		if err := r.store(ctx, w.to, w.key, w.value); err != nil {
			f := r.failed(fmt.Sprintf("%d bytes cannot be written", len(w.value)), err)
			return 0, &f
		}
		took, err := r.settle(ctx, w.from, w.key, w.value, w.before)
		if other, ok := errors.AsType[*mismatchError](err); ok {
			instance := "the instance that wrote it"
			if w.to != w.from {
				instance = "another instance"
			}
			return 0, &Finding{
				Result: Fail,
				Text:   fmt.Sprintf("%d bytes that were written do not come back within %v in %s: %s", len(w.value), settleLimit, instance, other.what),
				Hint:   "servers do not find each other's tokens",
			}
		}
		if err != nil {
			f := r.failed(fmt.Sprintf("%d bytes that were written cannot be read", len(w.value)), err)
			return 0, &f
		}
		slowest = max(slowest, took)
	}
	return slowest, nil
}

// value tests whether a written value can be read, even if a read has missed the key
// before, as reads of servers do.
func (r *run) value(ctx context.Context) Finding {
	key, other := r.key("value"), r.key("other")
	for _, s := range []Storage{r.First, r.Second} {
		if _, err := r.load(ctx, s, key); fatal(err) {
			return r.failed("it cannot be read", err)
		}
	}
	value := newValue(valueSize)
	slowest, failure := r.seen(ctx,
		write{r.First, r.First, key, value, nil},
		write{r.First, r.Second, key, value, nil},
		write{r.First, r.Second, r.key("large"), newValue(largeSize), nil},
		write{r.Second, r.First, other, newValue(valueSize), nil},
	)
	if failure != nil {
		failure.end = true // nothing else matters then
		return *failure
	}
	size, err := r.size(ctx, r.Second, key)
	switch {
	case fatal(err):
		return r.failed("Stat", err)
	case err != nil:
		return Finding{Result: Warn, Text: "values come back, but Stat of one fails: " + r.show(err), Hint: "servers cannot see how long an entry is before they read it"}
	case size != valueSize:
		return Finding{Result: Warn, Text: fmt.Sprintf("values come back, but Stat says %d bytes of %d", size, valueSize), Hint: "servers go by that to read no entry of any length"}
	case slowest > 0:
		return Finding{Result: Warn, costs: true, Text: "values come back, after " + shown(slowest), Hint: "servers find each other's tokens that much later"}
	}
	return Finding{Result: OK, Text: fmt.Sprintf("%d and %d bytes come back as they were written, to another instance too", valueSize, largeSize)}
}

// overwriting tests whether an instance that has read the old value sees a new one.
func (r *run) overwriting(ctx context.Context) Finding {
	key := r.key("overwritten")
	first, second, third := newValue(valueSize), newValue(valueSize), newValue(valueSize)
	slowest, failure := r.seen(ctx,
		write{r.First, r.First, key, first, nil},
		write{r.First, r.Second, key, first, nil},
		write{r.First, r.Second, key, second, first},
		write{r.First, r.First, key, second, first},
		write{r.Second, r.First, key, third, second},
	)
	switch {
	case failure != nil:
		if !failure.end {
			failure.Hint = "if reads are cached, a server that has read an entry does not see the next token in time"
		}
		return *failure
	case slowest > 0:
		return Finding{Result: Warn, costs: true, Text: "a new value is seen after " + shown(slowest), Hint: "servers find each other's tokens that much later"}
	}
	return Finding{Result: OK, Text: "a new value is seen at once"}
}

// missingKey tests how the storage reports a missing key.
func (r *run) missingKey(ctx context.Context) Finding {
	key := r.key("missing")
	_, err := r.load(ctx, r.First, key)
	_, sizeErr := r.size(ctx, r.First, key)
	for _, e := range []error{err, sizeErr} {
		if fatal(e) {
			return r.failed("a key that is not there", e)
		}
	}
	switch {
	case err == nil:
		return Finding{Result: Fail, Text: "Load of a key that is not there finds something"}
	case sizeErr == nil:
		return Finding{Result: Fail, Text: "Stat of a key that is not there finds something"}
	case !errors.Is(err, fs.ErrNotExist):
		return Finding{Result: Warn, Text: "Load of a key that is not there fails otherwise than by fs.ErrNotExist: " + r.show(err), Hint: "servers cannot tell it from a storage that does not work, and find out by writing"}
	case !errors.Is(sizeErr, fs.ErrNotExist):
		return Finding{Result: Warn, Text: "Stat of a key that is not there fails otherwise than by fs.ErrNotExist: " + r.show(sizeErr), Hint: "servers cannot tell it from a storage that does not work, and find out by writing"}
	}
	return Finding{Result: OK, Text: "Load and Stat say that there is nothing (fs.ErrNotExist)"}
}

// endedContext tests what the storage reports if the context has ended.
func (r *run) endedContext(ctx context.Context) Finding {
	key := r.key("ended")
	if err := r.store(ctx, r.First, key, newValue(valueSize)); err != nil {
		return r.failed("it cannot be written", err)
	}
	over, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()
	operations := map[string]func(context.Context) error{
		"Load":  func(context.Context) error { _, err := r.First.Load(over, key); return err },
		"Stat":  func(context.Context) error { _, err := r.First.Size(over, key); return err },
		"Store": func(context.Context) error { return r.First.Store(over, key, newValue(valueSize)) },
	}
	var heeded []string
	for _, name := range []string{"Load", "Stat", "Store"} {
		err := do(ctx, operations[name])
		switch {
		case fatal(err):
			return r.failed(name+" with a context that is over", err)
		case errors.Is(err, fs.ErrNotExist):
			return Finding{
				Result: Warn, Text: name + " with a context that is over says of an entry that is there that there is none (fs.ErrNotExist)",
				Hint: "it may say the same when it cannot be reached; servers do not believe it alone, and find out by writing",
			}
		case err != nil:
			heeded = append(heeded, name)
		}
	}
	if len(heeded) == 0 {
		return Finding{Result: OK, Text: "a context that is over is not looked at"}
	}
	return Finding{Result: OK, Text: fmt.Sprintf("a context that is over is an error of its own (%v)", heeded)}
}

// speed measures the time of reads and writes.
func (r *run) speed(ctx context.Context) Finding {
	key, value := r.key("speed"), newValue(valueSize)
	var took []time.Duration
	timed := func(operation func() error) error {
		begin := time.Now()
		err := operation()
		took = append(took, time.Since(begin))
		return err
	}
	for start := time.Now(); len(took) < 2*speedRounds && time.Since(start) < speedLimit; {
		if err := timed(func() error { return r.store(ctx, r.First, key, value) }); err != nil {
			return r.failed("it cannot be written", err)
		}
		if err := timed(func() error { _, err := r.load(ctx, r.Second, key); return err }); err != nil {
			return r.failed("it cannot be read", err)
		}
	}
	slices.Sort(took)
	r.report.Median, r.report.Worst = took[len(took)/2], took[len(took)-1]
	f := Finding{Result: OK, Text: fmt.Sprintf("%s for a read or write, %s at worst, of %d", shown(r.report.Median), shown(r.report.Worst), len(took))}
	if r.report.Median > slowMedian {
		f.Result, f.costs, f.Hint = Warn, true, "a call that finds no usable token waits several times as long for the storage"
	}
	if r.report.Median > aloneMedian {
		f.Hint = "a call that finds no usable token waits two seconds for the storage, and then goes on by itself: servers that start together ask for a token each"
	}
	return f
}

// shown formats d for a person.
func shown(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return "less than 1ms"
}
