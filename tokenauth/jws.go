package tokenauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// sign returns claims, signed by k with alg, as a JWS in compact form (RFC 7515 section
// 3.1). header is the protected header in JSON. A library would do more work, and every
// DPoP call needs a signature.
func (k *Key) sign(alg string, header []byte, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encoding := base64.RawURLEncoding
	input := encoding.EncodeToString(header) + "." + encoding.EncodeToString(payload)
	signature, err := k.signature(alg, []byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + encoding.EncodeToString(signature), nil
}

// signature returns the signature of input with alg (RFC 7518 section 3, RFC 8037).
func (k *Key) signature(alg string, input []byte) ([]byte, error) {
	if private, ok := k.private.Signer.(ed25519.PrivateKey); ok {
		return ed25519.Sign(private, input), nil
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	h := hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch private := k.private.Signer.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest)
		if err != nil {
			return nil, err
		}
		size := (private.Curve.Params().BitSize + 7) / 8
		signature := make([]byte, 2*size)
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
		return signature, nil
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			return rsa.SignPSS(rand.Reader, private, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, private, hash, digest)
	}
	return nil, fmt.Errorf("a key of type %T cannot sign", k.private.Signer)
}
