package tokenauth_test

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A node is the source of one of several processes.
type node struct {
	*tokenauth.Source
	mu       sync.Mutex
	events   []tokenauth.Event
	failures []tokenauth.StoreFailure
	alone    bool
}

// newNode returns a node that shares its tokens in store.
func newNode(t *testing.T, server *tokenauthtest.Server, store tokenauth.Store, options ...func(*tokenauth.Config)) *node {
	t.Helper()
	n := &node{Source: newTestSource(t, server, options...)}
	client := &http.Client{Transport: skewed{server.Client().Transport, 0}}
	n.Attach(tokenauth.Runtime{
		Client: client, Store: store,
		Observe: func(e tokenauth.Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
		},
		ObserveStore: func(e tokenauth.StoreEvent) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if e.Changed {
				n.alone = e.Err != nil
			} else {
				n.failures = append(n.failures, e.Err.Kind)
			}
		},
	})
	return n
}

// failed returns the kinds of failure of the store since the last call of failed, and whether
// the process obtains its own tokens now.
func (n *node) failed() (kinds []tokenauth.StoreFailure, alone bool) {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	kinds, n.failures = n.failures, nil
	return kinds, n.alone
}

// last returns the event of the last attempt.
func (n *node) last(t *testing.T) tokenauth.Event {
	t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.events) == 0 {
		t.Fatal("there was no attempt")
	}
	return n.events[len(n.events)-1]
}

// newFleet returns n nodes that share one store.
func newFleet(t *testing.T, server *tokenauthtest.Server, store tokenauth.Store, n int) []*node {
	t.Helper()
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = newNode(t, server, store)
	}
	return nodes
}

func TestF05FleetAsksOnceAtAColdStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			respondToken("the-only-one", 300)(w, r)
		})
		nodes := newFleet(t, server, newMemoryStore(), 50)
		var results []<-chan result
		for _, n := range nodes {
			results = append(results, startToken(t.Context(), n.Source))
		}
		shared := 0
		for i, res := range results {
			r := <-res
			if r.err != nil {
				t.Fatal(r.err)
			}
			wantBearer(t, r.token, "the-only-one")
			if nodes[i].last(t).Shared {
				shared++
			}
		}
		wantRequests(t, server, 1)
		if shared != 49 {
			t.Errorf("%d of 50 say that they have another's token, want 49", shared)
		}
	})
}

func TestF05FleetAsksOnceInATokensLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		nodes := newFleet(t, server, newMemoryStore(), 8)
		const lives = 20
		start := time.Now()
		for time.Since(start) < lives*300*time.Second {
			for _, n := range nodes {
				getToken(t, n.Source)
			}
			advance(time.Second)
		}
		// Each token is renewed when 70 to 80 % of its lifetime have passed.
		if got := len(server.TokenRequests()); got < lives || got > lives*10/7+1 {
			t.Errorf("%d token requests in %d lives", got, lives)
		}
	})
}

func TestRestartedFleetGoesOnWithTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store := newMemoryStore()
		token := getToken(t, newNode(t, server, store).Source)
		advance(100 * time.Second)
		for _, n := range newFleet(t, server, store, 8) {
			again := getToken(t, n.Source)
			if again.Authorization() != token.Authorization() || again.ExpiresAt().Sub(token.ExpiresAt()).Abs() > time.Second {
				t.Errorf("it has another token, or until %v rather than %v", again.ExpiresAt(), token.ExpiresAt())
			}
		}
		wantRequests(t, server, 1)
	})
}

func TestRejectedTokenIsRenewedOnceForTheFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		nodes := newFleet(t, server, newMemoryStore(), 8)
		var old []*tokenauth.Token
		for _, n := range nodes {
			old = append(old, getToken(t, n.Source))
		}
		for i, n := range nodes {
			if next := renew(t.Context(), n, old[i]); next == nil || next.Authorization() == old[i].Authorization() {
				t.Errorf("node %d goes on with the rejected token", i)
			}
		}
		wantRequests(t, server, 2)
	})
}

// Entries cannot be read without the credential, and one cannot replace another.
func TestStoredTokensAreSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(respondToken("planted-token", 300))
		store := newMemoryStore()
		getToken(t, newNode(t, server, store).Source)
		synctest.Wait()
		entries := store.stored()
		if len(entries) != 2 {
			t.Fatalf("%d entries are stored, want a token and a document", len(entries))
		}
		for key, value := range entries {
			for _, plain := range []string{"planted-token", testClientID, "esign/csc", "token_endpoint", "access_token"} {
				if bytes.Contains(value, []byte(plain)) || bytes.Contains([]byte(key), []byte(plain)) {
					t.Errorf("%s can be read in the storage", plain)
				}
			}
		}
		other := newNode(t, server, store, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: testClientID, ClientSecret: tokenauth.NewSecret("another secret")}, nil
			}
		})
		getToken(t, other.Source)
		if failures, _ := other.failed(); other.last(t).Shared || failures != nil {
			t.Errorf("with another secret: shared %t, %v", other.last(t).Shared, failures)
		}
		scope := newNode(t, server, store, func(c *tokenauth.Config) { c.Scopes = []string{"esign"} })
		getToken(t, scope.Source)
		if scope.last(t).Shared {
			t.Error("a token with other scopes was taken")
		}
		wantRequests(t, server, 3)
	})
}

func TestEntryThatWasTamperedWithIsAMiss(t *testing.T) {
	for name, tamper := range map[string]func(entries map[string][]byte, key string){
		"changed":   func(e map[string][]byte, key string) { e[key][len(e[key])-1] ^= 1 },
		"truncated": func(e map[string][]byte, key string) { e[key] = e[key][:20] },
		"emptied":   func(e map[string][]byte, key string) { e[key] = nil },
		"swapped": func(e map[string][]byte, key string) {
			for other := range e {
				if other != key {
					e[key], e[other] = e[other], e[key]
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				defer server.Close()
				store := newMemoryStore()
				getToken(t, newNode(t, server, store).Source)
				synctest.Wait()
				for key := range store.stored() {
					tamper(store.entries, key)
					if name == "swapped" {
						break
					}
				}
				n := newNode(t, server, store)
				getToken(t, n.Source)
				if failures, _ := n.failed(); n.last(t).Shared || !slices.Equal(failures, []tokenauth.StoreFailure{tokenauth.StoreChanged}) {
					t.Errorf("shared %t, %v", n.last(t).Shared, failures)
				}
				again := newNode(t, server, store)
				getToken(t, again.Source)
				if failures, _ := again.failed(); !again.last(t).Shared || failures != nil {
					t.Errorf("it was not put right: shared %t, %v", again.last(t).Shared, failures)
				}
				wantRequests(t, server, 2)
			})
		})
	}
}

// Whatever is wrong with the storage, a token is obtained in time.
func TestF22StorageThatFailsCostsNoToken(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		store *memoryStore
		held  bool // a process with the lock has died
		wait  time.Duration
	}{
		"gone":      {store: &memoryStore{loadErr: broken, storeErr: broken, lockErr: broken}},
		"read-only": {store: &memoryStore{storeErr: broken, lockErr: broken}},
		"full":      {store: &memoryStore{storeErr: broken}},
		"hanging":   {store: &memoryStore{hang: true}, wait: 2 * time.Second},
		"locked":    {store: &memoryStore{}, held: true, wait: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				defer server.Close()
				store := test.store
				store.entries, store.locks = make(map[string][]byte), make(map[string]chan struct{})
				n := newNode(t, server, &lockedStore{memoryStore: store, dead: test.held})
				start := time.Now()
				getToken(t, n.Source)
				if took := time.Since(start); took > test.wait {
					t.Errorf("it takes %v", took)
				}
				synctest.Wait()
				advance(time.Minute) // for the work in the background
				if failures, alone := n.failed(); failures == nil || !alone || n.last(t).Shared {
					t.Errorf("alone %t, %v", alone, failures)
				}
				wantRequests(t, server, 1)
				advance(2 * time.Hour) // for what hangs to end
			})
		})
	}
}

// Processes that wait for another one that hangs go on when their wait is over.
func TestF23HolderOfTheLockHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store := newMemoryStore()
		hung := newNode(t, server, store)
		hung.Attach(tokenauth.Runtime{Client: &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return server.Client().Transport.RoundTrip(r)
		})}, Store: store})
		failed := startToken(t.Context(), hung.Source)
		synctest.Wait()
		start := time.Now()
		var results []<-chan result
		for _, n := range newFleet(t, server, store, 7) {
			results = append(results, startToken(t.Context(), n.Source))
		}
		for _, res := range results {
			if r := <-res; r.err != nil {
				t.Error(r.err)
			}
		}
		if took := time.Since(start); took < tokenauth.DefaultTimeout || took > tokenauth.DefaultTimeout+2*time.Second {
			t.Errorf("they waited for %v", took)
		}
		if r := <-failed; r.err == nil {
			t.Error("the one that hung has a token")
		}
		wantRequests(t, server, 1)
	})
}

// Tokens that are bound to a key are shared by the processes that have the key.
func TestBoundTokensAreSharedWithTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"access_token":"bound","token_type":"DPoP","expires_in":300}`))
		})
		bound := func(key *tokenauth.Key) func(*tokenauth.Config) {
			return func(c *tokenauth.Config) {
				c.DPoP = true
				c.Credentials = func() (tokenauth.Credentials, error) {
					credentials, err := testCredentials()
					credentials.DPoPKey = key
					return credentials, err
				}
			}
		}
		var keys [2]*tokenauth.Key
		for i := range keys {
			var err error
			if keys[i], err = tokenauth.GenerateKey("ES256"); err != nil {
				t.Fatal(err)
			}
		}
		store := newMemoryStore()
		for i, test := range []struct {
			key      *tokenauth.Key
			shared   bool
			requests int
		}{{keys[0], false, 1}, {keys[0], true, 1}, {keys[1], false, 2}, {nil, false, 3}, {nil, false, 4}} {
			n := newNode(t, server, store, bound(test.key))
			getToken(t, n.Source)
			if shared := n.last(t).Shared; shared != test.shared {
				t.Errorf("number %d: shared %t, want %t", i, shared, test.shared)
			}
			wantRequests(t, server, test.requests)
		}
	})
}

// While the provider is away, a process that starts uses the token and the document of
// another process.
func TestStoredTokenAndDocumentWhileTheProviderIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store := newMemoryStore()
		getToken(t, newNode(t, server, store).Source)
		synctest.Wait()
		issued := time.Now()
		server.HandleDiscovery(respondError(http.StatusServiceUnavailable, ""))
		n := newNode(t, server, store)
		n.Attach(tokenauth.Runtime{Client: server.Client(), Store: store}) // whose responses have no Date
		token := getToken(t, n.Source)
		if life := token.ExpiresAt().Sub(issued); life > 210*time.Second {
			t.Errorf("without knowing the provider's clock, it uses the token for %v", life)
		}
		advance(time.Until(token.ExpiresAt()))
		// The document is known, so the process gets a token without discovery.
		getToken(t, n.Source)
		wantRequests(t, server, 2)
	})
}
