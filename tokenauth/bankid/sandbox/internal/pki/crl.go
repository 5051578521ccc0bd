package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

// crlLifetime is how long a revocation list may be used.
const crlLifetime = 24 * time.Hour

// CRL returns the authority's revocation list of now, in DER. It is empty.
func (a *Authority) CRL() ([]byte, error) {
	since, err := a.since()
	if err != nil {
		return nil, err
	}
	now := a.now().UTC()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number:     big.NewInt(now.UnixMicro()), // of a later list, it is greater
		ThisUpdate: now,
		NextUpdate: now.Add(crlLifetime),
		// expiredCertsOnCRL (ITU-T X.509, section 9.5.2.8): the list tells about
		// certificates that have expired, too.
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 60}, Value: since}},
	}, a.Certificate, a.key)
	if err != nil {
		return nil, fmt.Errorf("revocation list of %s: %w", a.Certificate.Subject.CommonName, err)
	}
	return der, nil
}

// since is the time from that on the authority tells about certificates that have expired:
// a GeneralizedTime in DER.
func (a *Authority) since() ([]byte, error) {
	return asn1.MarshalWithParams(a.Certificate.NotBefore.UTC(), "generalized")
}
