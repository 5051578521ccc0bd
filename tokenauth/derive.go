package tokenauth

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
)

// errNoMaterial is the error if there is no credential to derive a key from.
var errNoMaterial = errors.New("the client has no credential to derive a key from")

// Derive returns a key of the given size in bytes, derived from the client's credential
// (RFC 5869): the private key, or else the secret. It is the same for everybody who has
// the credential. Every purpose must be another text. It is an error if there is no
// credential, or if the bytes of the private key are not known.
func (c Credentials) Derive(purpose string, size int) ([]byte, error) {
	material := []byte(c.ClientSecret.Reveal())
	if c.Key != nil {
		var err error
		if material, err = c.Key.pkcs8(); err != nil {
			return nil, err
		}
	}
	if len(material) == 0 {
		return nil, errNoMaterial
	}
	return hkdf.Key(sha256.New, material, nil, purpose, size)
}
