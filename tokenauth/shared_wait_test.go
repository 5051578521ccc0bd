package tokenauth_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// deadTardyStore takes some time for each operation. A process that has died holds its lock.
type deadTardyStore struct{ tardyStore }

func (s deadTardyStore) Lock(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// The wait for another process does not count as time of the store.
func TestFleetOnASlowStoreDoesNotAskAtOnceWhenALockIsHeld(t *testing.T) {
	for _, takes := range []time.Duration{0, 150 * time.Millisecond} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newSlowProvider(300 * time.Millisecond)
				defer server.Close()
				coldStart(t, newFleet(t, server, deadTardyStore{tardyStore{newMemoryStore(), takes}}, 20))
				if asked := len(server.TokenRequests()); asked > 8 {
					t.Errorf("%d of 20 ask", asked)
				}
				advance(time.Minute) // for the locks to be given up
			})
		})
	}
}

// impatientStore waits only five seconds for a lock.
type impatientStore struct{ *memoryStore }

func (s impatientStore) Lock(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return s.memoryStore.Lock(ctx, name)
}

func TestLockThatIsWaitedForInPartsIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(6 * time.Second)
		defer server.Close()
		coldStart(t, newFleet(t, server, impatientStore{newMemoryStore()}, 50))
		wantRequests(t, server, 1)
		advance(time.Minute) // for the locks to be given up
	})
}

func TestSlowDiscoveryIsNotTheStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(500 * time.Millisecond)
		defer server.Close()
		server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(3 * time.Second)
			tokenauthtest.WriteJSON(w, http.StatusOK, server.Document())
		})
		store := &countingStore{memoryStore: newMemoryStore()}
		coldStart(t, newFleet(t, server, refusingStore{store.memoryStore}, 3))
		wantRequests(t, server, 1)
	})
}

// countingStore counts its writes.
type countingStore struct {
	*memoryStore
	writes atomic.Int64
}

func (s *countingStore) Store(ctx context.Context, key string, value []byte) error {
	s.writes.Add(1)
	return s.memoryStore.Store(ctx, key, value)
}

func TestColdStartOfManyWritesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(300 * time.Millisecond)
		defer server.Close()
		store := &countingStore{memoryStore: newMemoryStore()}
		coldStart(t, newFleet(t, server, store, 100))
		advance(time.Minute)
		wantRequests(t, server, 1)
		if writes := store.writes.Load(); writes != 2 { // the token and the document
			t.Errorf("%d writes", writes)
		}
	})
}

// becomingStore becomes slow after some time.
type becomingStore struct {
	*memoryStore
	takes atomic.Int64
}

func (s *becomingStore) now() tardyStore {
	return tardyStore{s.memoryStore, time.Duration(s.takes.Load())}
}

func (s *becomingStore) Lock(ctx context.Context, name string) error { return s.now().Lock(ctx, name) }

func (s *becomingStore) Unlock(ctx context.Context, name string) error {
	return s.now().Unlock(ctx, name)
}

func (s *becomingStore) Size(ctx context.Context, key string) (int64, error) {
	return s.now().Size(ctx, key)
}

func (s *becomingStore) Load(ctx context.Context, key string) ([]byte, error) {
	return s.now().Load(ctx, key)
}

func (s *becomingStore) Store(ctx context.Context, key string, value []byte) error {
	return s.now().Store(ctx, key, value)
}

// While no caller waits, the store has more time. That ends with the first caller.
func TestCallerThatJoinsARenewalDoesNotWaitForTheStore(t *testing.T) {
	for name, before := range map[string]time.Duration{"rejected": time.Minute, "expired": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newSlowProvider(0)
				defer server.Close()
				store := &becomingStore{memoryStore: newMemoryStore()}
				n := newNode(t, server, store, func(c *tokenauth.Config) { c.RefreshBefore = before })
				token := getToken(t, n.Source)
				advance(time.Minute)
				store.takes.Store(int64(time.Hour))
				advance(time.Until(token.ExpiresAt()) - before + 100*time.Millisecond) // it is being renewed
				start := time.Now()
				if name == "rejected" {
					if renew(t.Context(), n, token) == nil {
						t.Error("no token")
					}
				} else {
					advance(time.Second)
					start = time.Now()
					getToken(t, n.Source)
				}
				if took := time.Since(start); took > 2100*time.Millisecond {
					t.Errorf("the call waits for %v", took)
				}
				advance(2 * time.Hour) // for what hangs to end
			})
		})
	}
}

func TestCloseGivesTheLockBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(5 * time.Second)
		defer server.Close()
		store := tardyStore{newMemoryStore(), 10 * time.Millisecond}
		n := newNode(t, server, store)
		startToken(t.Context(), n.Source)
		advance(time.Second) // the process asks the provider
		n.Close()
		if store.held() != 0 {
			t.Error("the lock is held")
		}
		advance(time.Minute) // for the provider
	})
}

// noWriteStore is a store whose writes hang until the context ends.
type noWriteStore struct {
	*memoryStore
	hang *atomic.Bool
}

func (s noWriteStore) Store(ctx context.Context, key string, value []byte) error {
	if s.hang.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.memoryStore.Store(ctx, key, value)
}

// If a token cannot be written, each of the other processes waits a second for it.
func TestWritesThatHangDoNotHoldTheOthersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(100 * time.Millisecond)
		defer server.Close()
		store := noWriteStore{newMemoryStore(), new(atomic.Bool)}
		getToken(t, newNode(t, server, store).Source)
		advance(time.Hour) // the token in the entry has expired
		store.hang.Store(true)
		start := time.Now()
		coldStart(t, newFleet(t, server, store, 3))
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("they wait for %v", took)
		}
		advance(2 * time.Minute)
	})
}

// slowUnlockStore takes some time to give a lock back.
type slowUnlockStore struct{ *memoryStore }

func (s slowUnlockStore) Unlock(ctx context.Context, name string) error {
	time.Sleep(1500 * time.Millisecond)
	return s.memoryStore.Unlock(ctx, name)
}

// The wait is short only while this process does not wait for the lock.
func TestOwnLockThatIsBeingGivenBackIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		var asked atomic.Int64
		server.HandleToken(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) > 1 {
				time.Sleep(6 * time.Second)
			}
			respondToken(strconv.FormatInt(asked.Load(), 10), 300)(w, r)
		})
		nodes := newFleet(t, server, slowUnlockStore{newMemoryStore()}, 2)
		first := getToken(t, nodes[0].Source)
		advance(100 * time.Millisecond)
		other := getToken(t, nodes[1].Source)
		done := nodes[1].Reject(other, http.StatusUnauthorized)
		advance(10 * time.Millisecond)
		renew(t.Context(), nodes[0], first)
		<-done
		if failures, alone := nodes[0].failed(); failures != nil || alone {
			t.Errorf("alone %t, %v", alone, failures)
		}
		wantRequests(t, server, 2)
		advance(time.Minute)
	})
}

// lossyStore has operations that never return.
type lossyStore struct {
	*memoryStore
	lost *atomic.Int64
}

func (s lossyStore) Size(ctx context.Context, key string) (int64, error) {
	if s.lost.Add(-1) >= 0 {
		time.Sleep(1000 * time.Hour) // of the test's clock
	}
	return s.memoryStore.Size(ctx, key)
}

func TestCallsThatWereLostDoNotEndSharing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(0)
		defer server.Close()
		store := lossyStore{newMemoryStore(), new(atomic.Int64)}
		store.lost.Store(4)
		n := newNode(t, server, store)
		for range 24 {
			getToken(t, n.Source)
			advance(time.Hour)
		}
		_, alone := n.failed()
		if alone || len(store.stored()) == 0 {
			t.Errorf("a day after the storage works again: alone %t, %d entries", alone, len(store.stored()))
		}
		advance(2000 * time.Hour)
	})
}

func TestLockIsWaitedForOnceWhateverIsAttached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(0)
		defer server.Close()
		store := &stubbornStore{memoryStore: newMemoryStore(), deaf: true}
		n := newNode(t, server, store)
		for range 5 {
			n.Attach(tokenauth.Runtime{Client: server.Client(), Store: store})
			getToken(t, n.Source)
			advance(300 * time.Second)
		}
		if most := store.most.Load(); most > 1 {
			t.Errorf("%d locks of one Source are waited for", most)
		}
		advance(48 * time.Hour)
	})
}

func TestLookForATokenAsksNoProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(0)
		defer server.Close()
		n := newNode(t, server, newMemoryStore())
		getToken(t, n.Source)
		advance(time.Hour - 5*time.Second)
		first := getToken(t, n.Source)
		advance(time.Millisecond)
		second := renew(t.Context(), n, first)
		if second == nil {
			t.Fatal("not renewed")
		}
		advance(10 * time.Second) // the document is stale now
		server.HandleDiscovery(hang)
		before := server.Discoveries()
		start := time.Now()
		renew(t.Context(), n, second) // the brake holds, so this only looks
		if d := server.Discoveries() - before; d != 0 {
			t.Errorf("the look makes %d requests to the provider, and its call waits %v", d, time.Since(start))
		}
	})
}

// dyingStore has a lock that nobody gives back, and it may become unreachable.
type dyingStore struct {
	*memoryStore
	gone *atomic.Bool
}

func (s dyingStore) Lock(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
func (s dyingStore) Size(ctx context.Context, key string) (int64, error) {
	if s.gone.Load() {
		return 0, errors.New("connection refused")
	}
	return s.memoryStore.Size(ctx, key)
}

func (s dyingStore) Store(ctx context.Context, key string, v []byte) error {
	if s.gone.Load() {
		return errors.New("connection refused")
	}
	return s.memoryStore.Store(ctx, key, v)
}

func TestStoreThatGoesAwayIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(0)
		defer server.Close()
		store := dyingStore{newMemoryStore(), new(atomic.Bool)}
		n := newNode(t, server, store)
		start := time.Now()
		res := startToken(t.Context(), n.Source)
		advance(time.Second)
		store.gone.Store(true)
		<-res
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("the call waits for %v", took)
		}
		if failures, alone := n.failed(); len(failures) == 0 || failures[0] != tokenauth.StoreUnreachable || !alone {
			t.Errorf("alone %t, %v", alone, failures)
		}
		advance(time.Minute) // for the lock to be given up
	})
}

// slowWriteStore takes five seconds to write.
type slowWriteStore struct{ *memoryStore }

func (s slowWriteStore) Store(ctx context.Context, key string, v []byte) error {
	time.Sleep(5 * time.Second)
	return s.memoryStore.Store(ctx, key, v)
}

func TestNewestTokenIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(0)
		defer server.Close()
		store := slowWriteStore{newMemoryStore()}
		n := newNode(t, server, store)
		first := getToken(t, n.Source)
		advance(time.Second)
		second := renew(t.Context(), n, first)
		advance(time.Minute)
		got := getToken(t, newNode(t, server, store).Source)
		if second == nil || got.Authorization() != second.Authorization() {
			t.Error("another process does not get the newest token")
		}
		advance(time.Minute)
	})
}

// A caller may come during the wait for the lock of a dead process, between two slow readings.
// It does not wait for the next reading.
func TestCallerThatJoinsAWaitOnASlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(0)
		defer server.Close()
		store := &becomingStore{memoryStore: newMemoryStore()}
		n := newNode(t, server, store, func(c *tokenauth.Config) { c.RefreshBefore = time.Minute })
		token := getToken(t, n.Source)
		synctest.Wait()
		for _, lock := range store.locks {
			lock <- struct{}{} // its holder has died
		}
		store.takes.Store(int64(1500 * time.Millisecond))
		advance(time.Until(token.ExpiresAt()) - time.Minute)
		getToken(t, n.Source)
		advance(8 * time.Second) // there was one more look
		start := time.Now()
		if renew(t.Context(), n, token) == nil {
			t.Error("no token")
		}
		if took := time.Since(start); took > 2100*time.Millisecond {
			t.Errorf("the call waits for %v", took)
		}
		advance(2 * time.Minute) // for the lock to be given up
	})
}

// keepingStore does not give a lock back at once.
type keepingStore struct {
	*memoryStore
	refusals atomic.Int64
}

func (s *keepingStore) Unlock(ctx context.Context, name string) error {
	if s.refusals.Add(-1) >= 0 {
		return errors.New("cannot remove the lock")
	}
	return s.memoryStore.Unlock(ctx, name)
}

func TestUnlockIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(0)
		defer server.Close()
		store := &keepingStore{memoryStore: newMemoryStore()}
		store.refusals.Store(2)
		n := newNode(t, server, store)
		getToken(t, n.Source)
		if failures, _ := n.failed(); len(failures) != 1 || failures[0] != tokenauth.StoreUnreachable {
			t.Errorf("failures %v", failures)
		}
		advance(time.Minute)
		if store.held() != 0 {
			t.Error("the lock is held")
		}
	})
}
