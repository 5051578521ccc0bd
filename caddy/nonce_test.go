package caddyesign_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// singleUseNonces is an API that accepts each nonce once, and gives a new one in every
// response (RFC 9449 section 9). Older nonces expire.
type singleUseNonces struct {
	t *testing.T

	mu    sync.Mutex
	next  int
	valid map[string]bool
}

// admits reports whether the proof of r has a valid nonce, and gives another nonce.
func (n *singleUseNonces) admits(w http.ResponseWriter, r *http.Request) bool {
	nonce := readProof(n.t, r.Header).Nonce
	n.mu.Lock()
	defer n.mu.Unlock()
	ok := n.valid[nonce]
	delete(n.valid, nonce)
	n.next++
	given := fmt.Sprint("nonce-", n.next)
	if n.valid == nil {
		n.valid = make(map[string]bool)
	}
	n.valid[given] = true
	w.Header().Set("DPoP-Nonce", given)
	if !ok {
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	return ok
}

// expire makes all nonces invalid.
func (n *singleUseNonces) expire() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.valid = nil
}

func TestNoncesThatCanBeUsedOnce(t *testing.T) {
	f := newB2B(t)
	nonces := &singleUseNonces{t: t}
	var carriedOut atomic.Int64
	f.upstream.handle(func(w http.ResponseWriter, r *http.Request) {
		if nonces.admits(w, r) {
			carriedOut.Add(1)
		}
	})
	f.start(f.b2bSite(""))
	const callers, calls = 8, 10
	var refused atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				if f.do("POST", "/v0/b2b/pades/cmses_from_hashes", "{}").StatusCode != http.StatusOK {
					refused.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if refused.Load() != 0 || carriedOut.Load() != callers*calls {
		t.Errorf("%d of %d calls were refused, %d carried out", refused.Load(), callers*calls, carriedOut.Load())
	}
}

// A body that cannot be sent again waits until the server has seen the proof, if
// the server says in time that it wants another proof. Otherwise, the caller's next
// call uses the nonce that the server gave.
func TestNonceThatHasExpiredBeforeALargeBody(t *testing.T) {
	body := strings.Repeat("x", 3<<20)
	for _, test := range []struct {
		name  string
		reads bool // whether the server reads the body before it checks the proof
		first int  // the status of the first call after the nonce has expired
	}{
		{"proof first", false, http.StatusOK},
		{"body first", true, http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newB2B(t)
			nonces := &singleUseNonces{t: t}
			var carriedOut atomic.Int64
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.reads {
					got, err := io.ReadAll(r.Body)
					if err == nil && nonces.admits(w, r) && string(got) == body {
						carriedOut.Add(1)
					}
					return
				}
				if !nonces.admits(w, r) {
					return
				}
				if got, err := io.ReadAll(r.Body); err == nil && string(got) == body {
					carriedOut.Add(1)
				}
			}))
			defer api.Close()
			defer api.CloseClientConnections()
			f.start(`bankid_esign b2b {
				callers local
				client b2b
				upstream b2b ` + api.URL + `
				transport http {
					expect_continue_timeout 10s
				}
			}`)
			const path = "/v0/b2b/pades/cmses_from_hashes"
			for range 3 {
				nonces.expire()
				carriedOut.Store(0)
				f.do("POST", path, body).is(test.first)
				if test.first != http.StatusOK {
					f.do("POST", path, body).is(http.StatusOK)
				}
				if n := carriedOut.Load(); n != 1 {
					t.Errorf("%d calls were carried out, want 1", n)
				}
			}
		})
	}
}
