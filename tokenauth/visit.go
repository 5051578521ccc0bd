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
	// storeBudget is how long the operations of a store may take in all before the
	// provider is asked for a token, from when a caller waits for it. What is stored
	// saves a request. It is not worth a long wait. calmBudget is the same while no
	// caller waits.
	storeBudget = 2 * time.Second
	calmBudget  = 10 * time.Second

	// worksFor is how long a store that has given something back is taken to work.
	worksFor = 5 * time.Second

	// skewMargin is how much earlier a token of another process stops being sent
	// if this machine's clock was not compared with the provider's yet; a fifth
	// of its life if that is shorter.
	skewMargin = time.Minute
)

// probeValue is what is written to the probe entry.
var probeValue = []byte("probe")

// sharedToken is a token in a store.
type sharedToken struct {
	AccessToken string        `json:"access_token"`
	IssuedAt    time.Time     `json:"issued_at"` // by the provider's clock
	Lifetime    time.Duration `json:"lifetime"`
	Scopes      []string      `json:"scopes"` // granted; null if the provider did not say
}

// A visit is what one attempt to obtain a token does with a store before the provider is
// asked.
type visit struct {
	shared  *shared
	need    need
	number  int // of the visit
	entries *entries
	budget  time.Duration // of the store's operations
	spent   time.Duration // of the budget
	hurried time.Time     // when a caller was first seen to wait; zero if none was
	found   []byte        // the token entry's last value
	worked  time.Time     // when the store has last given something back
	odd     error         // of the last reading, if it may mean no entry, or no store
	failed  []*StoreError // one of each kind
}

// visit begins a visit for n, nil if the tokens are not shared.
func (s *shared) visit(n need) *visit {
	entries, err := newEntries(s.direct.config, n.credentials)
	if err != nil || entries == nil {
		return nil // if it is an error, the token request will have it too
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visits++
	return &visit{shared: s, need: n, number: s.visits, entries: entries, budget: calmBudget}
}

// urgent reports whether a caller waits. From then on, the store has storeBudget left at
// most.
func (v *visit) urgent() bool {
	if !v.hurried.IsZero() {
		return true
	}
	select {
	case <-v.need.hurry:
		v.hurried, v.budget = time.Now(), min(v.budget, v.spent+storeBudget)
		return true
	default:
		return false
	}
}

// run runs an operation of the store within the budget.
func (v *visit) run(ctx context.Context, operation func(context.Context) error) error {
	hurry := v.need.hurry
	if v.urgent() {
		hurry = nil // it is known
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
		case <-hurry:
			hurry = nil
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

// fail notes a failure. Each kind is told once.
func (v *visit) fail(ctx context.Context, failure *StoreError) {
	if ctx.Err() != nil || v.has(failure.Kind) {
		return // if the context is over, Close has ended the attempt
	}
	v.failed = append(v.failed, failure)
	v.shared.tell(failure)
}

// has reports whether there was a failure of a kind.
func (v *visit) has(kind StoreFailure) bool {
	return slices.ContainsFunc(v.failed, func(f *StoreError) bool { return f.Kind == kind })
}

// alone returns why this process obtains the token for itself, nil if the store is not
// the reason.
func (v *visit) alone() *StoreError {
	for _, f := range v.failed {
		switch f.Kind {
		case StoreUnreachable, StoreSlow, StoreLocked:
			return f
		case StoreChanged, StoreLost, StoreTooLarge: // the entry is replaced
		}
	}
	return nil
}

// hopeless reports whether it is useless to go on with the store.
func (v *visit) hopeless() bool {
	v.urgent()
	return v.spent >= v.budget || v.has(StoreSlow)
}

// load reads an entry, nil if there is none that can be used.
func (v *visit) load(ctx context.Context, e *entry) []byte {
	var value []byte
	err := v.run(ctx, func(ctx context.Context) (err error) {
		value, err = e.load(ctx, v.shared.store)
		return err
	})
	v.odd = nil
	switch {
	case err == nil:
		v.worked = time.Now()
		return value
	case errors.Is(err, fs.ErrNotExist): // or the store is gone, by some modules
	case errors.Is(err, errSealed), errors.Is(err, errSizeless), errors.Is(err, errTooLarge):
		v.worked = time.Now()
		v.fail(ctx, storeError(err))
	case errors.Is(err, errSilent):
		v.fail(ctx, storeError(err))
	default:
		v.odd, v.worked = err, time.Time{}
	}
	return nil // value may still be written to
}

// probe reports whether the store works. If nothing has shown it lately, an entry is
// written and read: neither "there is no such entry" nor another error of a reading
// tells whether the store can be reached.
func (v *visit) probe(ctx context.Context) bool {
	if time.Since(v.worked) < worksFor {
		return true
	}
	store, probe := v.shared.store, v.entries.probe
	err := v.run(ctx, func(ctx context.Context) error { return probe.save(ctx, store, probeValue) })
	if err == nil {
		if bytes.Equal(v.load(ctx, probe), probeValue) {
			return true
		}
		err = v.odd
	}
	switch {
	case err != nil:
		v.fail(ctx, storeError(err))
	case v.failed == nil:
		v.fail(ctx, &StoreError{StoreLost, errLost})
	}
	return false
}

// metadata returns the configuration of the provider that another process has
// read, nil if there is none.
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

// take returns the token that another process has obtained, nil if there is none
// that is better than the present one.
func (v *visit) take(ctx context.Context, metadata *Metadata) *Token {
	value := v.load(ctx, v.entries.token)
	var shared sharedToken
	if value == nil || json.Unmarshal(value, &shared) != nil {
		return nil
	}
	v.found = value
	token := v.read(shared, metadata)
	if token == nil || !v.need.better(token) {
		return nil
	}
	v.need.event.Shared = true
	v.settle(nil)
	return token
}

// read makes a Token of what another process has stored, nil if it cannot be
// used. Its times are put right for this machine's clock.
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
		return nil // the clocks differ by more than the margins, and it may be of any age
	}
	// Counted back from now by both clocks, so that it expires in time if this
	// machine's is put right meanwhile.
	sent := now.plus(-max(age, 0))
	res := &tokenResponse{accessToken: NewSecret(shared.AccessToken), lifetime: shared.Lifetime, scopes: shared.Scopes}
	token := newToken(res, prover, sent, sent, config.RefreshBefore)
	token.expiresAt, token.endsAt = token.expiresAt.plus(-margin), token.endsAt.plus(-margin)
	if token.refreshAt.wall.After(token.expiresAt.wall) {
		token.refreshAt = token.expiresAt
	}
	return token
}
