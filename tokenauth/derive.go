package tokenauth

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
)

// errNoMaterial is the error if there is no credential to derive a key from.
var errNoMaterial = errors.New("the client has no credential to derive a key from")

// Derive returns a key of the given size in bytes, derived (RFC 5869) from ShareSecret if
// there is one, or else from the client's credential: the private key, or the secret. It
// is the same for everybody who has that. Every purpose must be another text. It is an
// error if there is no credential, or if the bytes of the private key are not known.
func (c Credentials) Derive(purpose string, size int) ([]byte, error) {
	material, err := c.material()
	if err != nil {
		return nil, err
	}
	return hkdf.Key(sha256.New, material, nil, purpose, size)
}

// material returns what keys are derived from.
func (c Credentials) material() ([]byte, error) {
	switch {
	case !c.ShareSecret.Empty():
		return []byte(c.ShareSecret.Reveal()), nil
	case c.Key != nil:
		return c.Key.pkcs8()
	case c.ClientSecret.Empty():
		return nil, errNoMaterial
	}
	return []byte(c.ClientSecret.Reveal()), nil
}
