package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"time"
)

// certLifetime is how long certificates of the sandbox are valid. It is short,
// since the key of the authority lives no longer than the process.
const certLifetime = 365 * 24 * time.Hour

// A certAuthority issues the certificates of one sandbox. It is thrown away
// with it, so nobody can come to trust it by mistake.
type certAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertAuthority() (*certAuthority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	ca := &certAuthority{key: key, cert: &x509.Certificate{
		Subject:               sandboxName("SANDBOX CA, not to be trusted"),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}}
	ca.cert, err = ca.issue(ca.cert, key.Public()) // its own issuer
	return ca, err
}

// issue makes a certificate of the template's subject, usages and extensions.
func (ca *certAuthority) issue(template *x509.Certificate, public any) (*x509.Certificate, error) {
	template.SerialNumber = serialNumber()
	template.NotBefore = time.Now().Add(-time.Minute) // for a verifier whose clock is behind
	template.NotAfter = time.Now().Add(certLifetime)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// sandboxName is the distinguished name of the organisation that the sandbox plays.
func sandboxName(common string) pkix.Name {
	return pkix.Name{Country: []string{"NO"}, Organization: []string{"SANDBOX, for tests only"}, CommonName: common}
}

// serialNumber returns a number that was not used before, of at most 20 octets
// (RFC 5280, section 4.1.2.2).
func serialNumber() *big.Int {
	var octets [20]byte
	_, _ = rand.Read(octets[:])                    // never fails
	octets[0] = octets[0]&0b0011_1111 | 0b01000000 // positive, and always as long
	return new(big.Int).SetBytes(octets[:])
}

// caCertificate serves the certificate of the authority, in PEM, to a client that
// verifies what the sandbox issues. BankID has no such endpoint.
func (s *Server) caCertificate(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: s.ca.cert.Raw})
}
