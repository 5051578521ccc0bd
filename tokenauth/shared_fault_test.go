package tokenauth_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// deafStore is a store that can be read and locked. Its writes hang, also after the context
// has ended.
type deafStore struct{ *memoryStore }

func (s deafStore) Store(context.Context, string, []byte) error {
	time.Sleep(time.Hour) // of the test's clock
	return nil
}

// held returns how many locks are held.
func (m *memoryStore) held() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, lock := range m.locks {
		n += len(lock)
	}
	return n
}

// A process that runs and does not give a lock back keeps it for ever.
func TestF23LockIsGivenBackThoughWritesHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store := deafStore{newMemoryStore()}
		n := newNode(t, server, store)
		for attempt := range 6 {
			start := time.Now()
			token := getToken(t, n.Source)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("attempt %d takes %v", attempt, took)
			}
			advance(11 * time.Second)
			if held := store.held(); held != 0 {
				t.Errorf("after attempt %d, the lock is held", attempt)
			}
			advance(time.Until(token.ExpiresAt()))
		}
		advance(2 * time.Hour) // for what hangs to end
	})
}

func TestF05FleetDoesNotAskAtOnceWhenALockIsHeldForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(300 * time.Millisecond)
			respondToken("a-token", 300)(w, r)
		})
		var results []<-chan result
		for _, n := range newFleet(t, server, &lockedStore{memoryStore: newMemoryStore(), dead: true}, 50) {
			results = append(results, startToken(t.Context(), n.Source))
		}
		for _, res := range results {
			if r := <-res; r.err != nil {
				t.Fatal(r.err)
			}
		}
		if asked := len(server.TokenRequests()); asked > 10 {
			t.Errorf("%d of 50 ask", asked)
		}
		advance(time.Minute) // for the locks to be given up
	})
}

// If the provider's clock is not known, a token of a process whose clock is far ahead could
// have any age.
func TestF06SharedTokenOfUnknownAgeIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store := newMemoryStore()
		writer := newNode(t, server, store)
		writer.Attach(tokenauth.Runtime{Client: &http.Client{Transport: skewed{server.Client().Transport, time.Hour}}, Store: store})
		first := getToken(t, writer.Source)
		advance(200 * time.Second)
		reader := newNode(t, server, store)
		reader.Attach(tokenauth.Runtime{Client: server.Client(), Store: store}) // whose responses have no Date
		token := getToken(t, reader.Source)
		if token.Authorization() == first.Authorization() && token.ExpiresAt().After(first.ExpiresAt()) {
			t.Errorf("it uses the token until %v, though it expires at %v", token.ExpiresAt(), first.ExpiresAt())
		}
	})
}

// The brake limits requests to the provider, and not looks for tokens of other processes.
func TestBrakedNodeTakesTheTokenOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store := newMemoryStore()
		nodes := newFleet(t, server, store, 3)
		first := getToken(t, nodes[0].Source)
		getToken(t, nodes[1].Source)
		second := renew(t.Context(), nodes[0], first) // from now on, the brake holds
		if second == nil {
			t.Fatal("the rejected token is not renewed")
		}
		synctest.Wait()
		events := nodes[0].attempts()
		if next := renew(t.Context(), nodes[0], second); next != nil {
			t.Fatal("there is no brake")
		}
		synctest.Wait()
		if nodes[0].attempts() != events {
			t.Error("to find nothing is an attempt")
		}
		wantRequests(t, server, 2)
		// The third process, whose brake does not hold, renews its rejected token.
		third := renew(t.Context(), nodes[2], getToken(t, nodes[2].Source))
		if third == nil {
			t.Fatal("the rejected token is not renewed")
		}
		advance(time.Second)
		if next := renew(t.Context(), nodes[0], second); next == nil || next.Authorization() != third.Authorization() {
			t.Error("it does not take the token that is there")
		}
		wantRequests(t, server, 3)
		// However often the token is rejected, there is one look a second.
		store.mu.Lock()
		loads := store.loads
		store.mu.Unlock()
		for range 100 {
			renew(t.Context(), nodes[0], getToken(t, nodes[0].Source))
		}
		store.mu.Lock()
		defer store.mu.Unlock()
		if looks := store.loads - loads; looks > 1 {
			t.Errorf("it looks %d times", looks)
		}
	})
}

// attempts returns the number of attempts so far.
func (n *node) attempts() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.events)
}

// A caller that waits for a token during a mere look of another call gets a token.
func TestLookWithoutATokenDoesNotEndTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(respondToken("short", 20))
		store := &slowStore{memoryStore: newMemoryStore()}
		n := newNode(t, server, store)
		first := getToken(t, n.Source)
		server.HandleToken(respondToken("renewed", 10))
		second := renew(t.Context(), n, first)
		server.HandleToken(respondToken("asked-for", 300))
		advance(5 * time.Second)
		store.slow = time.Second
		if n.Reject(second, http.StatusUnauthorized) == nil {
			t.Fatal("it does not look")
		}
		token, err := n.TokenFor(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		wantBearer(t, token, "asked-for")
	})
}

// slowStore is a store whose reads take some time.
type slowStore struct {
	*memoryStore
	slow time.Duration
}

func (s *slowStore) Load(ctx context.Context, key string) ([]byte, error) {
	time.Sleep(s.slow)
	return s.memoryStore.Load(ctx, key)
}

func TestCloseDoesNotWaitForAStorageThatHangs(t *testing.T) {
	for name, store := range map[string]tokenauth.Store{
		"read":  &slowStore{newMemoryStore(), time.Hour},
		"lock":  &lockedStore{newMemoryStore(), true},
		"write": deafStore{newMemoryStore()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				defer server.Close()
				n := newNode(t, server, store)
				startToken(t.Context(), n.Source)
				synctest.Wait() // it hangs now
				start := time.Now()
				n.Close()
				if took := time.Since(start); took > time.Second {
					t.Errorf("it waits for %v", took)
				}
				advance(2 * time.Hour) // for what hangs to end
			})
		})
	}
}

// fullStore is a store that may be full.
type fullStore struct {
	*memoryStore
	full *atomic.Bool
}

// Store implements tokenauth.Store.
func (s fullStore) Store(ctx context.Context, key string, value []byte) error {
	if s.full.Load() {
		return errors.New("disk full")
	}
	return s.memoryStore.Store(ctx, key, value)
}

// A store that could not take the last token still has the one before it. That must not
// replace a rejected token.
func TestRejectedTokenIsNotReplacedByTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store := fullStore{newMemoryStore(), new(atomic.Bool)}
		n := newNode(t, server, store)
		first := getToken(t, n.Source)
		store.full.Store(true)
		advance(time.Minute)
		if err := n.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := getToken(t, n.Source)
		advance(time.Minute)
		third := renew(t.Context(), n, second)
		if third == nil || third.Authorization() == first.Authorization() || third.Authorization() == second.Authorization() {
			t.Errorf("the rejected token was not replaced by a new one, in %d token requests", len(server.TokenRequests()))
		}
	})
}
