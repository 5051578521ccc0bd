package tokenauth

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	// lockWait is how long to wait for another process to obtain a token. It is
	// longer than a storage takes to notice that the holder of a lock has died.
	lockWait = 20 * time.Second

	// lockWaitJitter is by how much that is prolonged at random, so that those who
	// started together do not give up together.
	lockWaitJitter = 10 * time.Second

	// While waiting, the store is read again after firstLook, and then after
	// twice as long each time, up to lastLook.
	firstLook = 50 * time.Millisecond
	lastLook  = time.Second

	// skewMargin is how much earlier a token of another process stops being sent
	// if this machine's clock was not compared with the provider's yet; a fifth
	// of its life if that is shorter.
	skewMargin = time.Minute
)

// sharing is the part of one attempt to obtain a token that concerns other
// processes. Nothing of it fails the attempt: what the store does not give is
// asked from the provider.
type sharing struct {
	source      *Source
	store       Store
	credentials Credentials
	token       *seal // of the token
	document    *seal // of the discovery document
	err         error // the first error of the store
	broken      bool  // the store cannot be read
	look        bool  // the provider is not to be asked
	limit       time.Duration
}

// sharedToken is a token in a store.
type sharedToken struct {
	AccessToken string        `json:"access_token"`
	IssuedAt    time.Time     `json:"issued_at"` // by the provider's clock
	Lifetime    time.Duration `json:"lifetime"`
	Scopes      []string      `json:"scopes"` // granted; null if the provider did not say
}

// share takes a token that another process has obtained, or asks the provider
// for one and leaves it for the others; with look, it returns nil rather than
// ask. The time of limited is for discovery; the token request has as much again,
// since a turn may be long in coming, and what is spent with the store comes on
// top.
func (s *Source) share(ctx, limited context.Context, sh *sharing, client *http.Client, event *Event) (*Token, error) {
	defer func() { event.StoreErr = sh.err }()
	metadata, err := s.config.Provider.Metadata(limited, client)
	if err != nil {
		metadata = sh.metadata(ctx)
	}
	event.Metadata, event.Shared = metadata, true
	if token := sh.take(ctx, metadata); token != nil {
		return token, nil
	}
	if sh.look {
		return nil, nil
	}
	if metadata == nil {
		event.Shared = false
		return nil, err
	}
	if !sh.broken {
		end, token := sh.turn(ctx, metadata)
		if token != nil {
			return token, nil
		}
		defer end()
	}
	event.Shared = false
	limited, cancel := context.WithTimeout(ctx, sh.limit)
	defer cancel()
	token, err := s.ask(limited, client, metadata, sh.credentials, event)
	if err == nil {
		sh.put(ctx, token)
	}
	return token, err
}

// newSharing returns nil if the source's tokens are not shared: without a store,
// or if they are bound to a key that no other process has.
func (s *Source) newSharing(store Store, c Credentials) *sharing {
	if store == nil || (s.config.DPoP && c.DPoPKey == nil) {
		return nil
	}
	purpose := struct {
		What, Issuer, ClientID, Audience, Thumbprint string
		Scopes                                       []string
	}{What: "discovery", Issuer: s.config.Provider.Issuer(), ClientID: c.ClientID}
	document, err := newSeal(c, purpose)
	if err != nil {
		return nil // the request will say the same
	}
	purpose.What, purpose.Audience, purpose.Scopes = "token", s.config.Audience, s.config.Scopes
	if s.config.DPoP {
		purpose.Thumbprint = c.DPoPKey.thumbprint
	}
	token, err := newSeal(c, purpose)
	if err != nil {
		return nil
	}
	return &sharing{source: s, store: store, credentials: c, token: token, document: document}
}

// failed remembers an error of the store.
func (sh *sharing) failed(err error) {
	if sh.err == nil && !errors.Is(err, fs.ErrNotExist) {
		sh.err = err
	}
}

// load reads an entry, nil if there is none that can be used.
func (sh *sharing) load(ctx context.Context, entry *seal) []byte {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var value []byte
	err := sh.source.use(ctx, func(ctx context.Context) (err error) {
		value, err = entry.load(ctx, sh.store)
		return err
	})
	if err != nil {
		sh.failed(err)
		sh.broken = sh.broken || (!errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errSealed))
		return nil // value may still be written to
	}
	return value
}

// save writes an entry, and reports whether it did.
func (sh *sharing) save(ctx context.Context, entry *seal, value []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := sh.source.use(ctx, func(ctx context.Context) error { return entry.save(ctx, sh.store, value) })
	sh.failed(err)
	return err == nil
}

// metadata returns the configuration of the provider that another process has
// read, nil if there is none.
func (sh *sharing) metadata(ctx context.Context) *Metadata {
	document := sh.load(ctx, sh.document)
	if document == nil {
		return nil
	}
	metadata, err := sh.source.config.Provider.adopt(document)
	if err != nil {
		return nil
	}
	return metadata
}

// take returns the token that another process has obtained, nil if there is none
// that is better than the present one.
func (sh *sharing) take(ctx context.Context, metadata *Metadata) *Token {
	var shared sharedToken
	value := sh.load(ctx, sh.token)
	if value == nil || json.Unmarshal(value, &shared) != nil {
		return nil
	}
	token := sh.read(shared, metadata)
	sh.source.mu.Lock()
	defer sh.source.mu.Unlock()
	latest, now := sh.source.latestLocked(), readClocks()
	switch {
	case token == nil || !token.usable(now):
		return nil
	case sh.source.knownLocked(token):
		return nil // to be replaced, since it is stale or was rejected
	case latest != nil && latest.rejected.Load() && token.issued.wall.Before(latest.issued.wall):
		return nil // the store has missed the one that was rejected
	case latest.usable(now) && !latest.rejected.Load() && now.until(token.expiresAt) <= now.until(latest.expiresAt):
		return nil
	}
	return token
}

// read makes a Token of what another process has stored, nil if it cannot be
// used. Its times are put right for this machine's clock.
func (sh *sharing) read(shared sharedToken, metadata *Metadata) *Token {
	provider, now := sh.source.config.Provider, readClocks()
	var prover *prover
	if sh.source.config.DPoP {
		var algorithms []string
		if metadata != nil {
			algorithms = metadata.DPoPAlgorithms
		}
		var err error
		if prover, err = newProver(sh.credentials.DPoPKey, algorithms); err != nil {
			return nil
		}
	}
	age := now.wall.Sub(shared.IssuedAt.Add(-provider.Clock().correction()))
	margin := time.Duration(0)
	if !provider.Clock().Correctable() {
		margin = min(skewMargin, shared.Lifetime/5)
	}
	if age < -margin-min(maxLeeway, shared.Lifetime/10) {
		return nil // the clocks differ by more than the margins, and it may be of any age
	}
	// Counted back from now by both clocks, so that it expires in time if this
	// machine's is put right meanwhile.
	sent := now.plus(-max(age, 0))
	res := &tokenResponse{accessToken: NewSecret(shared.AccessToken), lifetime: shared.Lifetime, scopes: shared.Scopes}
	token := newToken(res, prover, sent, sent, sh.source.config.RefreshBefore)
	token.expiresAt, token.endsAt = token.expiresAt.plus(-margin), token.endsAt.plus(-margin)
	if token.refreshAt.wall.After(token.expiresAt.wall) {
		token.refreshAt = token.expiresAt
	}
	return token
}

// put leaves a token for the other processes, and the document with which it was
// obtained. It does not if this machine's clock is known to be wrong, and is not
// corrected: the others would take the token for younger or older than it is.
func (sh *sharing) put(ctx context.Context, token *Token) {
	provider := sh.source.config.Provider
	clock := provider.Clock()
	if token.once || sh.broken || (clock.Known && !clock.Correctable()) {
		return
	}
	value, err := json.Marshal(sharedToken{
		AccessToken: token.secret.Reveal(), IssuedAt: token.issued.wall.Add(clock.correction()),
		Lifetime: token.lifetime, Scopes: token.scopes,
	})
	if err != nil {
		sh.failed(err)
		return
	}
	if d := provider.current.Load(); sh.save(ctx, sh.token, value) && d != nil {
		sh.save(ctx, sh.document, d.document)
	}
}

// turn waits until it is this process's turn to ask the provider, and returns
// what ends the turn; or the token that another process has obtained meanwhile.
// If the store does not let it have a turn, it asks all the same.
func (sh *sharing) turn(ctx context.Context, metadata *Metadata) (end func(), token *Token) {
	waiting, cancel := context.WithTimeout(ctx, lockWait+rand.N(lockWaitJitter)) //nolint:gosec // jitter
	locked, over := make(chan struct{}), make(chan struct{})
	// One operation until the lock is given back: an operation of its own may not
	// be had, and this process would hold the lock for as long as it lives.
	ended := sh.source.begin(waiting, func(ctx context.Context) error {
		if err := sh.store.Lock(ctx, sh.token.name); err != nil {
			return err
		}
		close(locked)
		<-over
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		return sh.store.Unlock(ctx, sh.token.name)
	})
	// If the lock comes all the same, it goes back at once.
	forgo := func() {
		cancel()
		close(over)
	}
	look := time.NewTimer(firstLook)
	defer look.Stop()
	for wait := firstLook; ; {
		select {
		case <-locked:
			end = func() {
				defer cancel()
				close(over)
				sh.await(ended)
			}
			if token = sh.take(ctx, metadata); token != nil {
				end()
			}
			return end, token
		case err := <-ended: // without the lock
			cancel()
			sh.failed(err)
			return func() {}, sh.take(ctx, metadata)
		case <-look.C:
			token = sh.take(ctx, metadata)
			if token != nil || sh.broken {
				forgo()
				return func() {}, token
			}
			wait = min(2*wait, lastLook)
			look.Reset(wait)
		case <-waiting.Done():
			forgo()
			sh.failed(errStoreSilent)
			return func() {}, sh.take(ctx, metadata)
		}
	}
}

// await waits for the end of an operation that cannot be waited for long.
func (sh *sharing) await(ended <-chan error) {
	timeout := time.NewTimer(storeTimeout)
	defer timeout.Stop()
	select {
	case err := <-ended:
		sh.failed(err)
	case <-timeout.C:
		sh.failed(errStoreSilent)
	}
}
