package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// maxPassiveKeys is how many keys still verify after they were replaced.
const maxPassiveKeys = 3

// signingKeys are the keys of access tokens, in Keycloak's terms: one is active
// and signs, the others are passive and only verify. It is safe for concurrent
// use.
type signingKeys struct {
	mu   sync.RWMutex
	keys []signingKey // the active one first, then from new to old
}

type signingKey struct {
	signer jose.Signer
	public jose.JSONWebKey
}

func newSigningKey() (signingKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signingKey{}, fmt.Errorf("generating a key: %w", err)
	}
	private := jose.JSONWebKey{Key: key, KeyID: "sandbox-" + rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: private},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return signingKey{}, fmt.Errorf("preparing the key: %w", err)
	}
	return signingKey{signer: signer, public: private.Public()}, nil
}

// rotate makes a new key the active one. The others stay as passive ones, or
// are disabled: then nothing that they signed is good any more.
func (s *signingKeys) rotate(disableOld bool) error {
	key, err := newSigningKey()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	passive := s.keys[:min(len(s.keys), maxPassiveKeys)]
	if disableOld {
		passive = nil
	}
	s.keys = append([]signingKey{key}, passive...)
	return nil
}

func (s *signingKeys) active() jose.Signer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys[0].signer
}

// byID returns the public key with a kid.
func (s *signingKeys) byID(kid string) (jose.JSONWebKey, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := slices.IndexFunc(s.keys, func(k signingKey) bool { return k.public.KeyID == kid })
	if i < 0 {
		return jose.JSONWebKey{}, false
	}
	return s.keys[i].public, true
}

// public returns all keys that verify.
func (s *signingKeys) public() jose.JSONWebKeySet {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var set jose.JSONWebKeySet
	for _, key := range s.keys {
		set.Keys = append(set.Keys, key.public)
	}
	return set
}
