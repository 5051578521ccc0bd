package sandbox

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// A sealer has the key of an organisation that does not exist. BankID seals
// with RSA.
type sealer struct {
	key   *rsa.PrivateKey
	chain []*x509.Certificate // that of the key first, that of the root last
	ca    *certAuthority
}

// newSealer makes a sealer that ca certifies.
func newSealer(ca *certAuthority) (*sealer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("generating the key of the seal: %w", err)
	}
	certificate, err := ca.issueSeal(key.Public())
	if err != nil {
		return nil, err
	}
	return &sealer{key: key, chain: ca.chain(certificate), ca: ca}, nil
}

// response says that the certificate is good. It is an OCSPResponse.
func (s *sealer) response() ([]byte, error) { return s.ca.OCSP(s.chain[0]) }

// basicResponse is the BasicOCSPResponse of response, which BankID hands out but
// for PAdES: https://developer.bankid.no/bankid-esign-provider/apis/b2b/csc/b2b-csc-overview.
func (s *sealer) basicResponse() ([]byte, error) {
	response, err := s.response()
	if err != nil {
		return nil, err
	}
	return basicOCSP(response)
}

// cms seals what has the given SHA-256 hash.
func (s *sealer) cms(hash []byte) ([]byte, error) {
	return cmsSignature{certificate: s.chain[0], key: s.key, include: belowRoot(s.chain)}.detached(hash)
}

// sign signs a hash as PKCS #1 says: with padding v1.5, or with PSS and a salt
// as long as the hash.
func (s *sealer) sign(hash []byte, algorithm crypto.Hash, pss bool) ([]byte, error) {
	if pss {
		return rsa.SignPSS(rand.Reader, s.key, algorithm, hash, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return rsa.SignPKCS1v15(nil, s.key, algorithm, hash)
}
