package sandbox

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pki"
)

// personLifetime is how long a person's certificate is valid, as at BankID: it is made for
// one signature.
const personLifetime = 15 * time.Minute

// disclosureURL is where a qualified certificate says that its disclosure statement is.
// The sandbox has none, and the name never resolves (RFC 6761, section 6.4).
const disclosureURL = "https://sandbox.invalid/pds"

// organizationNumber is that of the organisation whose seal the sandbox has: a number from
// the range of synthetic ones.
const organizationNumber = "310000000"

// issuePerson makes a certificate as those of BankID for signatures: with its policy and
// that of qualified certificates with a key in a device (ETSI EN 319 411-2), and with
// BankID's extensions. With nnin, one of them is the national identity number.
func (ca *certAuthority) issuePerson(p Person, nnin bool, public crypto.PublicKey) (*x509.Certificate, error) {
	extensions, err := personExtensions(p, nnin)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", p.Name(), err)
	}
	now := ca.clock.now()
	return ca.Issue(&x509.Certificate{
		Subject: pkix.Name{
			Country: []string{"NO"}, CommonName: p.Name(), SerialNumber: p.serialNumber(),
			ExtraNames: []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{2, 5, 4, 42}, Value: p.GivenName},
				{Type: asn1.ObjectIdentifier{2, 5, 4, 4}, Value: p.Surname},
			},
		},
		NotBefore: now, NotAfter: now.Add(personLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
		Policies: policies([]uint64{2, 16, 578, 1, 61, 1, 1, 1}, []uint64{0, 4, 0, 194112, 1, 2}),

		ExtraExtensions: extensions,
	}, public)
}

// personExtensions are the extensions of a person's certificate that x509 does not know.
func personExtensions(p Person, nnin bool) ([]pkix.Extension, error) {
	statements, err := pki.QCStatements(pki.QCTypeESign, disclosureURL)
	if err != nil {
		return nil, err
	}
	extensions := []pkix.Extension{statements}
	values := []string{eidCountry, eidScheme, p.pid()}
	if nnin {
		values = append(values, p.NationalID)
	}
	for i, text := range values {
		value, err := asn1.MarshalWithParams(text, "utf8")
		if err != nil {
			return nil, err
		}
		extensions = append(extensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 16, 578, 1, 61, 2, i + 1}, Value: value})
	}
	return extensions, nil
}

// The values of BankID's extensions 2.16.578.1.61.2.1 and 2, in a certificate and in a
// SignerInfo.
const (
	eidCountry = "NO"
	eidScheme  = "BANKID"
)

// issueSeal makes the certificate of an organisation, for seals: a qualified one (ETSI EN
// 319 412-3).
func (ca *certAuthority) issueSeal(public crypto.PublicKey) (*x509.Certificate, error) {
	name := sandboxName("SANDBOX seal, not BankID")
	// organizationIdentifier, ETSI EN 319 412-1, section 5.1.4
	name.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "NTRNO-" + organizationNumber}}
	return ca.issueForSeals(&x509.Certificate{
		Subject:  name,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
	}, public)
}

// issueTimestamp makes the certificate of a time-stamping authority (RFC 3161, section
// 2.3; ETSI EN 319 422, section 6).
func (ca *certAuthority) issueTimestamp(public crypto.PublicKey) (*x509.Certificate, error) {
	// The only extended key usage, and critical, which x509.Certificate.ExtKeyUsage
	// cannot say.
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, err
	}
	return ca.issueForSeals(&x509.Certificate{
		Subject:         sandboxName("SANDBOX TSA"),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, public)
}

// issueForSeals makes a qualified certificate of an organisation (ETSI EN 319 411-2).
func (ca *certAuthority) issueForSeals(template *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	statements, err := pki.QCStatements(pki.QCTypeESeal, disclosureURL)
	if err != nil {
		return nil, err
	}
	template.Policies = policies([]uint64{0, 4, 0, 194112, 1, 3})
	template.ExtraExtensions = append(template.ExtraExtensions, statements)
	return ca.Issue(template, public)
}

// policies are the object identifiers of certificate policies.
func policies(identifiers ...[]uint64) []x509.OID {
	var oids []x509.OID
	for _, arcs := range identifiers {
		if oid, err := x509.OIDFromInts(arcs); err == nil { // they are constants
			oids = append(oids, oid)
		}
	}
	return oids
}
