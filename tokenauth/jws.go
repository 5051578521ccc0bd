package tokenauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// sign returns claims, signed by k with alg, as a JWS in compact form (RFC 7515 section
// 3.1). header is the protected header in JSON. A library would do more work, and every
// DPoP call needs a signature.
func (k *Key) sign(ctx context.Context, alg string, header []byte, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encoding := base64.RawURLEncoding
	input := encoding.EncodeToString(header) + "." + encoding.EncodeToString(payload)
	signature, err := k.signature(ctx, alg, []byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + encoding.EncodeToString(signature), nil
}

// signature returns the signature of input with alg (RFC 7518 section 3, RFC 8037). A key
// in memory needs no lock, and does not look at ctx.
func (k *Key) signature(ctx context.Context, alg string, input []byte) ([]byte, error) {
	if _, ok := k.public.Key.(ed25519.PublicKey); ok {
		if k.private.outside != nil {
			return k.signOutside(ctx, input, crypto.Hash(0))
		}
		return k.private.Sign(nil, input, crypto.Hash(0))
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
		return joined(private.Curve, r, s), nil
	case *rsa.PrivateKey:
		if options, ok := signerOptions(alg, hash).(*rsa.PSSOptions); ok {
			return rsa.SignPSS(rand.Reader, private, hash, digest, options)
		}
		return rsa.SignPKCS1v15(rand.Reader, private, hash, digest)
	}
	if k.private.outside != nil {
		signature, err := k.signOutside(ctx, digest, signerOptions(alg, hash))
		if public, ok := k.public.Key.(*ecdsa.PublicKey); ok && err == nil {
			return fromASN1(public.Curve, signature)
		}
		return signature, err
	}
	return nil, fmt.Errorf("a key of type %T cannot sign", k.private.Signer)
}

// signerOptions returns the options of crypto.Signer for alg.
func signerOptions(alg string, hash crypto.Hash) crypto.SignerOpts {
	if strings.HasPrefix(alg, "PS") {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	return hash
}

// errSignature is the error for a signature of a Signer that is not one.
var errSignature = errors.New("it is not an ECDSA signature in ASN.1")

// fromASN1 returns an ECDSA signature in the form of JWS (RFC 7518 section 3.4).
func fromASN1(curve elliptic.Curve, signature []byte) ([]byte, error) {
	var parts struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(signature, &parts); err != nil || len(rest) > 0 {
		return nil, &KeyError{Err: errSignature}
	}
	for _, part := range []*big.Int{parts.R, parts.S} {
		if part.Sign() <= 0 || part.Cmp(curve.Params().N) >= 0 {
			return nil, &KeyError{Err: errSignature}
		}
	}
	return joined(curve, parts.R, parts.S), nil
}

// joined returns r and s, one after the other, each as long as an integer of the curve.
func joined(curve elliptic.Curve, r, s *big.Int) []byte {
	size := (curve.Params().BitSize + 7) / 8
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return signature
}
