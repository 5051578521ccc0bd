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

	// trialLimit is how long all probes may take that need no dying process.
	trialLimit = 3 * time.Minute

	// cleanLimit is how long it may take to delete the entries and release the locks.
	cleanLimit = 15 * time.Second
)

// A Storage is the part of a Caddy storage that a trial uses, with the methods that
// certmagic describes. Size returns the size that Stat reports.
type Storage interface {
	Lock(ctx context.Context, name string) error
	Unlock(ctx context.Context, name string) error
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	Size(ctx context.Context, key string) (int64, error)
}

// A Trial describes what to test.
type Trial struct {
	// First and Second are two instances of one storage, as two servers have.
	First, Second Storage

	// Hold takes a lock in another process, and returns a function that kills that
	// process. If it is nil, only quick probes are made.
	Hold func(ctx context.Context, name string) (kill func(), err error)

	// Show returns the text of a storage's error that may be shown.
	Show func(error) string

	// Progress is called before each probe that takes long. It may be nil.
	Progress func(text string)
}

// Run tests the storage. It returns when ctx ends, or after about five minutes at most.
func (t Trial) Run(ctx context.Context) Report {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails
	// The prefix is not below the gateway's entries, because everything below it is
	// deleted.
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

// A run is the state of one trial.
type run struct {
	Trial
	prefix string // of all keys and names
	report Report

	locking     time.Duration // how long it takes to get a lock that nobody holds
	freesAnyway bool          // whether Unlock releases a lock although it returns an error

	mu     sync.Mutex
	stored map[string]bool    // by key, whether Store has reported success
	held   map[string]Storage // by name of the lock
}

// probe makes the quick probes, until one of them ends the trial.
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

// ended reports whether a finding ends the trial.
func (r *run) ended() bool {
	return slices.ContainsFunc(r.report.Findings, func(f Finding) bool { return f.end })
}

// A panicError is a panic in a storage.
type panicError struct{ value any }

// Error implements error.
func (p *panicError) Error() string { return fmt.Sprintf("it panicked: %v", p.value) }

// errSilent is the error of a call that does not return.
var errSilent = errors.New("it does not return in time")

// call makes one call of a storage. It returns when the call does, after limit, or when
// ctx ends.
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

// do is call for an operation without a result.
func do(ctx context.Context, operation func(context.Context) error) error {
	_, err := call(ctx, callLimit, func(ctx context.Context) (struct{}, error) { return struct{}{}, operation(ctx) })
	return err
}

// fatal reports whether err shows that the storage is unusable.
func fatal(err error) bool {
	_, panics := errors.AsType[*panicError](err)
	return panics || errors.Is(err, errSilent)
}

// failed returns the finding for an unexpected error, which ends the trial. what says
// what failed.
func (r *run) failed(what string, err error) Finding {
	return Finding{Result: Fail, Text: what + ": " + r.show(err), end: true}
}

// show returns the text of err that may be shown. err may come from this package.
func (r *run) show(err error) string {
	if errors.Is(err, errSilent) {
		return err.Error()
	}
	return r.Show(err)
}

// key returns a key, or the name of a lock, below the prefix of the run.
func (r *run) key(name string) string { return r.prefix + "/" + name }

// store writes an entry. It is not interrupted: otherwise the write could come after
// the entry was deleted.
func (r *run) store(ctx context.Context, s Storage, key string, value []byte) error {
	note := func(stored bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stored[key] = r.stored[key] || stored
	}
	note(false) // after an error, a part of it may be there
	err := do(context.WithoutCancel(ctx), func(ctx context.Context) error { return s.Store(ctx, key, value) })
	note(err == nil || errors.Is(err, errSilent))
	return err
}

// load reads an entry.
func (r *run) load(ctx context.Context, s Storage, key string) ([]byte, error) {
	return call(ctx, callLimit, func(ctx context.Context) ([]byte, error) { return s.Load(ctx, key) })
}

// size returns the size of an entry that the storage reports.
func (r *run) size(ctx context.Context, s Storage, key string) (int64, error) {
	return call(ctx, callLimit, func(ctx context.Context) (int64, error) { return s.Size(ctx, key) })
}

// clean deletes all entries of the run, and releases its locks. It adds a finding about
// those that stay.
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
		texts = append(texts, "a lock could not be released: "+r.show(failed))
		hints = append(hints, "locks whose names begin with "+r.prefix+" may stay until they expire")
	}
	failed = nil
	for key, sure := range stored {
		err := do(ctx, func(ctx context.Context) error { return r.First.Delete(ctx, key) })
		if err != nil && r.left(ctx, key, sure, err) {
			failed = err
		}
	}
	// A file system makes a directory for the prefix. Other storages may find nothing
	// there.
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

// left reports whether an entry is still there after Delete has failed with err. If the
// entry cannot be read either, sure decides: whether Store has reported success.
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
