package archive

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// keySize is the size, in bytes, of keys of AES-256.
const keySize = 32

// sealOverhead is how many bytes longer a sealed piece is: nonce and tag.
const sealOverhead = 12 + 16

// A sealer names and encrypts what is stored, with keys derived from one sealing secret.
type sealer struct {
	names []byte // the key of HMAC
	aead  cipher.AEAD
}

// newSealer derives the keys from a secret.
func newSealer(secret []byte) (*sealer, error) {
	names, err := hkdf.Key(sha256.New, secret, nil, prefix+"name", keySize)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, prefix+"seal", keySize)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	return &sealer{names, aead}, err
}

// newAEAD returns AES-256-GCM with random nonces.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// name returns the name of the download at key.
func (s *sealer) name(key download.Key) string {
	mac := hmac.New(sha256.New, s.names)
	mac.Write(key[:])
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// An id is random and identifies one attempt to download something.
type id [16]byte

// newID returns a new id.
func newID() (i id) {
	_, _ = rand.Read(i[:]) // it never fails
	return i
}
