package sandbox

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"
)

// nonceLife is how long a nonce is the one that is handed out.
const nonceLife = 30 * time.Second

// nonces are what DPoP proofs must carry where a nonce is demanded (RFC 9449,
// section 8). Each is good until the next one is replaced in turn, so that
// calls under way survive the change. The zero value is ready; it is safe for
// concurrent use.
type nonces struct {
	mu                sync.Mutex
	current, previous string
	since             time.Time // current is handed out
}

// next returns the nonce to hand out.
func (n *nonces) next() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.turn()
	return n.current
}

// good reports whether a proof may carry the nonce.
func (n *nonces) good(nonce string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.turn()
	return nonce != "" && (nonce == n.current || nonce == n.previous)
}

// renew makes all nonces bad that were handed out.
func (n *nonces) renew() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.current, n.previous, n.since = rand.Text(), "", time.Now()
}

// turn replaces a nonce whose time is over; n.mu is held.
func (n *nonces) turn() {
	age := time.Since(n.since)
	if n.current != "" && age < nonceLife {
		return
	}
	n.previous = n.current
	if age >= 2*nonceLife {
		n.previous = "" // as if somebody had asked in between
	}
	n.current, n.since = rand.Text(), time.Now()
}

// demandNonce refuses a request whose proof lacks the nonce, and tells every
// client which one comes next. A proof that is missing or bad is left to the
// endpoint.
func (s *Server) demandNonce(w http.ResponseWriter, r *http.Request) bool {
	values := r.Header.Values("DPoP")
	if len(values) != 1 || len(values[0]) > maxProof {
		return true
	}
	proof, _, err := openProof(values[0])
	if err != nil {
		return true
	}
	w.Header().Set("DPoP-Nonce", s.nonces.next())
	w.Header().Set("Cache-Control", "no-store")
	if s.nonces.good(proof.Nonce) {
		return true
	}
	status := http.StatusUnauthorized // RFC 9449, section 9
	if r.URL.EscapedPath() == s.tokenPath {
		status = http.StatusBadRequest // section 8
	}
	s.refuse(w, r, status, "use_dpop_nonce", "The DPoP proof lacks the nonce of the DPoP-Nonce header")
	return false
}
