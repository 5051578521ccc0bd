package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"sync"
	"time"
)

// CodeVerifier is the code_verifier of the authorization codes that start with
// "sandbox-", which are good without having been issued.
const CodeVerifier = "sandbox-verifier-of-codes-without-a-browser"

// shortcut is what a code starts with that is good without having been issued.
const shortcut = "sandbox-"

// codes keeps the authorization codes of CSC.
type codes struct {
	lifetime time.Duration
	clock    *clock

	mu     sync.Mutex
	issued *recent[string, authorizationCode]
	used   *recent[[sha256.Size]byte, struct{}] // shortcuts, by hash: they have any length
}

// A codeBinding is what a code is bound to: the client and the redirect URI of the
// authorization request (RFC 6749, section 4.1.3), and its code_challenge (RFC 7636,
// section 4.4).
type codeBinding struct {
	clientID    string
	redirectURI [sha256.Size]byte // a hash, because URIs have any length
	challenge   string
}

func newCodeBinding(clientID, redirectURI, challenge string) codeBinding {
	return codeBinding{clientID, sha256.Sum256([]byte(redirectURI)), challenge}
}

// An authorizationCode is a code that was issued.
type authorizationCode struct {
	codeBinding
	issued time.Time
	signer Person
}

func newCodes(lifetime time.Duration, clock *clock) *codes {
	return &codes{
		lifetime: lifetime,
		clock:    clock,

		issued: newRecent[string, authorizationCode](cscRoom),
		used:   newRecent[[sha256.Size]byte, struct{}](cscRoom),
	}
}

// issue makes a code for the consent of a person.
func (c *codes) issue(to codeBinding, signer Person) string {
	code := "SANDBOX-" + rand.Text() // no shortcut, which would be bound to the verifier only
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issued.add(code, authorizationCode{to, c.clock.now(), signer}, 1)
	return code
}

// use uses a code up, and tells who consented and whether it was good.
func (c *codes) use(code string, by codeBinding) (Person, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.HasPrefix(code, shortcut) {
		hash := sha256.Sum256([]byte(code))
		if _, used := c.used.get(hash); used {
			return Person{}, false
		}
		c.used.add(hash, struct{}{}, 1)
		return Persons()[0], by.challenge == codeChallenge(CodeVerifier)
	}
	found, ok := c.issued.get(code)
	if !ok {
		return Person{}, false
	}
	c.issued.remove(code)
	return found.signer, c.clock.now().Sub(found.issued) < c.lifetime && found.codeBinding == by
}
