package storagetrial

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// callLimit is how long one call of the storage may take.
	callLimit = 10 * time.Second

	// trialLimit is how long all but what needs a process that dies may take.
	trialLimit = 3 * time.Minute

	// cleanLimit is how long it may take to delete what was stored.
	cleanLimit = 15 * time.Second
)

// A Storage is the part of a storage of Caddy's that a trial uses, as certmagic
// describes it. Size is what Stat says of it.
type Storage interface {
	Lock(ctx context.Context, name string) error
	Unlock(ctx context.Context, name string) error
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	Size(ctx context.Context, key string) (int64, error)
}

// A Trial is what to try.
type Trial struct {
	// First and Second are two instances of one storage, as two servers have.
	First, Second Storage

	// Hold takes a lock in another process, and returns what kills that process. If
	// it is nil, only that is tried which takes no long time.
	Hold func(ctx context.Context, name string) (kill func(), err error)

	// Show returns what may be shown of an error of the storage.
	Show func(error) string

	// Progress is told what takes long, before it does. It may be nil.
	Progress func(text string)
}

// Run tries the storage. It returns when ctx is over, or after about five minutes at most.
func (t Trial) Run(ctx context.Context) Report {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails
	// Not below the entries of the gateway: the whole of it is deleted.
	r := &run{Trial: t, prefix: "tokenauth-check-" + hex.EncodeToString(id), stored: make(map[string]bool), held: make(map[string]Storage)}
	limited, cancel := context.WithTimeout(ctx, trialLimit)
	defer cancel()
	r.probe(limited)
	if t.Hold != nil && !r.ended() {
		r.holders(ctx)
	}
	r.clean(context.WithoutCancel(ctx))
	r.report.Verdict = verdict(r.report.Findings)
	return r.report
}

// A run is one run of a trial.
type run struct {
	Trial
	prefix string // of all keys and names
	report Report

	locking     time.Duration // what a Lock takes if nobody holds the lock
	freesAnyway bool          // Unlock gives a lock back, and returns an error

	mu     sync.Mutex
	stored map[string]bool    // by key, whether Store said so
	held   map[string]Storage // by name of the lock
}

// probe tries what takes no long time, until something makes an end of it.
func (r *run) probe(ctx context.Context) {
	for _, p := range []struct {
		name string
		try  func(context.Context) Finding
	}{
		{"value", r.value},
		{"overwriting", r.overwriting},
		{"missing key", r.missingKey},
		{"ended context", r.endedContext},
		{"speed", r.speed},
		{"lock", r.freeLock},
		{"locks", r.locks},
		{"ended waiting", r.endedWaiting},
		{"one name", r.oneName},
	} {
		f := p.try(ctx)
		f.Name = p.name
		r.report.Findings = append(r.report.Findings, f)
		if r.ended() {
			return
		}
	}
}

// ended reports whether nothing else is to be tried.
func (r *run) ended() bool {
	return slices.ContainsFunc(r.report.Findings, func(f Finding) bool { return f.end })
}

// A panicError is the panic of a storage.
type panicError struct{ value any }

// Error implements error.
func (p *panicError) Error() string { return fmt.Sprintf("it panicked: %v", p.value) }

// errSilent is the error of a call that does not come back.
var errSilent = errors.New("it does not come back in time")

// call makes one call of a storage, and returns when that or its time is over.
func call[T any](ctx context.Context, limit time.Duration, operation func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var res result
		defer func() {
			if v := recover(); v != nil {
				res.err = &panicError{v}
			}
			done <- res
		}()
		res.value, res.err = operation(ctx)
	}()
	select {
	case res := <-done:
		return res.value, res.err
	case <-ctx.Done():
		var zero T
		return zero, errSilent
	}
}

// do is call for what returns nothing.
func do(ctx context.Context, operation func(context.Context) error) error {
	_, err := call(ctx, callLimit, func(ctx context.Context) (struct{}, error) { return struct{}{}, operation(ctx) })
	return err
}

// fatal reports whether nothing good can come of a storage after err.
func fatal(err error) bool {
	_, panics := errors.AsType[*panicError](err)
	return panics || errors.Is(err, errSilent)
}

// failed is the finding of an error that should not be; what says at what it came.
// There is no use in going on.
func (r *run) failed(what string, err error) Finding {
	return Finding{Result: Fail, Text: what + ": " + r.show(err), end: true}
}

// show returns what may be shown of err, which may be one of this package.
func (r *run) show(err error) string {
	if errors.Is(err, errSilent) {
		return err.Error()
	}
	return r.Show(err)
}

// key returns a key or the name of a lock.
func (r *run) key(name string) string { return r.prefix + "/" + name }

// store stores an entry. It is not interrupted, or what it stores could come after it
// was deleted.
func (r *run) store(ctx context.Context, s Storage, key string, value []byte) error {
	note := func(stored bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stored[key] = r.stored[key] || stored
	}
	note(false)
	err := do(context.WithoutCancel(ctx), func(ctx context.Context) error { return s.Store(ctx, key, value) })
	note(err == nil || errors.Is(err, errSilent))
	return err
}

// load reads an entry.
func (r *run) load(ctx context.Context, s Storage, key string) ([]byte, error) {
	return call(ctx, callLimit, func(ctx context.Context) ([]byte, error) { return s.Load(ctx, key) })
}

// size returns how long the storage says that an entry is.
func (r *run) size(ctx context.Context, s Storage, key string) (int64, error) {
	return call(ctx, callLimit, func(ctx context.Context) (int64, error) { return s.Size(ctx, key) })
}

// clean deletes what was stored and gives back what is held, and says what it leaves.
func (r *run) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cleanLimit)
	defer cancel()
	r.mu.Lock()
	held, stored := maps.Clone(r.held), maps.Clone(r.stored)
	r.mu.Unlock()
	var texts, hints []string
	var failed error
	for name, s := range held {
		if err := r.unlock(ctx, s, name); err != nil {
			failed = err
		}
	}
	if failed != nil {
		texts = append(texts, "a lock could not be given back: "+r.show(failed))
		hints = append(hints, "locks whose names begin with "+r.prefix+" may stay until they expire")
	}
	failed = nil
	for key, sure := range stored {
		err := do(ctx, func(ctx context.Context) error { return r.First.Delete(ctx, key) })
		if err != nil && r.left(ctx, key, sure, err) {
			failed = err
		}
	}
	// What a file system makes a directory of. Others may find nothing there.
	_ = do(ctx, func(ctx context.Context) error { return r.First.Delete(ctx, r.prefix) })
	if failed != nil {
		texts = append(texts, "not everything that was stored could be deleted: "+r.show(failed))
		hints = append(hints, "delete what begins with "+r.prefix)
	}
	if texts != nil {
		r.report.Findings = append(r.report.Findings, Finding{
			Name: "leftovers", Result: Warn, Text: strings.Join(texts, "; "), Hint: strings.Join(hints, "; "),
		})
	}
}

// left reports whether an entry is still there that could not be deleted, because of
// err. It is not if nothing was stored. If that cannot be seen, sure says what Store said.
func (r *run) left(ctx context.Context, key string, sure bool, err error) bool {
	if fatal(err) {
		return sure
	}
	value, err := r.load(ctx, r.First, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false
	case err != nil:
		return sure
	}
	return len(value) > 0
}
