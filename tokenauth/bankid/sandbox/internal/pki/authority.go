// Package pki is a small public key infrastructure for tests: certification authorities
// (RFC 5280), their revocation lists, and their OCSP responders (RFC 6960). Nothing is
// ever revoked.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// reach is for how many years before and after its creation a root is valid. It is long,
// so that certificates stay valid if the clock is moved.
const reach = 10

// An Authority issues certificates. It is safe for concurrent use.
type Authority struct {
	// Certificate is that of the authority.
	Certificate *x509.Certificate

	// Responder is the certificate of the OCSP responder. It is nil if [Places] name
	// none.
	Responder *x509.Certificate

	parent       *Authority // nil for a root
	places       Places
	key          *ecdsa.PrivateKey
	responderKey *ecdsa.PrivateKey
	mark         [sha256.Size]byte // secret that tells serial numbers of the authority from others
	now          func() time.Time
}

// Places are URLs about an authority. They are in the certificates that it issues. An
// empty one is left out.
type Places struct {
	Certificate string // of the authority's certificate, in DER
	CRL         string // of the revocation list, in DER
	OCSP        string // of the OCSP responder
}

// NewRoot makes an authority that certifies itself. The time is what now returns.
func NewRoot(name pkix.Name, places Places, now func() time.Time) (*Authority, error) {
	return newAuthority(nil, name, places, now)
}

// NewSubordinate makes an authority that a certifies, and that certifies no other one.
func (a *Authority) NewSubordinate(name pkix.Name, places Places) (*Authority, error) {
	return newAuthority(a, name, places, a.now)
}

func newAuthority(parent *Authority, name pkix.Name, places Places, now func() time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", name.CommonName, err)
	}
	a := &Authority{parent: parent, places: places, key: key, now: now}
	_, _ = rand.Read(a.mark[:]) // never fails
	template := &x509.Certificate{
		Subject:               name,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if parent == nil {
		template.NotBefore, template.NotAfter = now().AddDate(-reach, 0, 0), now().AddDate(reach, 0, 0)
		a.Certificate = template // its own issuer
		a.Certificate, err = a.create(template, key.Public(), Places{})
	} else {
		template.MaxPathLenZero = true
		template.Policies = []x509.OID{anyPolicy()}
		a.Certificate, err = parent.Issue(template, key.Public())
	}
	if err != nil || places.OCSP == "" {
		return a, err
	}
	return a, a.newResponder(name)
}

// Chain returns the certificates of the authority and of those above it, that of the root
// last.
func (a *Authority) Chain() []*x509.Certificate {
	if a.parent == nil {
		return []*x509.Certificate{a.Certificate}
	}
	return append([]*x509.Certificate{a.Certificate}, a.parent.Chain()...)
}

// Issue makes a certificate with the template's subject, usages, policies and extensions.
// If the template has no times, it is valid as long as the authority.
func (a *Authority) Issue(template *x509.Certificate, public any) (*x509.Certificate, error) {
	return a.create(template, public, a.places)
}

func (a *Authority) create(template *x509.Certificate, public any, places Places) (*x509.Certificate, error) {
	certificate := *template
	certificate.SerialNumber = a.newSerialNumber()
	if certificate.NotAfter.IsZero() {
		certificate.NotBefore, certificate.NotAfter = a.Certificate.NotBefore, a.Certificate.NotAfter
	}
	certificate.IssuingCertificateURL = given(places.Certificate)
	certificate.CRLDistributionPoints = given(places.CRL)
	certificate.OCSPServer = given(places.OCSP)
	der, err := x509.CreateCertificate(rand.Reader, &certificate, a.Certificate, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// given returns the list of a URL that may be left out.
func given(url string) []string {
	if url == "" {
		return nil
	}
	return []string{url}
}

// The two parts of a serial number, in octets.
const (
	serialRandom = 12
	serialMark   = 8
)

// newSerialNumber returns a number that was not used before, of 20 octets (RFC 5280,
// section 4.1.2.2). Its end shows that the authority has issued it.
func (a *Authority) newSerialNumber() *big.Int {
	octets := make([]byte, serialRandom, serialRandom+serialMark)
	_, _ = rand.Read(octets)                        // never fails
	octets[0] = octets[0]&0b0011_1111 | 0b0100_0000 // positive, and always as long
	return new(big.Int).SetBytes(append(octets, a.markOf(octets)...))
}

// issued reports whether the authority has made a serial number.
func (a *Authority) issued(number *big.Int) bool {
	octets := number.Bytes()
	if len(octets) != serialRandom+serialMark {
		return false
	}
	return hmac.Equal(octets[serialRandom:], a.markOf(octets[:serialRandom]))
}

func (a *Authority) markOf(octets []byte) []byte {
	mac := hmac.New(sha256.New, a.mark[:])
	mac.Write(octets)
	return mac.Sum(nil)[:serialMark]
}

// anyPolicy is that of RFC 5280, section 4.2.1.4.
func anyPolicy() x509.OID {
	oid, _ := x509.OIDFromInts([]uint64{2, 5, 29, 32, 0}) // a valid one
	return oid
}
