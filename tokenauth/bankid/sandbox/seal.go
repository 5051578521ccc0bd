package sandbox

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// A sealer has the key of an organisation that does not exist, and the
// certificate for it, which only that key vouches for. BankID seals with RSA.
type sealer struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

func newSealer() (*sealer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject: pkix.Name{
			Country:      []string{"NO"},
			Organization: []string{"SANDBOX, not an organisation"},
			CommonName:   "SANDBOX seal, not BankID",
		},
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.AddDate(1, 0, 0),
		KeyUsage:  x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	return &sealer{key: key, certificate: certificate}, nil
}

// cms seals what has the given SHA-256 hash: see [newCMS].
func (s *sealer) cms(hash []byte) ([]byte, error) {
	return newCMS(s.certificate, hash, func(attributes []byte) ([]byte, error) {
		digest := sha256.Sum256(attributes)
		return rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, digest[:])
	})
}

// sign signs a hash as PKCS #1 says: with padding v1.5, or with PSS and a salt
// as long as the hash.
func (s *sealer) sign(hash []byte, algorithm crypto.Hash, pss bool) ([]byte, error) {
	if pss {
		return rsa.SignPSS(rand.Reader, s.key, algorithm, hash, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return rsa.SignPKCS1v15(nil, s.key, algorithm, hash)
}
