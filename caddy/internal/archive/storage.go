package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// A Storage is the part of Caddy's storage interface that an Archive uses. Keys are
// paths. A Storage must be safe for concurrent use. It need not be trusted.
type Storage interface {
	// Store sets the value of key, and replaces an older value.
	Store(ctx context.Context, key string, value []byte) error

	// Load returns the value of key. If there is none, the error should be
	// fs.ErrNotExist.
	Load(ctx context.Context, key string) ([]byte, error)

	// Delete deletes key. It is not an error if there is no such key.
	Delete(ctx context.Context, key string) error

	// Exists reports whether there is a key.
	Exists(ctx context.Context, key string) bool

	// List returns the keys below path, and with recursive the keys below those too.
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

const (
	// maxOperations is how many operations of an Archive may be under way, other than those
	// with pieces.
	maxOperations = 64

	// maxTransfers is how many operations with pieces may be under way. They must not use up
	// the connections of the storage: Redis' module has ten for each processor.
	maxTransfers = 16

	// operationLimit is how long one operation may take, other than List.
	operationLimit = 10 * time.Second

	// listLimit is how long List may take: some storages list all that they have.
	listLimit = 45 * time.Second
)

// errSilent is the error if an operation does not end in time.
var errSilent = errors.New("the storage does not respond")

// operations counts the operations under way. One that hangs keeps its place.
type operations chan struct{}

// run runs an operation, at most for the time limit and as long as ctx. The operation may
// ignore the end of its context, as some storages do; then it goes on alone.
func run[T any](ctx context.Context, o operations, limit time.Duration, operation func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	var none T
	select {
	case o <- struct{}{}:
	case <-ctx.Done():
		cancel()
		return none, errSilent
	}
	type result struct {
		value T
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if v := recover(); v != nil {
				r = result{err: fmt.Errorf("the storage panics: %v", v)}
			}
			ended <- r
			<-o
			cancel()
		}()
		r.value, r.err = operation(ctx)
		if r.err != nil && ctx.Err() != nil {
			r.err = errSilent // some storages say then that the key does not exist
		}
	}()
	select {
	case r := <-ended:
		return r.value, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-ended: // it cancels the context itself
		return r.value, r.err
	default:
		return none, errSilent
	}
}

// store sets the value of key.
func (a *Archive) store(ctx context.Context, key string, value []byte) error {
	return a.storeIn(ctx, a.operations, key, value)
}

// storeIn is store, counted among some operations.
func (a *Archive) storeIn(ctx context.Context, o operations, key string, value []byte) error {
	s := a.settings().Storage
	_, err := run(ctx, o, operationLimit, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.Store(ctx, key, value)
	})
	return err
}

// load returns the value of key. The error is fs.ErrNotExist if there is none, as far as
// the storage tells.
func (a *Archive) load(ctx context.Context, key string) ([]byte, error) {
	return a.loadIn(ctx, a.operations, key)
}

// loadIn is load, counted among some operations.
func (a *Archive) loadIn(ctx context.Context, o operations, key string) ([]byte, error) {
	s := a.settings().Storage
	return run(ctx, o, operationLimit, func(ctx context.Context) ([]byte, error) {
		value, err := s.Load(ctx, key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil && lacks(ctx, s, key) {
			return nil, fs.ErrNotExist // some storages return another error for it
		}
		return value, err
	})
}

// lacks reports whether a storage says that it has no such key. Some say so while they are
// away, so it must have another key at the same time.
func lacks(ctx context.Context, s Storage, key string) bool {
	if !s.Exists(ctx, presentKey) && (s.Store(ctx, presentKey, []byte("present")) != nil || !s.Exists(ctx, presentKey)) {
		return false
	}
	return !s.Exists(ctx, key)
}

// delete deletes a key.
func (a *Archive) delete(ctx context.Context, key string) error {
	s := a.settings().Storage
	_, err := run(ctx, a.operations, operationLimit, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.Delete(ctx, key)
	})
	return err
}

// list returns the keys of all downloads, of every client.
func (a *Archive) list(ctx context.Context) ([]string, error) {
	s := a.settings().Storage
	return run(ctx, a.operations, listLimit, func(ctx context.Context) ([]string, error) {
		keys, err := s.List(ctx, prefix, true)
		if err != nil && ctx.Err() == nil {
			// certmagic-sqlstorage 1.1.1 refuses recursive, and lists all depths without it.
			if flat, flatErr := s.List(ctx, prefix, false); flatErr == nil {
				return flat, nil
			}
		}
		return keys, err
	})
}
