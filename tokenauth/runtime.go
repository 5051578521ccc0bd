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
	// the credentials. Without a store that works, each process asks by itself:
	// after 2 seconds for each reading or writing that does not end, and after 20 to
	// 30 in which another process holds the lock and leaves no token. No more than
	// four operations of one Source are under way.
	Store Store
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

	// StoreErr is why the token could not be shared, nil if it was or if there is
	// no store.
	StoreErr error

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

// runtimes are the users of a Source, the newest last.
type runtimes struct {
	mu  sync.Mutex
	all []*Runtime
}

// attach adds r and returns what removes it again.
func (rs *runtimes) attach(r Runtime) (detach func()) {
	own := &r
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.all = append(rs.all, own)
	return func() {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		rs.all = slices.DeleteFunc(rs.all, func(r *Runtime) bool { return r == own })
	}
}

// newest returns the runtime to use now, and whether there is one. Without one,
// nothing may be sent: it decides which servers are trusted.
func (rs *runtimes) newest() (r Runtime, ok bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.all) == 0 {
		return Runtime{}, false
	}
	r = *rs.all[len(rs.all)-1]
	if r.Client == nil {
		r.Client = http.DefaultClient
	}
	return r, true
}
