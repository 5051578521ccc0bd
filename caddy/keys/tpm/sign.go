package tpm

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// An object is a key that can be loaded.
type object interface {
	// area returns its public area.
	area() *tpm2.TPMTPublic

	// identity tells it from other keys, and from the same key with another
	// authorization value.
	identity() string

	// load has the TPM load it. Who calls it must call done if there is no error.
	load(d *device, tpm transport.TPM) (key loaded, done func(), err error)
}

// A signer signs with a key in a TPM. It implements tokenauth.Signer.
type signer struct {
	key    *Key
	object object
	public crypto.PublicKey
}

// Public implements tokenauth.Signer.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign implements tokenauth.Signer.
func (s *signer) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	scheme, err := s.scheme(digest, opts)
	if err != nil {
		return nil, err
	}
	made := make(chan tpm2.TPMTSignature, 1) // the call may go on when nobody waits any more
	d := s.key.device
	auth, err := s.key.auth(ctx)
	if err == nil {
		err = checkAuth(auth, s.object.area().NameAlg)
	}
	if err == nil {
		err = d.do(ctx, func(tpm transport.TPM) error {
			signature, err := s.sign(tpm, auth, digest, scheme)
			if err == nil {
				made <- signature
			}
			return err
		})
	}
	d.outages.Note(ctx, s.key.String(), err)
	if err != nil {
		return nil, fmt.Errorf("the TPM (%s): %w", d.address, err)
	}
	signature, err := encoded(<-made)
	if err != nil {
		return nil, err
	}
	return signature, s.checkSalt(digest, signature, opts)
}

// errSalt is the error if the TPM makes signatures that other software refuses.
var errSalt = errors.New("the TPM makes RSASSA-PSS signatures with another salt than JWS demands: the OpenID provider must accept RS256, or use an EC key")

// checkSalt returns errSalt if an RSASSA-PSS signature has a salt that is not as long as the
// hash, which JWS demands (RFC 7518 section 3.5). Some TPMs take the longest that fits.
func (s *signer) checkSalt(digest, signature []byte, opts crypto.SignerOpts) error {
	public, ok := s.public.(*rsa.PublicKey)
	if _, pss := opts.(*rsa.PSSOptions); !ok || !pss {
		return nil
	}
	if rsa.VerifyPSS(public, opts.HashFunc(), digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) != nil {
		return errSalt
	}
	return nil
}

// sign signs with an authorization value, which may be empty.
func (s *signer) sign(tpm transport.TPM, auth tokenauth.Secret, digest []byte, scheme tpm2.TPMTSigScheme) (signature tpm2.TPMTSignature, err error) {
	d := s.key.device
	session := tpm2.PasswordAuth(nil)
	if !auth.Empty() {
		var end func()
		if session, end, err = d.session(tpm, tpm2.Auth([]byte(auth.Reveal()))); err != nil {
			return signature, err
		}
		defer end()
	}
	key, done, err := s.object.load(d, tpm)
	if err != nil {
		return signature, err
	}
	defer done()
	err = d.guard(s.object.identity()).use(tpm, !s.object.area().ObjectAttributes.NoDA, auth, func() error {
		response, err := command(key, session, digest, scheme).Execute(tpm)
		if err != nil {
			return fmt.Errorf("signing: %w", err)
		}
		signature = response.Signature
		return nil
	})
	return signature, err
}

// command returns the command that signs with a loaded key.
func command(key loaded, session tpm2.Session, digest []byte, scheme tpm2.TPMTSigScheme) tpm2.Sign {
	return tpm2.Sign{
		KeyHandle:  tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: session},
		Digest:     tpm2.TPM2BDigest{Buffer: digest},
		InScheme:   scheme,
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}
}

// session starts a session, in which an authorization value is proved and not sent. Its key
// comes from a salt that is encrypted for a key of the TPM. So who listens on the bus between
// processor and TPM learns nothing that helps to guess the value. It does not help
// against somebody who can change what is on the bus, since that could be the TPM's key.
//
// The key is the primary of the null hierarchy, which every TPM can make, and which needs
// no password.
func (d *device) session(tpm transport.TPM, option tpm2.AuthOption) (s tpm2.Session, end func(), err error) {
	salt, err := d.primary(tpm, primary{hierarchy: tpm2.TPMRHNull})
	if err != nil {
		return nil, nil, err
	}
	defer unload(tpm, salt.Handle)
	public, err := salt.public.Contents()
	if err != nil {
		return nil, nil, err
	}
	s, flush, err := tpm2.HMACSession(tpm, tpm2.TPMAlgSHA256, 16, tpm2.Salted(salt.Handle, *public), option)
	if err != nil {
		return nil, nil, fmt.Errorf("starting a session: %w", err)
	}
	return s, func() { _ = flush() }, nil
}

// scheme returns the scheme for opts.
func (s *signer) scheme(digest []byte, opts crypto.SignerOpts) (tpm2.TPMTSigScheme, error) {
	hash := opts.HashFunc()
	if len(digest) != hash.Size() {
		return tpm2.TPMTSigScheme{}, errors.New("the digest has another length than its hash function gives")
	}
	alg, ok := map[crypto.Hash]tpm2.TPMIAlgHash{
		crypto.SHA256: tpm2.TPMAlgSHA256, crypto.SHA384: tpm2.TPMAlgSHA384, crypto.SHA512: tpm2.TPMAlgSHA512,
	}[hash]
	if !ok {
		return tpm2.TPMTSigScheme{}, fmt.Errorf("the hash function %v is not supported", hash)
	}
	scheme := tpm2.TPMAlgECDSA
	if _, ok := s.public.(*rsa.PublicKey); ok {
		scheme = tpm2.TPMAlgRSASSA
	}
	if _, ok := opts.(*rsa.PSSOptions); ok {
		scheme = tpm2.TPMAlgRSAPSS
	}
	return tpm2.TPMTSigScheme{Scheme: scheme, Details: tpm2.NewTPMUSigScheme(scheme, &tpm2.TPMSSchemeHash{HashAlg: alg})}, nil
}

// encoded returns a signature as tokenauth.Signer gives it.
func encoded(signature tpm2.TPMTSignature) ([]byte, error) {
	switch signature.SigAlg {
	case tpm2.TPMAlgECDSA:
		ec, err := signature.Signature.ECDSA()
		if err != nil {
			return nil, err
		}
		return asn1.Marshal(struct{ R, S *big.Int }{
			new(big.Int).SetBytes(ec.SignatureR.Buffer), new(big.Int).SetBytes(ec.SignatureS.Buffer),
		})
	case tpm2.TPMAlgRSASSA:
		s, err := signature.Signature.RSASSA()
		if err != nil {
			return nil, err
		}
		return s.Sig.Buffer, nil
	case tpm2.TPMAlgRSAPSS:
		s, err := signature.Signature.RSAPSS()
		if err != nil {
			return nil, err
		}
		return s.Sig.Buffer, nil
	default:
		return nil, errors.New("the TPM's signature is not one that was asked for")
	}
}
