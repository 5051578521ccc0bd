package tokenauth_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// deafStore is a store that can be read and locked, but whose writes hang,
// whatever the context says.
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

// A process that lives and keeps a lock keeps it for ever.
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
			synctest.Wait()
			if held := store.held(); held != 0 {
				t.Fatalf("after attempt %d, the lock is held", attempt)
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
			answerToken("a-token", 300)(w, r)
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
	})
}

// Without knowing the provider's clock, a token of a process whose clock is far
// ahead could be of any age.
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
		reader.Attach(tokenauth.Runtime{Client: server.Client(), Store: store}) // whose answers have no Date
		token := getToken(t, reader.Source)
		if token.Authorization() == first.Authorization() && token.ExpiresAt().After(first.ExpiresAt()) {
			t.Errorf("it uses the token until %v, though it expires at %v", token.ExpiresAt(), first.ExpiresAt())
		}
	})
}
