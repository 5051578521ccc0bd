package tokenauth

import (
	"context"
	"errors"
	"time"
)

// A Store keeps tokens that processes with the same client share. It is a part of
// Caddy's storage interface: keys are paths, and a lock excludes all other processes. If
// the holder of a lock dies, the lock is free soon after. A Store must be safe for
// concurrent use. It need not be trusted: the entries are sealed. If it breaks these
// rules, that costs token requests, but callers still get tokens.
type Store interface {
	// Lock waits until this process has the lock name, or ctx ends. No entry has the
	// name of a lock as its key.
	Lock(ctx context.Context, name string) error

	// Unlock gives the lock name back.
	Unlock(ctx context.Context, name string) error

	// Size returns the size of the entry key in bytes. If the size is less than one, the
	// entry is not read, since it may have any size. If there is no entry, the error
	// should be fs.ErrNotExist.
	Size(ctx context.Context, key string) (int64, error)

	// Load returns the value of the entry key. If there is no entry, the error should
	// be fs.ErrNotExist.
	Load(ctx context.Context, key string) ([]byte, error)

	// Store sets the value of the entry key, and replaces an older value.
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
	// StoreLocked: this process did not get the lock, and no other process left a token
	// meanwhile.
	StoreLocked StoreFailure = "locked"
	// StoreChanged: an entry has another value than was written, or an older one.
	StoreChanged StoreFailure = "changed"
	// StoreLost: an entry that was written does not exist.
	StoreLost StoreFailure = "lost"
	// StoreTooLarge: an entry is larger than this package writes any.
	StoreTooLarge StoreFailure = "too_large"
)

// A StoreError is a failure of a Store.
type StoreError struct {
	Kind StoreFailure
	Err  error
}

// Error implements error.
func (e *StoreError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *StoreError) Unwrap() error { return e.Err }

// A StoreEvent is a failure of a Store, or says that tokens are shared again.
type StoreEvent struct {
	// Scopes are the scopes of the token, separated by spaces.
	Scopes string

	// Err is the failure, nil if tokens are shared again.
	Err *StoreError

	// Changed reports whether sharing has stopped or started with this event. While it
	// is stopped, the process obtains its own tokens. Other failures cost only time.
	Changed bool
}

const (
	// storeOperations is how many operations of one Source may run at once, beside the
	// one on the lock.
	storeOperations = 4

	// writeTimeout is how long one operation may take after the token was obtained. No
	// caller waits for it.
	writeTimeout = 10 * time.Second

	// maxEntry is the size of the largest entry that is read, in bytes. A token
	// response or a discovery document is smaller.
	maxEntry = 2 << 20
)

// storeSubject is the store in the error for an operation that panics.
const storeSubject = "the storage"

// errSilent is the error if an operation does not end in time.
var errSilent = errors.New("the storage does not respond")

// operations counts the operations of a store that are under way.
type operations struct {
	places  places
	locking chan struct{} // full while a lock is waited for or held
}

// newOperations returns the operations of one Source. The Source keeps the count when its
// store is replaced: an operation that hangs in the old store goes on hanging.
func newOperations() operations {
	return operations{make(places, storeOperations), make(chan struct{}, 1)}
}

// begin starts an operation, as places.start does. The operation may ignore the end of ctx,
// since some file systems do.
func (o operations) begin(ctx context.Context, operation func(context.Context) error) <-chan error {
	select {
	case o.places <- struct{}{}:
	default:
		result := make(chan error, 1)
		result <- errSilent
		return result
	}
	return o.places.start(storeSubject, func() error {
		err := operation(ctx)
		if err != nil && ctx.Err() != nil {
			err = errSilent // some modules say then that the entry does not exist
		}
		return err
	})
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
