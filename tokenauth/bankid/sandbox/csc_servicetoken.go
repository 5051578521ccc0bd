package sandbox

import (
	"crypto/rand"
	"sync"
	"time"
)

// cscRoom is how many codes, and how many service tokens, are remembered.
const cscRoom = 10_000

// serviceTokens keeps the service tokens of CSC. They are single-use per
// endpoint, in a fixed order; see
// https://developer.bankid.no/bankid-esign-provider/release-notes/release-notes-csc.
type serviceTokens struct {
	lifetime    time.Duration
	sadLifetime time.Duration
	clock       *clock

	mu     sync.Mutex
	issued *recent[string, *serviceToken]
}

// A serviceToken authorizes one call of each endpoint.
type serviceToken struct {
	client string // that got it
	issued time.Time
	// credential is that of the person who consented. It is made when it is first needed.
	credential func() (*credential, error)
	at         step // the last one it was used for
	sad        activation
}

// An activation is the signature activation data that credentials/authorize
// gave for a service token. It is single-use because signHash is.
type activation struct {
	value  string // "" if there is none
	issued time.Time
	hashes fingerprint
}

// A step is an endpoint in the order of a signing journey.
type step int

const (
	start step = iota
	credentialsList
	credentialsInfo
	credentialsAuthorize
	signHash
)

// after is the step that a step cannot do without. credentials/info may be left
// out.
func (s step) after() step {
	switch s {
	case credentialsInfo, credentialsAuthorize:
		return credentialsList
	case signHash:
		return credentialsAuthorize
	default:
		return start
	}
}

func newServiceTokens(lifetime, sadLifetime time.Duration, clock *clock) *serviceTokens {
	return &serviceTokens{lifetime: lifetime, sadLifetime: sadLifetime, clock: clock, issued: newRecent[string, *serviceToken](cscRoom)}
}

// issue makes a service token for a client.
func (t *serviceTokens) issue(client string, makeCredential func() (*credential, error)) string {
	token := "sandbox-" + rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.issued.add(token, &serviceToken{client: client, issued: t.clock.now(), credential: sync.OnceValues(makeCredential)}, 1)
	return token
}

// client returns who got a service token, "" if there is none.
func (t *serviceTokens) client(token string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.issued.get(token)
	if !ok {
		return ""
	}
	return found.client
}

// A spending is what came of presenting a service token.
type spending int

const (
	spent spending = iota
	spentBefore
	outOfOrder
	unknownToken
)

// spend uses a service token for a step. A step that was left out cannot be
// made up for.
func (t *serviceTokens) spend(token string, next step) (*serviceToken, spending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.issued.get(token)
	switch {
	case !ok, t.clock.now().Sub(found.issued) >= t.lifetime:
		return nil, unknownToken
	case found.at >= next:
		return nil, spentBefore
	case found.at < next.after():
		return nil, outOfOrder
	}
	found.at = next
	return found, spent
}

// activate makes signature activation data for hashes.
func (t *serviceTokens) activate(token *serviceToken, h fingerprint) string {
	sad := "sandbox-" + rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	token.sad = activation{value: sad, issued: t.clock.now(), hashes: h}
	return sad
}

// A redemption is what came of presenting signature activation data.
type redemption int

const (
	redeemed redemption = iota
	unknownSAD
	expiredSAD
	otherHashes
)

// redeem tells whether the signature activation data is good for hashes.
func (t *serviceTokens) redeem(token *serviceToken, sad string, h fingerprint) redemption {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case sad == "" || sad != token.sad.value:
		return unknownSAD
	case t.clock.now().Sub(token.sad.issued) >= t.sadLifetime:
		return expiredSAD
	case h != token.sad.hashes:
		return otherHashes
	default:
		return redeemed
	}
}
