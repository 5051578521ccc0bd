package pades_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/cms"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pades"
)

// An authority issues all that a signature needs.
type authority struct {
	root, intermediate, signer, tsa, responder holder
}

type holder struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	var a authority
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	a.root = issue(t, ca("Root"), holder{})
	a.intermediate = issue(t, ca("Intermediate"), a.root)
	a.signer = issue(t, &x509.Certificate{
		Subject:  pkix.Name{CommonName: "Kari Nordmann", Country: []string{"NO"}},
		NotAfter: time.Now().Add(15 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
	}, a.intermediate)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	a.tsa = issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "TSA"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, a.intermediate)
	a.responder = issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "OCSP"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: asn1.NullBytes}},
	}, a.intermediate)
	return &a
}

// issue makes a certificate, which is its own issuer if there is none.
func issue(t testing.TB, template *x509.Certificate, by holder) holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		t.Fatal(err)
	}
	// pyHanko looks for revocation data only where a certificate says that there are some.
	template.OCSPServer, template.CRLDistributionPoints = []string{"http://127.0.0.1/ocsp"}, []string{"http://127.0.0.1/crl"}
	template.NotBefore = time.Now().Add(-time.Minute)
	if template.NotAfter.IsZero() {
		template.NotAfter = template.NotBefore.Add(24 * time.Hour)
	}
	if by.cert == nil {
		by = holder{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return holder{cert, key}
}

// at returns a signer for a level.
func (a *authority) at(level pades.Level) *pades.Signer {
	return &pades.Signer{
		Key: a.signer.key, Certificates: []*x509.Certificate{a.signer.cert, a.intermediate.cert},
		Level: level, Timestamp: a.timestamp, Revocation: a.revocation,
	}
}

func (a *authority) extender() pades.Extender {
	return pades.Extender{Timestamp: a.timestamp, Revocation: a.revocation}
}

func (a *authority) timestamp(_ context.Context, digest []byte) ([]byte, error) {
	type imprint struct {
		Algorithm pkix.AlgorithmIdentifier
		Hash      []byte
	}
	info, err := asn1.Marshal(struct {
		Version int
		Policy  asn1.ObjectIdentifier
		Imprint imprint
		Serial  int64
		Time    time.Time `asn1:"generalized"`
	}{1, asn1.ObjectIdentifier{1, 2, 3}, imprint{cms.SHA256(), digest}, time.Now().UnixNano(), time.Now().UTC()})
	if err != nil {
		return nil, err
	}
	signer := cms.Signer{Certificate: a.tsa.cert, Key: a.tsa.key, Include: []*x509.Certificate{a.tsa.cert, a.intermediate.cert}}
	return signer.Around(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}, info)
}

// revocation has responses of the intermediate, and a list of the root.
func (a *authority) revocation(_ context.Context, certificates []*x509.Certificate) (pades.Evidence, error) {
	e := pades.Evidence{Certificates: []*x509.Certificate{a.root.cert, a.intermediate.cert, a.responder.cert}}
	now := time.Now()
	for _, c := range slices.Concat(certificates, e.Certificates) {
		if c.CheckSignatureFrom(a.intermediate.cert) != nil || c.Equal(a.responder.cert) {
			continue
		}
		response, err := ocsp.CreateResponse(a.intermediate.cert, a.responder.cert, ocsp.Response{
			Status: ocsp.Good, SerialNumber: c.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(time.Hour), Certificate: a.responder.cert,
		}, a.responder.key)
		if err != nil {
			return pades.Evidence{}, err
		}
		e.OCSPs = append(e.OCSPs, response)
	}
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour),
	}, a.root.cert, crypto.Signer(a.root.key))
	if err != nil {
		return pades.Evidence{}, err
	}
	e.CRLs = append(e.CRLs, crl)
	return e, nil
}
