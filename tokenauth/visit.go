package tokenauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"time"
)

const (
	// storeBudget is how long all operations of a store together may take before the
	// provider is asked for a token, counted while a caller waits. A stored token saves
	// only one request, so it is not worth a long wait. calmBudget is the same limit
	// while no caller waits.
	storeBudget = 2 * time.Second
	calmBudget  = 10 * time.Second

	// worksFor is how long a store counts as working after it has returned a value.
	worksFor = 5 * time.Second

	// skewMargin is how much earlier a token of another process is no longer sent, if
	// this machine's clock has not been compared with the provider's yet. It is a fifth
	// of the token's lifetime if that is shorter.
	skewMargin = time.Minute
)

// probeValue is the value of the probe entry.
var probeValue = []byte("probe")

// sharedToken is the value of a token's entry in a store, before it is sealed.
type sharedToken struct {
	AccessToken string        `json:"access_token"`
	IssuedAt    time.Time     `json:"issued_at"` // by the provider's clock
	Lifetime    time.Duration `json:"lifetime"`
	Scopes      []string      `json:"scopes"` // granted; null if the provider did not say
}

// A visit is the use of a store by one attempt to obtain a token, before the provider is
// asked.
type visit struct {
	shared        *shared
	need          need
	number        int // of the visit
	entries       *entries
	budget        time.Duration // time for the store's operations
	spent         time.Duration // used part of the budget
	urgentSince   time.Time     // when the visit first saw a waiting caller; zero if it has not
	lastValue     []byte        // of the token entry
	lastValueAt   time.Time     // when the store last returned a value
	lastReadError error         // of the last reading, if the entry or the store may be missing
	failures      []*StoreError // at most one of each kind
}

// visit begins a visit for n. It returns nil if the tokens are not shared.
func (s *shared) visit(n need) *visit {
	entries, err := newEntries(s.direct.config, n.credentials)
	if err != nil || entries == nil {
		return nil // the token request fails with the same error, if there is one
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visits++
	return &visit{shared: s, need: n, number: s.visits, entries: entries, budget: calmBudget}
}

// urgent reports whether a caller waits. From that time on, the store has at most
// storeBudget left.
func (v *visit) urgent() bool {
	if !v.urgentSince.IsZero() {
		return true
	}
	select {
	case <-v.need.awaited:
		v.urgentSince, v.budget = time.Now(), min(v.budget, v.spent+storeBudget)
		return true
	default:
		return false
	}
}

// run runs an operation of the store within the budget.
func (v *visit) run(ctx context.Context, operation func(context.Context) error) error {
	awaited := v.need.awaited
	if v.urgent() {
		awaited = nil // already known
	}
	if v.spent >= v.budget {
		return errSilent
	}
	start := time.Now()
	defer func() { v.spent += time.Since(start) }()
	timeout := time.NewTimer(v.budget - v.spent)
	defer timeout.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := v.shared.operations.begin(ctx, operation)
	for {
		select {
		case err := <-result:
			return err
		case <-awaited:
			awaited = nil
			v.spent += time.Since(start)
			start = time.Now()
			v.urgent()
			timeout.Reset(v.budget - v.spent)
		case <-timeout.C:
			return errSilent
		case <-ctx.Done():
			return errSilent
		}
	}
}

// fail notes a failure. It tells the observer about each kind once.
func (v *visit) fail(ctx context.Context, failure *StoreError) {
	if ctx.Err() != nil || v.has(failure.Kind) {
		return // if the context is over, Close has ended the attempt
	}
	v.failures = append(v.failures, failure)
	v.shared.notify(failure)
}

// has reports whether there was a failure of the given kind.
func (v *visit) has(kind StoreFailure) bool {
	return slices.ContainsFunc(v.failures, func(f *StoreError) bool { return f.Kind == kind })
}

// obstacle returns the failure that makes this process obtain a token that it cannot share.
// It returns nil if the store is not the reason.
func (v *visit) obstacle() *StoreError {
	for _, f := range v.failures {
		switch f.Kind {
		case StoreUnreachable, StoreSlow, StoreLocked:
			return f
		case StoreChanged, StoreLost, StoreTooLarge: // a new entry will replace it
		}
	}
	return nil
}

// exhausted reports whether the visit must not use the store any more.
func (v *visit) exhausted() bool {
	v.urgent()
	return v.spent >= v.budget || v.has(StoreSlow)
}

// load returns the value of an entry, or nil if there is none that can be used.
func (v *visit) load(ctx context.Context, e *entry) []byte {
	var value []byte
	err := v.run(ctx, func(ctx context.Context) (err error) {
		value, err = e.load(ctx, v.shared.store)
		return err
	})
	v.lastReadError = nil
	switch {
	case err == nil:
		v.lastValueAt = time.Now()
		return value
	case errors.Is(err, fs.ErrNotExist): // some stores say so if they cannot be reached
	case errors.Is(err, errSealed), errors.Is(err, errSizeless), errors.Is(err, errTooLarge):
		v.lastValueAt = time.Now()
		v.fail(ctx, storeError(err))
	case errors.Is(err, errSilent):
		v.fail(ctx, storeError(err))
	default:
		v.lastReadError, v.lastValueAt = err, time.Time{}
	}
	return nil // the operation may still write to value
}

// probe reports whether the store works. If the store has not returned a value lately,
// probe writes an entry and reads it: an error of a reading, also that there is no such
// entry, does not tell whether the store can be reached.
func (v *visit) probe(ctx context.Context) bool {
	if time.Since(v.lastValueAt) < worksFor {
		return true
	}
	store, probe := v.shared.store, v.entries.probe
	err := v.run(ctx, func(ctx context.Context) error { return probe.save(ctx, store, probeValue) })
	if err == nil {
		if bytes.Equal(v.load(ctx, probe), probeValue) {
			return true
		}
		err = v.lastReadError
	}
	switch {
	case err != nil:
		v.fail(ctx, storeError(err))
	case v.failures == nil:
		v.fail(ctx, &StoreError{StoreLost, errLost})
	}
	return false
}

// metadata returns the provider's configuration that another process has read, or nil if
// there is none.
func (v *visit) metadata(ctx context.Context) *Metadata {
	document := v.load(ctx, v.entries.document)
	if document == nil {
		return nil
	}
	metadata, err := v.shared.direct.config.Provider.adopt(document)
	if err != nil {
		return nil
	}
	return metadata
}

// take returns a token that another process has obtained, or nil if there is none that is
// better than the present one.
func (v *visit) take(ctx context.Context, metadata *Metadata) *Token {
	value := v.load(ctx, v.entries.token)
	var shared sharedToken
	if value == nil || json.Unmarshal(value, &shared) != nil {
		return nil
	}
	v.lastValue = value
	token := v.read(shared, metadata)
	if token == nil || !v.need.better(token) {
		return nil
	}
	v.need.event.Shared = true
	v.noteOutcome(nil)
	return token
}

// read makes a Token from the entry of another process, with its times on this machine's
// clock. It returns nil if the token cannot be used.
func (v *visit) read(shared sharedToken, metadata *Metadata) *Token {
	config, now := v.shared.direct.config, readClocks()
	var prover *prover
	if config.DPoP {
		var algorithms []string
		if metadata != nil {
			algorithms = metadata.DPoPAlgorithms
		}
		var err error
		if prover, err = newProver(v.need.credentials.DPoPKey, algorithms); err != nil {
			return nil
		}
	}
	clock := config.Provider.Clock()
	age := now.wall.Sub(shared.IssuedAt.Add(-clock.correction()))
	margin := time.Duration(0)
	if !clock.Correctable() {
		margin = min(skewMargin, shared.Lifetime/5)
	}
	if age < -margin-min(maxLeeway, shared.Lifetime/10) {
		return nil // the clocks differ by more than the margins, so its age is not known
	}
	// This counts back from now on both clocks, so that the token expires in time even if
	// this machine's clock is corrected meanwhile.
	sent := now.plus(-max(age, 0))
	res := &tokenResponse{accessToken: NewSecret(shared.AccessToken), lifetime: shared.Lifetime, scopes: shared.Scopes}
	token := newToken(res, prover, sent, sent, config.RefreshBefore)
	token.expiresAt, token.endsAt = token.expiresAt.plus(-margin), token.endsAt.plus(-margin)
	if token.refreshAt.wall.After(token.expiresAt.wall) {
		token.refreshAt = token.expiresAt
	}
	return token
}
