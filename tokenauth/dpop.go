package tokenauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// A prover makes DPoP proofs with one key (RFC 9449).
type prover struct {
	key    *Key
	alg    string
	header []byte // of every proof, in JSON
}

// newProver returns a prover for key, with an algorithm among supported.
func newProver(key *Key, supported []string) (*prover, error) {
	alg, err := key.algorithm(supported)
	if err != nil {
		return nil, err
	}
	// RFC 9449 section 4.2: the jwk has only the members of the public key.
	public := key.public
	public.KeyID, public.Algorithm, public.Use = "", "", ""
	header, err := json.Marshal(struct {
		Type string `json:"typ"`
		Alg  string `json:"alg"`
		JWK  any    `json:"jwk"`
	}{"dpop+jwt", alg, public})
	return &prover{key, alg, header}, err
}

// proof makes a proof for one request, with a new jti. token is the access token in the
// same request, or nil.
func (p *prover) proof(ctx context.Context, method string, u *url.URL, nonce string, token *Token, now time.Time) (string, error) {
	claims := struct {
		ID       string `json:"jti"`
		Method   string `json:"htm"`
		URL      string `json:"htu"`
		IssuedAt int64  `json:"iat"`
		Token    string `json:"ath,omitempty"`
		Nonce    string `json:"nonce,omitempty"`
	}{rand.Text(), method, proofURL(u), now.Unix(), "", nonce}
	if token != nil {
		sum := sha256.Sum256([]byte(token.secret.Reveal()))
		claims.Token = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return p.key.sign(ctx, p.alg, p.header, claims)
}

// proofURL returns the htu of a request to u: without query and fragment (RFC 9449 section
// 4.2), and without the default port.
func proofURL(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + CanonicalHost(u) + path
}

// maxNonces is how many origins' nonces are kept.
const maxNonces = 16

// nonces holds the last nonce of each server, by origin (RFC 9449 section 8). The zero value
// is empty. It is safe for concurrent use, and get takes no lock: all calls need it.
type nonces struct {
	mu       sync.Mutex                        // held while byOrigin is replaced
	byOrigin atomic.Pointer[map[string]string] // not changed any more
}

// get returns the nonce for the server of u, or "" if there is none.
func (n *nonces) get(u *url.URL) string {
	byOrigin := n.byOrigin.Load()
	if byOrigin == nil {
		return ""
	}
	return (*byOrigin)[origin(u)]
}

// keep remembers a nonce of the server of u.
func (n *nonces) keep(u *url.URL, nonce string) {
	if nonce == "" || n.get(u) == nonce {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	next := make(map[string]string)
	if before := n.byOrigin.Load(); before != nil {
		if _, known := (*before)[origin(u)]; known || len(*before) < maxNonces {
			maps.Copy(next, *before)
		}
	}
	next[origin(u)] = nonce
	n.byOrigin.Store(&next)
}

// origin returns the scheme and host of u.
func origin(u *url.URL) string { return u.Scheme + "://" + CanonicalHost(u) }
