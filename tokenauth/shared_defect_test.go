package tokenauth_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// newSlowProvider returns a provider that takes some time for each token.
func newSlowProvider(took time.Duration) *tokenauthtest.Server {
	server := tokenauthtest.NewServer()
	var tokens atomic.Int64
	server.HandleToken(func(w http.ResponseWriter, r *http.Request) {
		number := tokens.Add(1)
		if pass(r.Context(), took) != nil {
			return
		}
		respondToken("token-"+strconv.FormatInt(number, 10), 300)(w, r)
	})
	return server
}

// pass lets a time pass on the test's clock, or less if ctx ends before. It does not use
// time.After: with many calls of that, the race detector of Go 1.26.8 fails.
func pass(ctx context.Context, takes time.Duration) error {
	passed, cancel := context.WithTimeout(ctx, takes)
	defer cancel()
	<-passed.Done()
	return ctx.Err()
}

// coldStart gets a token for each of the nodes at once.
func coldStart(t *testing.T, nodes []*node) {
	t.Helper()
	var results []<-chan result
	for _, n := range nodes {
		results = append(results, startToken(t.Context(), n.Source))
	}
	for _, res := range results {
		if r := <-res; r.err != nil {
			t.Error(r.err)
		}
	}
}

// live uses the tokens of the nodes for the given number of lifetimes of 300 seconds.
func live(t *testing.T, nodes []*node, lives int) {
	t.Helper()
	const step = 5 * time.Second
	for range time.Duration(lives) * 300 * time.Second / step {
		for _, n := range nodes {
			getToken(t, n.Source)
		}
		advance(step)
	}
}

// wantAFewRequests asserts that at most one token was asked for each time that a renewal was
// due, in the given number of lifetimes of 300 seconds.
func wantAFewRequests(t *testing.T, server *tokenauthtest.Server, lives int) {
	t.Helper()
	if got := len(server.TokenRequests()); got > lives*10/7+1 {
		t.Errorf("%d token requests in %d lives", got, lives)
	}
}

// oneSpaceStore keeps locks among the entries.
type oneSpaceStore struct{ *memoryStore }

func (s oneSpaceStore) Lock(ctx context.Context, name string) error {
	if err := s.memoryStore.Lock(ctx, name); err != nil {
		return err
	}
	return s.Store(ctx, name, []byte("locked"))
}

func (s oneSpaceStore) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	delete(s.entries, name)
	s.mu.Unlock()
	return s.memoryStore.Unlock(ctx, name)
}

func TestLocksAreNoEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(time.Second)
		defer server.Close()
		nodes := newFleet(t, server, oneSpaceStore{newMemoryStore()}, 3)
		coldStart(t, nodes)
		wantRequests(t, server, 1)
		live(t, nodes, 20)
		wantAFewRequests(t, server, 20)
	})
}

// stubbornStore waits for a lock even after the context has ended. If the context ends before
// the lock comes, it reports that.
type stubbornStore struct {
	*memoryStore
	waiting, most atomic.Int64
	deaf          bool // no lock comes
}

func (s *stubbornStore) Lock(ctx context.Context, name string) error {
	n := s.waiting.Add(1)
	defer s.waiting.Add(-1)
	s.most.Store(max(s.most.Load(), n))
	if s.deaf {
		time.Sleep(24 * time.Hour) // of the test's clock
		return errors.New("too late")
	}
	return s.memoryStore.Lock(context.WithoutCancel(ctx), name)
}

func TestLockIsWaitedForOnce(t *testing.T) {
	for name, deaf := range map[string]bool{"it comes": false, "it never comes": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newSlowProvider(time.Second)
				defer server.Close()
				store := &stubbornStore{memoryStore: newMemoryStore(), deaf: deaf}
				nodes := newFleet(t, server, store, 3)
				coldStart(t, nodes)
				live(t, nodes, 24)
				if most := store.most.Load(); most > int64(len(nodes)) {
					t.Errorf("%d wait for a lock at a time, want one of each of %d", most, len(nodes))
				}
				if !deaf {
					wantAFewRequests(t, server, 24)
				}
				advance(24 * time.Hour) // for what hangs to end
			})
		})
	}
}

// refusingStore refuses a lock that is held.
type refusingStore struct{ *memoryStore }

func (s refusingStore) Lock(_ context.Context, name string) error {
	select {
	case s.lock(name) <- struct{}{}:
		return nil
	default:
		return errors.New("key is locked")
	}
}

func TestLockThatIsRefusedIsWaitedFor(t *testing.T) {
	for _, took := range []time.Duration{0, 100 * time.Millisecond, time.Second, 1500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			server := newSlowProvider(took)
			defer server.Close()
			nodes := newFleet(t, server, refusingStore{newMemoryStore()}, 3)
			coldStart(t, nodes)
			wantRequests(t, server, 1)
			live(t, nodes, 5)
			wantAFewRequests(t, server, 5)
			for _, n := range nodes {
				if failures, alone := n.failed(); failures != nil || alone {
					t.Errorf("alone %t, %v", alone, failures)
				}
			}
		})
	}
}

// A process that has died keeps its lock for some time.
func TestLockThatIsRefusedIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(100 * time.Millisecond)
		defer server.Close()
		store := refusingStore{newMemoryStore()}
		dead, nodes := newNode(t, server, store), newFleet(t, server, store, 1)
		coldStart(t, []*node{dead})
		dead.Close()
		advance(300 * time.Second)
		for _, lock := range store.locks {
			lock <- struct{}{}
		}
		start := time.Now()
		coldStart(t, nodes)
		if took := time.Since(start); took < 2*time.Second || took > 3200*time.Millisecond {
			t.Errorf("it takes %v", took)
		}
		wantRequests(t, server, 2)
		if failures, alone := nodes[0].failed(); len(failures) != 1 || failures[0] != tokenauth.StoreLocked || !alone {
			t.Errorf("alone %t, %v", alone, failures)
		}
	})
}

// oddStore returns another error if there is no entry.
type oddStore struct{ *memoryStore }

func (s oddStore) Size(ctx context.Context, key string) (int64, error) {
	size, err := s.memoryStore.Size(ctx, key)
	if err != nil {
		return 0, errors.New("no such key")
	}
	return size, nil
}

func TestOtherErrorForWhatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(time.Second)
		defer server.Close()
		nodes := newFleet(t, server, oddStore{newMemoryStore()}, 3)
		coldStart(t, nodes)
		wantRequests(t, server, 1)
		live(t, nodes, 5)
		wantAFewRequests(t, server, 5)
		for _, n := range nodes {
			if failures, alone := n.failed(); failures != nil || alone {
				t.Errorf("alone %t, %v", alone, failures)
			}
		}
	})
}

// goneStore says that there is no entry while it cannot be reached.
type goneStore struct {
	*memoryStore
	gone *atomic.Bool
	hang bool // Lock waits until the context ends
}

func (s goneStore) Lock(ctx context.Context, name string) error {
	if !s.gone.Load() {
		return s.memoryStore.Lock(ctx, name)
	}
	if s.hang {
		<-ctx.Done()
	}
	return errors.New("connection refused")
}

func (s goneStore) Size(ctx context.Context, key string) (int64, error) {
	if s.gone.Load() {
		return 0, fs.ErrNotExist
	}
	return s.memoryStore.Size(ctx, key)
}

func (s goneStore) Load(ctx context.Context, key string) ([]byte, error) {
	if s.gone.Load() {
		return nil, fs.ErrNotExist
	}
	return s.memoryStore.Load(ctx, key)
}

func (s goneStore) Store(ctx context.Context, key string, value []byte) error {
	if s.gone.Load() {
		return errors.New("connection refused")
	}
	return s.memoryStore.Store(ctx, key, value)
}

func TestStoreThatIsGoneIsNotTakenForAnEmptyOne(t *testing.T) {
	for name, hang := range map[string]bool{"the lock fails": false, "the lock hangs": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newSlowProvider(100 * time.Millisecond)
				defer server.Close()
				store := goneStore{newMemoryStore(), new(atomic.Bool), hang}
				store.gone.Store(true)
				nodes := newFleet(t, server, store, 3)
				start := time.Now()
				coldStart(t, nodes)
				if took := time.Since(start); took > time.Second {
					t.Errorf("it takes %v", took)
				}
				wantRequests(t, server, 3)
				for _, n := range nodes {
					if failures, alone := n.failed(); len(failures) == 0 || failures[0] != tokenauth.StoreUnreachable || !alone {
						t.Errorf("alone %t, %v", alone, failures)
					}
				}
				store.gone.Store(false)
				advance(time.Minute)
				live(t, nodes, 5)
				wantAFewRequests(t, server, 5+2)
				for _, n := range nodes {
					if _, alone := n.failed(); alone {
						t.Error("it goes on by itself though the store is back")
					}
				}
			})
		})
	}
}

// tardyStore takes some time for each operation, and heeds the context.
type tardyStore struct {
	*memoryStore
	takes time.Duration
}

func (s tardyStore) delay(ctx context.Context) error {
	return pass(ctx, s.takes)
}

func (s tardyStore) Lock(ctx context.Context, name string) error {
	if err := s.delay(ctx); err != nil {
		return err
	}
	return s.memoryStore.Lock(ctx, name)
}

func (s tardyStore) Unlock(ctx context.Context, name string) error {
	if err := s.delay(ctx); err != nil {
		return err
	}
	return s.memoryStore.Unlock(ctx, name)
}

func (s tardyStore) Size(ctx context.Context, key string) (int64, error) {
	if err := s.delay(ctx); err != nil {
		return 0, err
	}
	return s.memoryStore.Size(ctx, key)
}

func (s tardyStore) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.delay(ctx); err != nil {
		return nil, err
	}
	return s.memoryStore.Load(ctx, key)
}

func (s tardyStore) Store(ctx context.Context, key string, value []byte) error {
	if err := s.delay(ctx); err != nil {
		return err
	}
	return s.memoryStore.Store(ctx, key, value)
}

func TestSlowStoreCostsACallTwoSecondsAtMost(t *testing.T) {
	for _, takes := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, 4 * time.Second, time.Hour} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newSlowProvider(time.Second)
				defer server.Close()
				nodes := newFleet(t, server, tardyStore{newMemoryStore(), takes}, 3)
				start := time.Now()
				getToken(t, nodes[0].Source)
				if took := time.Since(start); took > 3100*time.Millisecond {
					t.Errorf("with the second that the provider takes, it takes %v", took)
				}
				advance(time.Minute)
				getToken(t, nodes[1].Source)
				advance(time.Minute) // for the locks to be given up
				if takes > time.Second {
					return
				}
				wantRequests(t, server, 1)
				live(t, nodes, 5)
				wantAFewRequests(t, server, 5)
			})
		})
	}
}

// A store may return a value that nobody has written, or an older value.
type unfitStore struct {
	*memoryStore
	get   func(written []byte) ([]byte, error)
	mend  atomic.Bool
	holds atomic.Int64 // locks
}

func (s *unfitStore) Lock(ctx context.Context, name string) error {
	s.holds.Add(1)
	return s.memoryStore.Lock(ctx, name)
}

func (s *unfitStore) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.memoryStore.Load(ctx, key)
	if err != nil || s.mend.Load() {
		return value, err
	}
	return s.get(value)
}

func TestStoreThatDoesNotGiveBackWhatWasWritten(t *testing.T) {
	var (
		mu     sync.Mutex
		cached []byte // the token's value; the document is not read
	)
	for name, get := range map[string]func([]byte) ([]byte, error){
		"changed":     func(v []byte) ([]byte, error) { return append([]byte("x"), v...), nil },
		"shortened":   func(v []byte) ([]byte, error) { return v[:len(v)-1], nil },
		"emptied":     func([]byte) ([]byte, error) { return nil, nil },
		"not kept":    func([]byte) ([]byte, error) { return nil, fs.ErrNotExist },
		"not kept, 2": func([]byte) ([]byte, error) { return nil, errors.New("no such key") },
		"read from a cache": func(v []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			if cached == nil && len(v) > 50 { // not the probe
				cached = v
			}
			return cached, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newSlowProvider(0)
				defer server.Close()
				store := &unfitStore{memoryStore: newMemoryStore(), get: get}
				nodes := newFleet(t, server, store, 3)
				coldStart(t, nodes)
				live(t, nodes, 3)
				for i, n := range nodes {
					if _, alone := n.failed(); !alone {
						t.Errorf("node %d goes on sharing", i)
					}
				}
				holds := store.holds.Load()
				live(t, nodes, 3)
				if store.holds.Load() != holds {
					t.Error("it goes on locking")
				}
				for i, n := range nodes {
					if _, alone := n.failed(); !alone {
						t.Errorf("node %d shares again", i)
					}
				}
				store.mend.Store(true)
				live(t, nodes, 15)
				before := len(server.TokenRequests())
				live(t, nodes, 10)
				if asked := len(server.TokenRequests()) - before; asked > 10*10/7+1 {
					t.Errorf("%d token requests in 10 lives though the store is repaired", asked)
				}
				for i, n := range nodes {
					if _, alone := n.failed(); alone {
						t.Errorf("node %d does not share again", i)
					}
				}
			})
		})
	}
}

// hugeStore has an entry of the given size.
type hugeStore struct {
	*memoryStore
	huge  *atomic.Bool
	loads *atomic.Int64
}

func (s hugeStore) Size(ctx context.Context, key string) (int64, error) {
	if s.huge.Load() {
		return 200 << 20, nil
	}
	return s.memoryStore.Size(ctx, key)
}

func (s hugeStore) Load(ctx context.Context, key string) ([]byte, error) {
	s.loads.Add(1)
	return s.memoryStore.Load(ctx, key)
}

func (s hugeStore) Store(ctx context.Context, key string, value []byte) error {
	s.huge.Store(false)
	return s.memoryStore.Store(ctx, key, value)
}

func TestHugeEntryIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(0)
		defer server.Close()
		store := hugeStore{newMemoryStore(), new(atomic.Bool), new(atomic.Int64)}
		store.huge.Store(true)
		n := newNode(t, server, store)
		getToken(t, n.Source)
		if failures, _ := n.failed(); len(failures) != 1 || failures[0] != tokenauth.StoreTooLarge {
			t.Errorf("failures %v", failures)
		}
		if loads := store.loads.Load(); loads != 1 { // the reading after the token was written
			t.Errorf("it is read %d times", loads)
		}
		getToken(t, newNode(t, server, store).Source)
		wantRequests(t, server, 1) // it was replaced
	})
}

// panickingStore panics, since it is a nil pointer to a store.
type panickingStore struct{ *memoryStore }

func TestStoreThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSlowProvider(0)
		defer server.Close()
		n := newNode(t, server, panickingStore{})
		getToken(t, n.Source)
		if failures, alone := n.failed(); len(failures) == 0 || failures[0] != tokenauth.StoreUnreachable || !alone {
			t.Errorf("alone %t, %v", alone, failures)
		}
	})
}
