package storagetrial

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

const (
	// These are the sizes, in bytes, of entries like a token, and like a long discovery
	// document.
	valueSize = 3 << 10
	largeSize = 64 << 10

	// maxSize is how large an entry may be that servers read.
	maxSize = 2 << 20

	// A server reads its own write at once, and again after lateLimit. If it finds nothing
	// then, it stops sharing. The trial reads every lookEvery until settleLimit, to say how
	// late the write is seen.
	lateLimit   = time.Second
	settleLimit = 3 * time.Second
	lookEvery   = 100 * time.Millisecond

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

// A sizeError is the error if Stat does not tell a size with which servers read an entry.
type sizeError struct{ what string }

// Error implements error.
func (e *sizeError) Error() string { return e.what }

// settle reads an entry until it is want, which replaced before, and until Stat tells a
// size with which servers read it. It returns how long that took, or zero if the first
// read found it.
func (r *run) settle(ctx context.Context, s Storage, key string, want, before []byte) (time.Duration, error) {
	start := time.Now()
	for first := true; ; first = false {
		read := time.Since(start)
		got, err := r.load(ctx, s, key)
		switch {
		case err == nil && bytes.Equal(got, want):
			err = r.sized(ctx, s, key, len(want))
			if err == nil && first {
				return 0, nil
			}
			if err == nil {
				return read, nil
			}
		case errors.Is(err, fs.ErrNotExist), err == nil && len(got) == 0:
			err = &mismatchError{"the entry is missing"}
		case err != nil:
		case before != nil && bytes.Equal(got, before):
			err = &mismatchError{"the entry still has the previous value"}
		default:
			err = &mismatchError{fmt.Sprintf("the entry has another value, of %d bytes", len(got))}
		}
		if fatal(err) || time.Since(start) >= settleLimit || !pause(ctx, lookEvery) {
			return 0, err
		}
	}
}

// sized asks Stat for the size of an entry. It returns a *sizeError if servers do not read
// an entry of that size.
func (r *run) sized(ctx context.Context, s Storage, key string, length int) error {
	size, err := r.size(ctx, s, key)
	switch {
	case fatal(err):
		return err
	case err != nil:
		return &sizeError{"Stat fails: " + r.show(err)}
	case size < 1 || size > maxSize:
		return &sizeError{fmt.Sprintf("Stat reports %d bytes instead of %d", size, length)}
	}
	return nil
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

// A write is a value to write with one instance, and to read with others.
type write struct {
	to            Storage
	key           string
	value, before []byte
	from          []Storage
}

// seen makes writes, and returns how long the slowest took until it could be read.
func (r *run) seen(ctx context.Context, writes ...write) (time.Duration, *Finding) {
	var slowest time.Duration
	for _, w := range writes {
		if err := r.store(ctx, w.to, w.key, w.value); err != nil {
			f := r.failed(fmt.Sprintf("%d bytes cannot be written", len(w.value)), err)
			return 0, &f
		}
		start := time.Now()
		for _, from := range w.from {
			before := time.Since(start)
			took, err := r.settle(ctx, from, w.key, w.value, w.before)
			if err != nil {
				f := r.unseen(w, from, err)
				return 0, &f
			}
			if took > 0 {
				slowest = max(slowest, before+took)
			}
		}
		if slowest > lateLimit {
			return 0, &Finding{
				Result: Fail, Text: "a written value can be read only after " + shown(slowest),
				Hint: fmt.Sprintf("gateways look for it for %v, and then assume that the storage loses what they write", lateLimit),
			}
		}
	}
	return slowest, nil
}

// unseen is the finding if an instance does not read what was written.
func (r *run) unseen(w write, from Storage, err error) Finding {
	if other, ok := errors.AsType[*mismatchError](err); ok {
		instance := "the instance that wrote it"
		if w.to != from {
			instance = "another instance"
		}
		return Finding{
			Result: Fail,
			Text:   fmt.Sprintf("%d bytes that were written cannot be read within %v by %s: %s", len(w.value), settleLimit, instance, other.what),
			Hint:   "gateways do not find each other's tokens",
		}
	}
	if wrong, ok := errors.AsType[*sizeError](err); ok {
		return Finding{
			Result: Fail, Text: "values can be read, but " + wrong.what,
			Hint: "gateways do not read an entry whose size they do not know",
		}
	}
	return r.failed(fmt.Sprintf("%d bytes that were written cannot be read", len(w.value)), err)
}

// value tests whether a written value can be read, even if a read has missed the key
// before, as reads of servers do.
func (r *run) value(ctx context.Context) Finding {
	key, other, both := r.key("value"), r.key("other"), []Storage{r.First, r.Second}
	for _, s := range both {
		_, sizeErr := r.size(ctx, s, key)
		_, err := r.load(ctx, s, key)
		for _, e := range []error{sizeErr, err} {
			if fatal(e) {
				return r.failed("it cannot be read", e)
			}
		}
	}
	slowest, failure := r.seen(ctx,
		write{r.First, key, newValue(valueSize), nil, both},
		write{r.Second, other, newValue(valueSize), nil, []Storage{r.First}},
	)
	if failure != nil {
		failure.end = true // nothing else matters then
		return *failure
	}
	f := Finding{Result: OK, Text: fmt.Sprintf("%d and %d bytes are read as they were written, by another instance too", valueSize, largeSize)}
	if slowest > 0 {
		f = Finding{Result: Warn, costs: true, Text: "values can be read after " + shown(slowest), Hint: "gateways find each other's tokens that much later"}
	}
	size, err := r.size(ctx, r.Second, key)
	switch _, failure := r.seen(ctx, write{r.First, r.key("large"), newValue(largeSize), nil, []Storage{r.Second}}); {
	case fatal(err):
		return r.failed("Stat", err)
	case failure != nil:
		f.Result, f.Text = Warn, fmt.Sprintf("%d bytes are read as they were written, but %s", valueSize, failure.Text)
		f.Hint = "tokens are smaller; a discovery document of that size is not shared"
	case size != valueSize:
		f.Result, f.Text = Warn, fmt.Sprintf("values can be read, but Stat reports %d bytes instead of %d", size, valueSize)
		f.Hint = fmt.Sprintf("gateways use this size to leave out entries of more than %d bytes", maxSize)
	}
	return f
}

// overwriting tests whether an instance that has read the old value sees a new one.
func (r *run) overwriting(ctx context.Context) Finding {
	key, both := r.key("overwritten"), []Storage{r.First, r.Second}
	first, second, third := newValue(valueSize), newValue(valueSize), newValue(valueSize)
	slowest, failure := r.seen(ctx,
		write{r.First, key, first, nil, both},
		write{r.First, key, second, first, []Storage{r.Second, r.First}},
		write{r.Second, key, third, second, []Storage{r.First}},
	)
	switch {
	case failure != nil:
		if !failure.end {
			failure.Hint = "if reads are cached, a gateway that has read an entry does not see the next token in time"
		}
		return *failure
	case slowest > 0:
		return Finding{Result: Warn, costs: true, Text: "a new value is seen after " + shown(slowest), Hint: "gateways find each other's tokens that much later"}
	}
	return Finding{Result: OK, Text: "a new value is seen at once"}
}

// missingKey tests how the storage reports a missing key.
func (r *run) missingKey(ctx context.Context) Finding {
	key := r.key("missing")
	value, err := r.load(ctx, r.First, key)
	size, sizeErr := r.size(ctx, r.First, key)
	for _, e := range []error{err, sizeErr} {
		if fatal(e) {
			return r.failed("a missing key", e)
		}
	}
	const (
		empty = "gateways treat that as a missing entry, and log a warning that an entry was changed"
		odd   = "gateways cannot tell that from a storage that does not work, until they write to it"
	)
	switch {
	case len(value) > 0:
		return Finding{Result: Fail, Text: "Load returns a value for a missing key"}
	case sizeErr == nil && size > 0:
		return Finding{Result: Fail, Text: "Stat reports a size for a missing key"}
	case err == nil:
		return Finding{Result: Warn, Text: "Load returns an empty value for a missing key, instead of fs.ErrNotExist", Hint: empty}
	case sizeErr == nil:
		return Finding{Result: Warn, Text: fmt.Sprintf("Stat reports %d bytes for a missing key, instead of fs.ErrNotExist", size), Hint: empty}
	case !errors.Is(err, fs.ErrNotExist):
		return Finding{Result: Warn, Text: "Load returns another error than fs.ErrNotExist for a missing key: " + r.show(err), Hint: odd}
	case !errors.Is(sizeErr, fs.ErrNotExist):
		return Finding{Result: Warn, Text: "Stat returns another error than fs.ErrNotExist for a missing key: " + r.show(sizeErr), Hint: odd}
	}
	return Finding{Result: OK, Text: "Load and Stat report a missing key (fs.ErrNotExist)"}
}

// endedContext tests what the storage reports if the context has ended.
func (r *run) endedContext(ctx context.Context) Finding {
	key := r.key("ended")
	if failure := r.written(ctx, r.First, key, newValue(valueSize)); failure != nil {
		return *failure
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
			return r.failed(name+" with an ended context", err)
		case errors.Is(err, fs.ErrNotExist):
			return Finding{
				Result: Warn, Text: name + " with an ended context reports an existing entry as missing (fs.ErrNotExist)",
				Hint: "it may report the same when the storage cannot be reached; gateways test that by writing",
			}
		case err != nil:
			heeded = append(heeded, name)
		}
	}
	if len(heeded) == 0 {
		return Finding{Result: OK, Text: "an ended context is ignored"}
	}
	return Finding{Result: OK, Text: "an ended context causes an error of its own (" + listed(heeded) + ")"}
}

// listed joins words to a list in English.
func listed(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// written stores an entry that a probe needs, and waits until an instance can read it.
func (r *run) written(ctx context.Context, from Storage, key string, value []byte) *Finding {
	err := r.store(ctx, r.First, key, value)
	if err == nil {
		_, err = r.settle(ctx, from, key, value, nil)
	}
	if err == nil {
		return nil
	}
	f := r.failed("an entry cannot be written and read", err)
	return &f
}

// speed measures the time of reads and writes.
func (r *run) speed(ctx context.Context) Finding {
	key, value := r.key("speed"), newValue(valueSize)
	if failure := r.written(ctx, r.Second, key, value); failure != nil {
		return *failure
	}
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
		f.Result, f.costs, f.Hint = Warn, true, "a call without a usable token waits several times as long for the storage"
	}
	if r.report.Median > aloneMedian {
		f.Hint = "a call without a usable token waits two seconds for the storage, and then continues without it: gateways that start together each ask for a token"
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
