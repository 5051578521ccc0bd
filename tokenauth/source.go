package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultTimeout is that of one attempt, discovery included.
const DefaultTimeout = 10 * time.Second

// credentialCheck is how often a held-back Source looks whether its refused
// credentials have been replaced.
const credentialCheck = time.Second

// credentialReadings is how many readings of the credentials there can be: for an
// attempt, and for that look. One that hangs keeps a goroutine, which cannot be
// ended; after readingLost it does not count any more, since what hung may be
// mended for those that come.
const (
	credentialReadings = 2
	readingLost        = 10 * time.Minute
)

// credentialWait is how long a caller that gets an error anyway waits for that look.
const credentialWait = time.Second

// A Config describes the tokens of a Source.
type Config struct {
	// Provider issues the tokens. Required.
	Provider *Provider

	// Credentials returns the client's credentials. It is called for every
	// token request, so that rotated ones need no restart. If it blocks, the
	// attempt goes on without it when its time is over. Its error becomes part of
	// an Error and must not hold a secret. Required.
	Credentials func() (Credentials, error)

	// AuthMethod is the client authentication method. Default: the first of
	// AuthMethods that the provider lists.
	AuthMethod AuthMethod

	// Audience is the audience of client assertions, see CheckAudience. Default:
	// the issuer.
	Audience string

	// DPoP asks for tokens that are bound to a key (RFC 9449): the DPoPKey of the
	// credentials, or one that is generated when it is first needed. A token
	// keeps the key it was made with.
	DPoP bool

	// Scopes are the scopes to ask for. Default: none, and what the provider
	// gives then.
	Scopes []string

	// Timeout bounds one attempt, discovery included. Default, also in the place of
	// a negative one: DefaultTimeout. With a Store, discovery and the token request
	// have that time each, and what is spent with the store comes on top: 2 seconds
	// at most, or 3 if it refuses a lock that is held, and 30 for another process's request.
	// While there is no usable token, an attempt after one that ended so is given up
	// earlier, at random, after half of that time at the soonest.
	Timeout time.Duration

	// RefreshBefore is how long before it stops being sent (Token.ExpiresAt) a
	// token is renewed; not before half of its life has passed. Default, also in
	// the place of a negative one: when 70 to 80 % of its life have passed.
	RefreshBefore time.Duration
}

// A Source holds the token of one client for one set of scopes:
//
//   - while it is fresh, everyone gets it from memory;
//   - when most of its life is over, it is renewed in the background, as long
//     as it is in use, and everyone gets the old one meanwhile;
//   - when there is none, everyone waits for the same fetch, each no longer than
//     its own context allows;
//   - after a failure with nothing usable, everyone gets the error at once until
//     the next attempt is due.
//
// It is safe for concurrent use. Close ends it. It is made by NewSource: the zero
// Source has an error in the place of every token.
type Source struct {
	users   users
	current atomic.Pointer[Token] // the one in use
	requester

	mu         sync.Mutex
	before     *Token // the one before current, if current may be refused for being new
	newer      *Token // the one after current, if that was refused
	excused    bool   // newer was young then
	flight     *flight
	failure    *Error
	failures   int
	steps      int         // of the back-off
	refused    Credentials // those that failure is about, if it is a refusal
	accepted   Credentials // those that the last token was obtained with
	checked    instant     // when they were last compared with the present ones
	renewed    instant     // when a rejected token was last renewed
	attempted  instant     // when the last attempt started
	heldUntil  instant     // until when the provider wants to be left alone
	looked     instant     // when another process's was last looked for instead
	timer      *time.Timer // renews in the background
	closed     bool
	cancel     context.CancelFunc // ends the flight
	background sync.WaitGroup     // the flight, and telling the observer of it
	observing  sync.Mutex         // one event after the other
	waiting    atomic.Int64       // callers that wait for the flight
	last       identity           // of the last attempt that read them
	writing    sync.WaitGroup     // tokens for other processes
	operations operations         // of the store
	readings   chan struct{}      // of the credentials; full if too many are under way
}

// flight is one attempt in the making, which any number of callers wait for.
type flight struct {
	done  chan struct{} // closed when token and err are set
	look  bool          // for what another process has obtained, and no further
	limit time.Duration // that it may take
	hurry chan struct{} // closed when a caller waits for it
	token *Token        // nil without an error if such a look finds nothing
	err   *Error
}

// hurryUp says that a caller waits for the flight. It is called with the lock held.
func (f *flight) hurryUp() {
	select {
	case <-f.hurry:
	default:
		close(f.hurry)
	}
}

// Why a Source makes no attempt.
var (
	errNotMade  = errors.New("the token source was not made by NewSource")
	errClosed   = errors.New("the token source is closed")
	errDetached = errors.New("nobody is using the token source: nothing is attached to it")
)

// NewSource returns a Source. It does nothing until it is asked for a token, and
// needs a Runtime to do something then: see Attach.
func NewSource(config Config) (*Source, error) {
	if config.Provider == nil || config.Credentials == nil {
		return nil, errors.New("a token source needs a provider and credentials")
	}
	if config.Provider.issuer == "" {
		return nil, errNoIssuer
	}
	if config.AuthMethod != "" && !slices.Contains(AuthMethods(), config.AuthMethod) {
		return nil, fmt.Errorf("unknown client authentication method '%s': must be one of %v", config.AuthMethod, AuthMethods())
	}
	for _, scope := range config.Scopes {
		if err := CheckScope(scope); err != nil {
			return nil, err
		}
	}
	if err := CheckAudience(config.Audience); err != nil {
		return nil, fmt.Errorf("audience %q %w", config.Audience, err)
	}
	if config.Audience == "" {
		config.Audience = config.Provider.Issuer()
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	s := &Source{
		requester: requester{config: config}, operations: newOperations(),
		readings: make(chan struct{}, credentialReadings),
	}
	s.identified = s.remember
	return s, nil
}

// Attach makes r the runtime that the Source uses, until detach is called or
// another one is attached. Without one, no request is made, and each that would
// be needed is an error.
func (s *Source) Attach(r Runtime) (detach func()) {
	if r.Client == nil {
		r.Client = http.DefaultClient
	}
	return s.users.attach(&user{r, s.supplier(r)})
}

// Token returns a token that can be used now. If there is none, it waits for
// one, as long as ctx allows. The error is an *Error, or that of ctx.
func (s *Source) Token(ctx context.Context) (*Token, error) {
	token, state := s.cached(0)
	if state != StateNone {
		return token, nil
	}
	return s.wait(ctx, token)
}

// TokenFor is Token, for a call that takes long: the token has at least life
// left, or half of its whole life if that is shorter, unless none such can be
// had while the present one can still be used.
func (s *Source) TokenFor(ctx context.Context, life time.Duration) (*Token, error) {
	token, state := s.cached(life)
	if state != StateNone {
		return token, nil
	}
	return s.instead(ctx, token)
}

// cached returns the token from memory, StateFresh or StateStale. If there is
// none that has at least life left, or half of its whole life, the state is
// StateNone: then it is one that lasts shorter, or nil. A stale one is being
// renewed in the background.
func (s *Source) cached(life time.Duration) (*Token, State) {
	token, now := s.current.Load(), readClocks()
	state := StateFresh
	if !token.fresh(now) {
		if token, state = s.due(now); state == StateNone {
			return nil, StateNone
		}
	}
	token.markUsed()
	if life > 0 && now.until(token.expiresAt) < min(life, token.obtained.until(token.expiresAt)/2) {
		state = StateNone
	}
	return token, state
}

// due is cached for when the token in use is due to be renewed, or has expired.
func (s *Source) due(now instant) (*Token, State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := s.inUseLocked(now)
	switch {
	case !token.usable(now):
		return nil, StateNone
	case s.newer != nil || token.fresh(now):
		return token, StateFresh // the newer one is there already
	case now.reached(s.retryAtLocked()):
		s.fetchLocked()
	}
	return token, StateStale
}

// instead waits for a token that takes the place of short, which lasts too
// short, or of none. If it cannot be had, short is better than nothing.
func (s *Source) instead(ctx context.Context, short *Token) (*Token, error) {
	token, err := s.wait(ctx, short)
	if err != nil && ctx.Err() == nil && short.usable(readClocks()) {
		return short, nil
	}
	return token, err
}

// Warm starts to fetch a token in the background if there is none.
func (s *Source) Warm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := readClocks(); !s.inUseLocked(now).usable(now) && now.reached(s.retryAtLocked()) {
		s.fetchLocked()
	}
}

// closeWait is how long Close waits until a token is written for other processes.
const closeWait = time.Second

// Close ends what the Source does in the background, and waits for its end. It waits no
// longer than a second for a store to take a token and to give a lock back. A store that
// is slower is used until it has.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.background.Wait()
	written := make(chan struct{})
	go func() { // it ends when the store lets it, or its time is over
		s.writing.Wait()
		close(written)
	}()
	timeout := time.NewTimer(closeWait)
	defer timeout.Stop()
	select {
	case <-written:
	case <-timeout.C:
	}
}

// wait waits for the fetch in flight, or a new one, for whoever has use for
// another token than found.
func (s *Source) wait(ctx context.Context, found *Token) (*Token, error) {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		token, flight, failure := s.join(ctx, found)
		if failure != nil {
			return nil, failure
		}
		if flight != nil {
			select {
			case <-flight.done:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if flight.err != nil {
				return nil, flight.err
			}
			token = flight.token
		}
		if token != nil { // else the flight was not for this call
			token.markUsed()
			return token, nil
		}
	}
}

// join returns the flight to wait for, which it starts if there is none; or the
// token that came since found was found; or why there will be none now.
func (s *Source) join(ctx context.Context, found *Token) (*Token, *flight, *Error) {
	seen, held := s.heldBack(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := readClocks()
	if token := s.inUseLocked(now); token.usable(now) && (token != found || s.newer != nil) {
		return token, nil, nil // while a newer one is held, none that lasts longer can be had
	}
	if s.flight == nil {
		// Another attempt may have failed meanwhile, too.
		if !now.reached(s.retryAtLocked()) && (held || s.failure != seen) {
			return nil, nil, s.failure
		}
		s.fetchLocked()
	}
	if s.flight == nil {
		return nil, nil, s.idleLocked()
	}
	s.flight.hurryUp()
	return nil, s.flight, nil
}

// holdsBack reports whether no attempt is being made, and none may be made now,
// because of the last failure.
func (s *Source) holdsBack() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight == nil && !readClocks().reached(s.retryAtLocked())
}

// heldBack returns the last failure, if any, and whether no attempt may be made
// because of it. If that was a refusal, it looks now and then whether the
// credentials that were refused are still the present ones; if not, there is no
// reason to hold back.
func (s *Source) heldBack(ctx context.Context) (failure *Error, held bool) {
	s.mu.Lock()
	now, refused := readClocks(), s.refused
	failure, held = s.failure, s.flight == nil && !now.reached(s.retryAtLocked())
	check := held && failure.Cause == CauseRefused && now.since(s.checked) >= credentialCheck
	if check {
		s.checked = now
	}
	s.mu.Unlock()
	if !check {
		return failure, held
	}
	// Reads files, so not under the lock, nor for long: this caller is to fail at
	// once.
	ctx, cancel := context.WithTimeout(ctx, credentialWait)
	defer cancel()
	present, err := s.credentials(ctx)
	return failure, err != nil || present.equal(refused)
}

// errSlow is the error of credentials that do not come in time.
var errSlow = errors.New("reading them takes too long")

// credentials returns the present credentials, waiting for them as long as ctx
// allows: they may be in a file that somebody else is slow to provide.
func (s *Source) credentials(ctx context.Context) (Credentials, error) {
	select {
	case s.readings <- struct{}{}:
	case <-ctx.Done():
		return Credentials{}, errSlow
	}
	type result struct {
		credentials Credentials
		err         error
	}
	results := make(chan result, 1)
	done := sync.OnceFunc(func() { <-s.readings })
	lost := time.AfterFunc(readingLost, done)
	go func() {
		r := result{err: errors.New("reading them panicked")}
		defer func() {
			_ = recover() // the value may hold anything, a credential for one
			lost.Stop()
			done()
			results <- r
		}()
		r.credentials, r.err = s.config.Credentials()
	}()
	select {
	case r := <-results:
		return r.credentials, r.err
	case <-ctx.Done():
		return Credentials{}, errSlow
	}
}

// retryAtLocked returns before when no attempt may be made.
func (s *Source) retryAtLocked() instant {
	if s.failure == nil {
		return instant{}
	}
	return s.failure.retryAt
}
