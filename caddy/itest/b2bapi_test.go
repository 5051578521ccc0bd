package itest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// A b2bAPI simulates BankID's B2B API. It accepts a call only with a token that the issuer
// bound to a key, and with a new proof of that key (RFC 9449 section 7.1). The response is
// what it received.
type b2bAPI struct {
	url    string
	tokens tokenVerifier
	alg    jose.SignatureAlgorithm // of the proofs

	mu       sync.Mutex
	nonce    string   // that proofs must have; empty if they need none
	next     string   // nonce that the next accepted call gets, and that later proofs must have
	calls    int      // number of calls
	asked    int      // calls that were refused only for their nonce
	problems []string // why other calls were refused
	proofs   []proof  // received proofs
	secrets  []string // received tokens and proofs
}

func startB2B(t *testing.T, tokens tokenVerifier) *b2bAPI {
	t.Helper()
	api := &b2bAPI{tokens: tokens, alg: jose.ES256}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	api.url = server.URL
	return api
}

func (api *b2bAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v0/b2b/csc/v2/info" { // the one call without a token
		if r.Header["Authorization"] != nil || r.Header["Dpop"] != nil {
			api.problem("%s came with a token or a proof", r.RequestURI)
		}
		respondReceived(w, r, tokenClaims{})
		return
	}
	p, token, err := api.admit(r)
	if err != nil {
		api.problem("%s %s: %v", r.Method, r.RequestURI, err)
		w.Header().Set("WWW-Authenticate", `DPoP error="invalid_dpop_proof"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	if !api.checkNonce(w, p.Nonce) {
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce", error_description="a nonce is required"`)
		http.Error(w, "a nonce is required", http.StatusUnauthorized)
		return
	}
	respondReceived(w, r, token)
}

// admit checks the call's token and proof, but not the proof's nonce.
func (api *b2bAPI) admit(r *http.Request) (p proof, token tokenClaims, err error) {
	authorization, proofs := r.Header.Values("Authorization"), r.Header.Values("DPoP")
	api.mu.Lock()
	api.calls++
	api.secrets = append(api.secrets, proofs...)
	api.mu.Unlock()
	if len(authorization) != 1 || len(proofs) != 1 {
		return p, token, fmt.Errorf("%d times Authorization, %d times DPoP", len(authorization), len(proofs))
	}
	if p, err = parseProof(proofs[0], api.alg); err != nil {
		return p, token, fmt.Errorf("DPoP: %v", err)
	}
	if api.seen(p) {
		return p, token, fmt.Errorf("DPoP: the jti %s came before", p.ID)
	}
	raw, found := strings.CutPrefix(authorization[0], "DPoP ")
	if !found {
		return p, token, fmt.Errorf("the scheme of Authorization is not DPoP")
	}
	api.mu.Lock()
	api.secrets = append(api.secrets, raw)
	api.mu.Unlock()
	if token, err = api.tokens.verify(r.Context(), raw); err != nil {
		return p, token, err
	}
	return p, token, p.checkFor(r.Method, api.url+r.URL.EscapedPath(), raw, token)
}

// seen records the proof and reports whether its jti came before.
func (api *b2bAPI) seen(p proof) bool {
	api.mu.Lock()
	defer api.mu.Unlock()
	before := slices.ContainsFunc(api.proofs, func(q proof) bool { return q.ID == p.ID })
	api.proofs = append(api.proofs, p)
	return before
}

// checkNonce reports whether the nonce is right, and sends the caller the nonce to use from
// now on.
func (api *b2bAPI) checkNonce(w http.ResponseWriter, nonce string) bool {
	api.mu.Lock()
	defer api.mu.Unlock()
	if api.nonce != "" && nonce != api.nonce {
		w.Header().Set("DPoP-Nonce", api.nonce)
		api.asked++
		return false
	}
	if api.next != "" {
		w.Header().Set("DPoP-Nonce", api.next)
		api.nonce, api.next = api.next, ""
	}
	return true
}

// demand makes the API demand a nonce that it has not sent yet.
func (api *b2bAPI) demand(nonce string) {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.nonce = nonce
}

// announce makes the API send a nonce with its next successful response, and demand it from
// then on.
func (api *b2bAPI) announce(nonce string) {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.next = nonce
}

func (api *b2bAPI) problem(format string, args ...any) {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.problems = append(api.problems, fmt.Sprintf(format, args...))
}

// counts returns how many calls came since the last time, and how many of them were refused
// for their nonce.
func (api *b2bAPI) counts() (calls, asked int) {
	api.mu.Lock()
	defer api.mu.Unlock()
	calls, asked = api.calls, api.asked
	api.calls, api.asked = 0, 0
	return calls, asked
}
