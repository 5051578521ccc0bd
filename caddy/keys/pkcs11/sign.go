package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"
)

// A signer signs with a key on a token. It implements tokenauth.Signer.
type signer struct {
	key    *Key
	public crypto.PublicKey
}

// Public implements tokenauth.Signer.
func (s *signer) Public() crypto.PublicKey { return s.public }

// errReplaced is the error if another key has the name now.
var errReplaced = errors.New("another key has the name now: give each key a name of its own")

// Sign implements tokenauth.Signer.
func (s *signer) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	mechanism, input, err := s.mechanism(digest, opts)
	if err != nil {
		return nil, err
	}
	made := make(chan []byte, 1) // the call may go on when nobody waits any more
	token := s.key.token
	err = token.do(ctx, func(session *session) error {
		key, err := session.key(s.key.name)
		if err != nil {
			return err
		}
		if public, ok := key.public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(s.public) {
			return fmt.Errorf("its key with %v: %w", s.key.name, errReplaced)
		}
		switch err := session.SignInit(session.handle, []*pkcs11.Mechanism{mechanism}, key.private); {
		case is(err, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED):
			return fmt.Errorf("its key with %v is not for signatures (CKA_SIGN): make another key (%w)", s.key.name, err)
		case err != nil:
			return fmt.Errorf("signing: %w", err)
		}
		signature, err := session.Sign(session.handle, input)
		if err != nil {
			return fmt.Errorf("signing: %w", err)
		}
		made <- signature
		return nil
	})
	token.library.outages.Note(ctx, s.key.String(), err)
	if err != nil {
		return nil, fmt.Errorf("the PKCS#11 token '%s': %w", token.label, err)
	}
	signature := <-made
	if _, ok := s.public.(*ecdsa.PublicKey); ok {
		return toASN1(signature)
	}
	return signature, nil
}

// mechanism returns the mechanism for opts, and what it signs.
func (s *signer) mechanism(digest []byte, opts crypto.SignerOpts) (*pkcs11.Mechanism, []byte, error) {
	hash := opts.HashFunc()
	if len(digest) != hash.Size() {
		return nil, nil, errors.New("the digest has another length than its hash function gives")
	}
	if _, ok := s.public.(*ecdsa.PublicKey); ok {
		return pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil), digest, nil
	}
	known := map[crypto.Hash]struct {
		mechanism, mgf uint
		prefix         []byte // of DigestInfo (RFC 8017 section 9.2)
	}{
		crypto.SHA256: {pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}},
		crypto.SHA384: {pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384, []byte{0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30}},
		crypto.SHA512: {pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512, []byte{0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40}},
	}
	with, ok := known[hash]
	if !ok {
		return nil, nil, fmt.Errorf("the hash function %v is not supported", hash)
	}
	if _, pss := opts.(*rsa.PSSOptions); pss {
		parameters := pkcs11.NewPSSParams(with.mechanism, with.mgf, uint(hash.Size()))
		return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, parameters), digest, nil
	}
	return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil), append(with.prefix, digest...), nil
}

// toASN1 returns an ECDSA signature, which PKCS#11 has as r and s, one after the other, in
// ASN.1.
func toASN1(signature []byte) ([]byte, error) {
	if len(signature) == 0 || len(signature)%2 != 0 {
		return nil, errors.New("the module's signature is not two numbers of the same length")
	}
	r, s := signature[:len(signature)/2], signature[len(signature)/2:]
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
}
