package tokenauth

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Store is where processes that use the same client leave their tokens for
// each other. It is the part that is used here of the storages of Caddy: keys
// are paths, and a lock holds between all processes and does not outlive its holder
// by much. It need not be trusted: what is stored is sealed. It must be safe for
// concurrent use. A Store that does not keep all of this costs token requests, but
// no token.
type Store interface {
	// Lock waits until the lock name is this process's, or ctx ends. No entry has the
	// name of a lock as its key.
	Lock(ctx context.Context, name string) error

	// Unlock gives the lock name back.
	Unlock(ctx context.Context, name string) error

	// Size returns how many bytes are stored at key. An entry with less than one is not
	// read, since it may be of any size. If there is no entry, the error should be
	// fs.ErrNotExist.
	Size(ctx context.Context, key string) (int64, error)

	// Load returns what is stored at key. If there is no entry, the error should be
	// fs.ErrNotExist.
	Load(ctx context.Context, key string) ([]byte, error)

	// Store replaces what is stored at key by value.
	Store(ctx context.Context, key string, value []byte) error
}

// A StoreFailure is a kind of failure of a Store.
type StoreFailure string

// The kinds of failure.
const (
	// StoreUnreachable: an operation failed.
	StoreUnreachable StoreFailure = "unreachable"
	// StoreSlow: an operation did not end in time.
	StoreSlow StoreFailure = "slow"
	// StoreLocked: the lock could not be had, and nobody left a token meanwhile.
	StoreLocked StoreFailure = "locked"
	// StoreChanged: an entry is not what was written, or an older one.
	StoreChanged StoreFailure = "changed"
	// StoreLost: what was written is not there.
	StoreLost StoreFailure = "lost"
	// StoreTooLarge: an entry is larger than any that is written.
	StoreTooLarge StoreFailure = "too_large"
)

// A StoreError is a failure of a Store.
type StoreError struct {
	Kind StoreFailure
	Err  error
}

// Error implements error.
func (e *StoreError) Error() string { return e.Err.Error() }

// Unwrap returns what the failure is made of.
func (e *StoreError) Unwrap() error { return e.Err }

// A StoreEvent is a failure of a Store, or the end of a time in which tokens could not
// be shared.
type StoreEvent struct {
	// Scopes are those of the token, space-separated.
	Scopes string

	// Err is the failure, nil at the end of that time.
	Err *StoreError

	// Changed reports whether this begins or ends a time in which the process obtains
	// tokens for itself. Other failures have cost time at most.
	Changed bool
}

const (
	// storeOperations is how many operations of one Source may be under way, beside
	// that on the lock. A storage that hangs would gather them otherwise. One that has
	// not come back after operationLost does not count any more, since what hung may be
	// mended for those that come.
	storeOperations = 4
	operationLost   = 10 * time.Minute

	// writeTimeout is how long one operation may take after the token was obtained.
	// Nobody waits for it.
	writeTimeout = 10 * time.Second

	// maxEntry is how many bytes of an entry are read. The answer that a token is in,
	// or a discovery document, is smaller.
	maxEntry = 2 << 20
)

// errSilent is the error of an operation that does not end in time.
var errSilent = errors.New("the storage does not answer")

// operations are those of a store that are under way.
type operations struct {
	places  chan struct{} // full if too many are
	locking chan struct{} // full while a lock is waited for or held
}

// newOperations returns those of one Source. It keeps them whatever its store is: what
// one store has kept does not come back with the next.
func newOperations() operations {
	return operations{make(chan struct{}, storeOperations), make(chan struct{}, 1)}
}

// begin starts an operation. Its result can be received once. The operation must not
// write to what is used if the result is not waited for: file systems that have gone
// away do not heed a context.
func (o operations) begin(ctx context.Context, operation func(context.Context) error) <-chan error {
	result := make(chan error, 1)
	select {
	case o.places <- struct{}{}:
	default:
		result <- errSilent
		return result
	}
	done := sync.OnceFunc(func() { <-o.places })
	lost := time.AfterFunc(operationLost, done)
	go func() { // it ends when the store lets it
		err := guarded(func() error { return operation(ctx) })
		if err != nil && ctx.Err() != nil {
			err = errSilent // some modules then say that there is no such entry
		}
		lost.Stop()
		done()
		result <- err
	}()
	return result
}

// run runs an operation that no caller waits for.
func (o operations) run(operation func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	select {
	case err := <-o.begin(ctx, operation):
		return err
	case <-ctx.Done():
		return errSilent
	}
}

// guarded calls an operation of a store. A panic of it is an error, or it would end the
// process.
func guarded(operation func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the storage panicked")
		}
	}()
	return operation()
}
