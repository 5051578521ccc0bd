package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"sync"
	"time"
)

// shortcut is what a code starts with that is good without having been issued.
const shortcut = "sandbox-"

// codes keeps the authorization codes of CSC.
type codes struct {
	lifetime time.Duration

	mu     sync.Mutex
	issued *recent[string, authorizationCode]
	used   *recent[[sha256.Size]byte, struct{}] // shortcuts, by hash: they have any length
}

// An authorizationCode is bound to where it was sent (RFC 6749, section 4.1.3).
type authorizationCode struct {
	issued      time.Time
	redirectURI [sha256.Size]byte // a hash, because URIs have any length
}

func newCodes(lifetime time.Duration) *codes {
	return &codes{
		lifetime: lifetime,

		issued: newRecent[string, authorizationCode](cscRoom),
		used:   newRecent[[sha256.Size]byte, struct{}](cscRoom),
	}
}

// issue makes a code.
func (c *codes) issue(redirectURI string) string {
	code := "SANDBOX-" + rand.Text() // no shortcut, which would be bound to nothing
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issued.add(code, authorizationCode{issued: time.Now(), redirectURI: sha256.Sum256([]byte(redirectURI))}, 1)
	return code
}

// use uses a code up, and tells whether it was good.
func (c *codes) use(code, redirectURI string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.HasPrefix(code, shortcut) {
		hash := sha256.Sum256([]byte(code))
		if _, used := c.used.get(hash); used {
			return false
		}
		c.used.add(hash, struct{}{}, 1)
		return true
	}
	found, ok := c.issued.get(code)
	if !ok {
		return false
	}
	c.issued.remove(code)
	return time.Since(found.issued) < c.lifetime && found.redirectURI == sha256.Sum256([]byte(redirectURI))
}
