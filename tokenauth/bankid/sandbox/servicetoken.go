package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"sync"
	"time"
)

const (
	// serviceTokenLifetime is an assumption; BankID documents none.
	serviceTokenLifetime = 300 * time.Second

	// cscRoom is how many codes, and how many service tokens, are remembered.
	cscRoom = 10_000
)

// cscTokens keeps the single-use codes and service tokens of CSC; see
// https://developer.bankid.no/bankid-esign-provider/release-notes/release-notes-csc.
type cscTokens struct {
	mu     sync.Mutex
	codes  *recent[[sha256.Size]byte, struct{}] // used ones, by hash: codes have any length
	issued *recent[string, *serviceToken]
}

// A serviceToken authorizes one call of each endpoint.
type serviceToken struct {
	issued time.Time
	used   map[string]bool // by endpoint
}

func newCSCTokens() *cscTokens {
	return &cscTokens{
		codes:  newRecent[[sha256.Size]byte, struct{}](cscRoom),
		issued: newRecent[string, *serviceToken](cscRoom),
	}
}

// exchange turns an unused authorization code into a service token.
func (c *cscTokens) exchange(code string) (string, bool) {
	if !strings.HasPrefix(code, "sandbox-") {
		return "", false
	}
	hash := sha256.Sum256([]byte(code))
	token := "sandbox-" + rand.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, used := c.codes.get(hash); used {
		return "", false
	}
	c.codes.add(hash, struct{}{}, 1)
	c.issued.add(token, &serviceToken{issued: time.Now(), used: make(map[string]bool)}, 1)
	return token, true
}

// A spending is what came of presenting a service token.
type spending int

const (
	spent spending = iota
	spentBefore
	unknownToken
)

// spend uses a service token at an endpoint.
func (c *cscTokens) spend(token, endpoint string) spending {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.issued.get(token)
	switch {
	case !ok, time.Since(found.issued) >= serviceTokenLifetime:
		return unknownToken
	case found.used[endpoint]:
		return spentBefore
	}
	found.used[endpoint] = true
	return spent
}
