package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"
)

// certificateLifetime outlives every process.
const certificateLifetime = 10 * 365 * 24 * time.Hour

// authority is a certification authority that lives as long as its sandbox and
// that nobody has a reason to trust.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of the authority: %w", err)
	}
	template := certificateTemplate("SANDBOX CA, not to be trusted", x509.KeyUsageCertSign|x509.KeyUsageCRLSign)
	template.IsCA = true
	template.BasicConstraintsValid = true
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &authority{certificate: certificate, key: key}, nil
}

// issue certifies a key.
func (a *authority) issue(commonName string, usage x509.KeyUsage, key crypto.PublicKey) (*x509.Certificate, error) {
	return sign(certificateTemplate(commonName, usage), a.certificate, key, a.key)
}

// certificateTemplate is a certificate whose validity began an hour ago, for
// those whose clock is behind.
func certificateTemplate(commonName string, usage x509.KeyUsage) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:   pkix.Name{Country: []string{"NO"}, Organization: []string{"SANDBOX"}, CommonName: commonName},
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.Add(certificateLifetime),
		KeyUsage:  usage,
	}
}

func sign(template, issuer *x509.Certificate, key crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key, by)
	if err != nil {
		return nil, fmt.Errorf("certifying %q: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}
