package tokenauth

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Runtime is what a Source needs from its present user, such as the configuration of
// a server. A Source outlives its users, so each of them attaches its own Runtime. A
// program with one user needs none, unless it wants another Client than the default.
type Runtime struct {
	// Client sends requests to the provider. Redirects are not followed, even if its
	// CheckRedirect allows them, and its cookie jar is not used. Default:
	// http.DefaultClient.
	Client *http.Client

	// Observe, if not nil, is called after every attempt to obtain a token. It is
	// called on the goroutine of the attempt, never on that of a request, and not
	// concurrently for one Source. It must not wait for the Source, and so must not
	// call Source.Close.
	Observe func(Event)

	// Store, if not nil, is where processes that use the same client share tokens: one
	// process asks for a token, and the others read it there. Entries are sealed with a
	// key that is derived from the client's credential. Tokens that are bound to a key
	// are shared only if the key is Credentials.DPoPKey. If the store does not work,
	// each process asks for its own token: after 2 seconds if the store is slow or does
	// not answer, after 3 seconds if it refuses a lock that is held, and after 20 to 30
	// seconds if another process holds the lock and leaves no token. At most four
	// operations of one Source run at once, and one more on a lock.
	Store Store

	// ObserveStore, if not nil, is called for failures of the Store. It is not called
	// concurrently for one Source and Runtime. It must not block, since callers may wait
	// for it.
	ObserveStore func(StoreEvent)
}

// An Event describes one attempt to obtain a token.
type Event struct {
	// Scopes are the scopes asked for, separated by spaces.
	Scopes string

	// Err is why the attempt failed, nil if it succeeded.
	Err *Error

	// Failures is the number of failed attempts since the last success before this
	// attempt. It includes this attempt if it failed.
	Failures int

	// Usable reports whether there is a token that can still be used.
	Usable bool

	// ClientID is the client identifier that was used, "" if the credentials could not
	// be read.
	ClientID string

	// Shared reports whether another process has obtained the token.
	Shared bool

	// Lifetime is the lifetime of the token obtained, at most a day.
	Lifetime time.Duration

	// LifetimeGiven is the lifetime that the provider gave, if it is more than a day;
	// else zero.
	LifetimeGiven time.Duration

	// LifetimeAssumed reports whether the response gave no lifetime, so that Lifetime
	// is 5 minutes.
	LifetimeAssumed bool

	// MissingScopes are the scopes asked for that were not granted, according to the
	// response.
	MissingScopes []string

	// NonceWanted reports whether a request was retried because the provider wanted
	// its nonce in the DPoP proof (RFC 9449 section 8).
	NonceWanted bool

	// Metadata is the provider's configuration, nil if it could not be read.
	Metadata *Metadata

	// Clock tells how the provider's clock differs from this machine's.
	Clock Clock

	// Duration is how long the attempt took.
	Duration time.Duration
}

// A user of a Source is a Runtime that is attached to it.
type user struct {
	Runtime
	supplier supplier
}

// users are the users of a Source, the newest last.
type users struct {
	mu      sync.Mutex
	initial *user // stands in until the first user is attached
	all     []*user
}

// attach adds u, and returns a function that removes it again.
func (us *users) attach(u *user) (detach func()) {
	us.mu.Lock()
	defer us.mu.Unlock()
	us.initial = nil
	us.all = append(us.all, u)
	return func() {
		us.mu.Lock()
		defer us.mu.Unlock()
		us.all = slices.DeleteFunc(us.all, func(other *user) bool { return other == u })
	}
}

// newest returns the user whose runtime is to be used now, nil if there is no user. After
// the last runtime was detached, nothing may be sent: the runtime decides which servers are
// trusted.
func (us *users) newest() *user {
	us.mu.Lock()
	defer us.mu.Unlock()
	if len(us.all) == 0 {
		return us.initial
	}
	return us.all[len(us.all)-1]
}
