package tokenauth

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Runtime is what a Source needs of whoever uses it at the moment. A Source
// outlives its users, such as the configurations of a server, so it keeps none
// of this for itself.
type Runtime struct {
	// Client sends requests to the provider. Redirects are not followed
	// whatever it says. Default: http.DefaultClient.
	Client *http.Client

	// Observe, if not nil, is told of every attempt to obtain a token, after it
	// has ended. It is called on the goroutine of the attempt, never on that of
	// a request, and not concurrently for one Source. It must neither call
	// Source.Close, which waits for it, nor otherwise wait for the Source.
	Observe func(Event)

	// Store, if not nil, is where tokens are shared with other processes that use
	// the same client: one of them asks for a token, and the others read it there.
	// What is stored is sealed with a key that is derived from the client's
	// credential. Tokens that are bound to a key are shared only if it is that of
	// the credentials. Without a store that works, each process asks by itself: after
	// 2 seconds if the store is slow or does not answer, 3 if it refuses a lock that is
	// held, and 20 to 30 in which another process holds the lock and leaves no token.
	// No more than four operations of one Source are under way, and one on a lock.
	Store Store

	// ObserveStore, if not nil, is told of failures of the Store. It is not called
	// concurrently for one Source and Runtime. It must not block: callers may wait.
	ObserveStore func(StoreEvent)
}

// An Event is one attempt to obtain a token.
type Event struct {
	// Scopes are those asked for, space-separated.
	Scopes string

	// Err is why the attempt failed, nil if it succeeded.
	Err *Error

	// Failures counts the failed attempts since the last success, this one
	// included. At a success: those before it.
	Failures int

	// Usable reports whether there is a token that can still be used.
	Usable bool

	// ClientID is that of the credentials used, if they could be read.
	ClientID string

	// Shared reports whether the token is one that another process has obtained.
	Shared bool

	// Lifetime is that of the token obtained, a day at most.
	Lifetime time.Duration

	// LifetimeGiven is what the provider said, if that is more than a day; else zero.
	LifetimeGiven time.Duration

	// LifetimeAssumed reports that the answer did not say how long it lives.
	LifetimeAssumed bool

	// MissingScopes are those asked for that the answer says were not granted.
	MissingScopes []string

	// NonceWanted reports whether a request was made again because the provider
	// wanted its nonce in the DPoP proof (RFC 9449 section 8).
	NonceWanted bool

	// Metadata is the provider's configuration, nil if it could not be read.
	Metadata *Metadata

	// Clock is what is known of the provider's clock.
	Clock Clock

	// Duration is how long the attempt took.
	Duration time.Duration
}

// A user of a Source is a Runtime that is attached to it.
type user struct {
	Runtime
	supplier supplier
}

// users are those of a Source, the newest last.
type users struct {
	mu  sync.Mutex
	all []*user
}

// attach adds u and returns what removes it again.
func (us *users) attach(u *user) (detach func()) {
	us.mu.Lock()
	defer us.mu.Unlock()
	us.all = append(us.all, u)
	return func() {
		us.mu.Lock()
		defer us.mu.Unlock()
		us.all = slices.DeleteFunc(us.all, func(other *user) bool { return other == u })
	}
}

// newest returns the user whose runtime is to be used now, nil if there is none. Then
// nothing may be sent: the runtime decides which servers are trusted.
func (us *users) newest() *user {
	us.mu.Lock()
	defer us.mu.Unlock()
	if len(us.all) == 0 {
		return nil
	}
	return us.all[len(us.all)-1]
}
