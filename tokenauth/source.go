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

// DefaultTimeout is the time limit of one attempt to obtain a token, discovery
// included.
const DefaultTimeout = 10 * time.Second

// credentialCheck is the least time between two checks whether the refused credentials
// have been replaced, while a Source backs off.
const credentialCheck = time.Second

// maxCredentialReads is how many readings of the credentials can run at once: one for
// an attempt, and one for that check.
const maxCredentialReads = 2

// credentialWait is how long a caller waits for that check. If the check finds the same
// credentials, the caller gets an error anyway.
const credentialWait = time.Second

// A Config says which tokens a Source obtains, and how.
type Config struct {
	// Issuer is the issuer identifier of the provider that issues the tokens, as for
	// NewProvider. Required, unless there is a Provider.
	Issuer string

	// Provider issues the tokens. Several Sources can share it, so that they read its
	// configuration once. Default: NewProvider(Issuer).
	Provider *Provider

	// Credentials returns the client's credentials: ClientSecret and PrivateKey make
	// functions for credentials that do not change. It is called for every attempt, so
	// that new credentials need no restart. If it blocks, the attempt fails when its
	// time is over. Its error becomes part of an Error and must not hold a secret.
	// Required.
	Credentials func() (Credentials, error)

	// AuthMethod is the client authentication method. Default: the first of
	// AuthMethods that the provider lists.
	AuthMethod AuthMethod

	// Audience is the audience of client assertions, see CheckAudience. Default:
	// the issuer identifier.
	Audience string

	// DPoP asks for tokens that are bound to a key (RFC 9449): the DPoPKey of the
	// credentials, or else a key that the Source generates when it first needs it. A
	// token keeps the key that it was requested with.
	DPoP bool

	// Scopes are the scopes to ask for. Default: none; then the provider decides which
	// scopes the token has.
	Scopes []string

	// Timeout limits one attempt, discovery included. If it is zero or negative, it is
	// DefaultTimeout. With a Store, discovery and the token request have that time
	// each, and the time spent with the store is added: at most 2 seconds, or 3 if the
	// store refuses a lock that is held, or 30 while another process asks for a token.
	// If an attempt has timed out and there is no usable token, the next attempt is
	// given up earlier: at a random time in the second half of Timeout.
	Timeout time.Duration

	// RefreshBefore is how long before Token.ExpiresAt a token is renewed, but not
	// before half of its lifetime has passed. If it is zero or negative, the token is
	// renewed when 70 to 80 % of its lifetime have passed.
	RefreshBefore time.Duration
}

// A Source holds the token of one client for one set of scopes:
//
//   - While the token is fresh, every caller gets it from memory.
//   - When most of its lifetime is over, the Source renews it in the background, if it
//     has been used. Meanwhile every caller gets the old token.
//   - If there is no token, all callers wait for the same fetch, each as long as its
//     own context allows.
//   - After a failure without a usable token, every caller gets the error at once,
//     until the next attempt is due.
//
// It is safe for concurrent use. Close ends it. NewSource makes a Source. The zero
// Source returns an error instead of a token.
type Source struct {
	users   users
	current atomic.Pointer[Token] // the token in use
	requester

	mu             sync.Mutex
	previous       *Token // the token before current, if current may be refused for being new
	newest         *Token // the newest token, if current is older because an API refused it
	newestWasYoung bool   // newest was young when it was refused
	closed         bool

	inflight        *inflight
	cancel          context.CancelFunc // ends inflight
	timer           *time.Timer        // renews in the background
	lastAttempt     instant            // when the last attempt started
	lastIdentity    identity           // of the last attempt that read its credentials
	lastRenewal     instant            // when a rejected token was last renewed
	lastStoreLook   instant            // when a token of another process was last looked for instead
	retryAfterUntil instant            // until when the provider asks for no request (Retry-After)

	failure             *Error // why the last attempt failed, nil if it succeeded
	failures            int    // failed attempts since the last success
	backoffSteps        int
	refusedCredentials  Credentials // of the attempt that ended with failure
	acceptedCredentials Credentials // the last token was obtained with them
	lastCredentialCheck instant     // when refusedCredentials were last compared with the present ones

	waiting         atomic.Int64   // callers that wait for inflight
	background      sync.WaitGroup // inflight, with the call of the observer
	notifying       sync.Mutex     // held during the call of the observer
	operations      operations     // of the store
	storeWrites     sync.WaitGroup // of tokens for other processes
	credentialReads places         // of readings of the credentials
}

// inflight is one attempt that is under way. Any number of callers wait for it.
type inflight struct {
	done    chan struct{} // closed when token and err are set
	look    bool          // only look for a token that another process has obtained
	limit   time.Duration // how long it may take
	awaited chan struct{} // closed when a caller waits for it
	token   *Token        // nil if a look finds nothing, which is not an error
	err     *Error
}

// markAwaited notes that a caller waits for the attempt. It is called with the lock held.
func (f *inflight) markAwaited() {
	select {
	case <-f.awaited:
	default:
		close(f.awaited)
	}
}

// Why a Source makes no attempt.
var (
	errNotMade  = errors.New("the token source was not made by NewSource")
	errClosed   = errors.New("the token source is closed")
	errDetached = errors.New("no runtime is attached to the token source any more")
)

// complete returns the configuration with a Provider and all defaults. The error says what
// is wrong with c.
func (c Config) complete() (Config, error) {
	switch {
	case c.Issuer == "" && c.Provider == nil:
		return c, errors.New("a token source needs an issuer or a provider")
	case c.Issuer != "" && c.Provider != nil:
		return c, errors.New("a token source has an issuer or a provider, and not both")
	case c.Credentials == nil:
		return c, errors.New("a token source needs credentials")
	case c.Provider == nil:
		provider, err := NewProvider(c.Issuer)
		if err != nil {
			return c, err
		}
		c.Issuer, c.Provider = "", provider
	case c.Provider.issuer == "":
		return c, errNoIssuer
	}
	if c.AuthMethod != "" && !slices.Contains(AuthMethods(), c.AuthMethod) {
		return c, fmt.Errorf("unknown client authentication method '%s': must be one of %v", c.AuthMethod, AuthMethods())
	}
	for _, scope := range c.Scopes {
		if err := CheckScope(scope); err != nil {
			return c, err
		}
	}
	if err := CheckAudience(c.Audience); err != nil {
		return c, fmt.Errorf("audience %q %w", c.Audience, err)
	}
	if c.Audience == "" {
		c.Audience = c.Provider.Issuer()
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	return c, nil
}

// NewSource returns a Source. The Source makes no request until it is asked for a
// token. It sends its requests with http.DefaultClient, unless a Runtime is attached. The
// error says what is wrong with config.
func NewSource(config Config) (*Source, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	s := &Source{
		requester: requester{config: config}, operations: newOperations(),
		credentialReads: make(places, maxCredentialReads),
	}
	s.identified = s.remember
	s.users.initial = s.newUser(Runtime{})
	return s, nil
}

// Attach makes r the runtime that the Source uses, until detach is called or another
// runtime is attached. If the last runtime is detached, the Source does not return to
// http.DefaultClient: it makes no requests, and a call that needs one returns an error.
func (s *Source) Attach(r Runtime) (detach func()) { return s.users.attach(s.newUser(r)) }

// newUser returns a user with the runtime r.
func (s *Source) newUser(r Runtime) *user {
	if r.Client == nil {
		r.Client = http.DefaultClient
	}
	return &user{r, s.supplier(r)}
}

// Token returns a token that can be used now. If there is none, it waits for
// one, as long as ctx allows. The error is an *Error, or the error of ctx.
func (s *Source) Token(ctx context.Context) (*Token, error) {
	token, state := s.Cached(0)
	if state != StateNone {
		return token, nil
	}
	return s.wait(ctx, token)
}

// TokenFor returns a token that is valid for at least life, or for half its lifetime
// if that is shorter. If no such token can be obtained, it returns the current one
// while that is valid. It is for calls that take long. Errors are those of Token.
func (s *Source) TokenFor(ctx context.Context, life time.Duration) (*Token, error) {
	token, state := s.Cached(life)
	if state != StateNone {
		return token, nil
	}
	return s.Next(ctx, token)
}

// Cached returns the token from memory with StateFresh or StateStale, if it is valid
// for at least life, or for half its lifetime if that is shorter. Otherwise the state
// is StateNone, and the token is one that expires earlier, or nil. If the token is
// stale, Cached starts its renewal in the background, unless an attempt is held back.
func (s *Source) Cached(life time.Duration) (*Token, State) {
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

// due is the part of Cached for a token that is due to be renewed, or has expired.
func (s *Source) due(now instant) (*Token, State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := s.inUseLocked(now)
	switch {
	case !token.usable(now):
		return nil, StateNone
	case s.newest != nil || token.fresh(now):
		return token, StateFresh // there is a newer token already
	case now.reached(s.retryAtLocked()):
		s.fetchLocked()
	}
	return token, StateStale
}

// Next waits for a token that replaces short, which expires too soon or is nil. If the
// fetch fails, it returns short while that can be used. Errors are those of Token.
func (s *Source) Next(ctx context.Context, short *Token) (*Token, error) {
	token, err := s.wait(ctx, short)
	if err != nil && ctx.Err() == nil && short.usable(readClocks()) {
		return short, nil
	}
	return token, err
}

// Warm starts to fetch a token in the background, if there is no usable one and no
// attempt is held back. It does not wait.
func (s *Source) Warm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := readClocks(); !s.inUseLocked(now).usable(now) && now.reached(s.retryAtLocked()) {
		s.fetchLocked()
	}
}

// closeWait is how long Close waits for a token to be written for other processes.
const closeWait = time.Second

// Close ends the work of the Source in the background, and waits for its end. It waits
// at most one second for a store to take a token and to give a lock back. If the store
// is slower, that work goes on after Close has returned.
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
	go func() { // ends when the store's operations end, or their time limit has passed
		s.storeWrites.Wait()
		close(written)
	}()
	timeout := time.NewTimer(closeWait)
	defer timeout.Stop()
	select {
	case <-written:
	case <-timeout.C:
	}
}

// wait waits for the attempt in flight, or a new one, and returns its token. The caller
// needs another token than found.
func (s *Source) wait(ctx context.Context, found *Token) (*Token, error) {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		token, attempt, failure := s.join(ctx, found)
		if failure != nil {
			return nil, failure
		}
		if attempt != nil {
			select {
			case <-attempt.done:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if attempt.err != nil {
				return nil, attempt.err
			}
			token = attempt.token
		}
		if token != nil { // else the attempt was only a look, which found nothing
			token.markUsed()
			return token, nil
		}
	}
}

// join returns one of three things: a token that came since the caller got found; the
// attempt to wait for, which join starts if there is none; or the reason why there will
// be no token now.
func (s *Source) join(ctx context.Context, found *Token) (*Token, *inflight, *Error) {
	seen, held := s.heldBack(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := readClocks()
	if token := s.inUseLocked(now); token.usable(now) && (token != found || s.newest != nil) {
		return token, nil, nil // while a refused newer token is kept, no other one is fetched
	}
	if s.inflight == nil {
		// Another attempt may have failed meanwhile, too.
		if !now.reached(s.retryAtLocked()) && (held || s.failure != seen) {
			return nil, nil, s.failure
		}
		s.fetchLocked()
	}
	if s.inflight == nil {
		return nil, nil, s.idleLocked()
	}
	s.inflight.markAwaited()
	return nil, s.inflight, nil
}

// BackingOff reports whether no attempt is being made, and none may be made now, because
// of the last failure.
func (s *Source) BackingOff() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inflight == nil && !readClocks().reached(s.retryAtLocked())
}

// heldBack returns the last failure, if any, and whether no attempt may be made
// because of it. After a refusal, it checks now and then whether the credentials have
// been replaced. If they have, an attempt may be made.
func (s *Source) heldBack(ctx context.Context) (failure *Error, held bool) {
	s.mu.Lock()
	now, refused := readClocks(), s.refusedCredentials
	failure, held = s.failure, s.inflight == nil && !now.reached(s.retryAtLocked())
	check := held && failure.Cause == CauseRefused && now.since(s.lastCredentialCheck) >= credentialCheck
	if check {
		s.lastCredentialCheck = now
	}
	s.mu.Unlock()
	if !check {
		return failure, held
	}
	// This may read files. So the lock is not held, and the time is short: the caller
	// must not wait long for its error.
	ctx, cancel := context.WithTimeout(ctx, credentialWait)
	defer cancel()
	present, err := s.credentials(ctx)
	return failure, err != nil || present.equal(refused)
}

// errSlow is the error if the credentials cannot be read in time.
var errSlow = errors.New("reading them takes too long")

// credentials returns the present credentials. It waits for them as long as ctx
// allows: they may be in a file on a slow or broken file system.
func (s *Source) credentials(ctx context.Context) (Credentials, error) {
	select {
	case s.credentialReads <- struct{}{}:
	case <-ctx.Done():
		return Credentials{}, errSlow
	}
	var present Credentials
	read := s.credentialReads.start("reading them", func() (err error) {
		present, err = s.config.Credentials()
		return err
	})
	select {
	case err := <-read:
		return present, err
	case <-ctx.Done():
		return Credentials{}, errSlow // the reading may still write to present
	}
}

// retryAtLocked returns before when no attempt may be made.
func (s *Source) retryAtLocked() instant {
	if s.failure == nil {
		return instant{}
	}
	return s.failure.retryAt
}
