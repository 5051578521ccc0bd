package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ocsp"
)

// ocspLifetime is how long a response may be used.
const ocspLifetime = time.Hour

// An ocspResponder tells that the certificates of an authority are good (RFC
// 6960).
type ocspResponder struct {
	issuer *x509.Certificate
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
}

func newOCSPResponder(ca *certAuthority) (*ocspResponder, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("OCSP responder: %w", err)
	}
	cert, err := ca.issue(&x509.Certificate{
		Subject:     sandboxName("SANDBOX OCSP"),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		// id-pkix-ocsp-nocheck: nobody needs to ask whether this one is good (section
		// 4.2.2.2.1).
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: asn1.NullBytes}},
	}, key.Public())
	return &ocspResponder{issuer: ca.cert, cert: cert, key: key}, err
}

// respond returns a response about a certificate, which is an OCSPResponse in
// DER.
func (o *ocspResponder) respond(about *x509.Certificate) ([]byte, error) {
	now := time.Now().Truncate(time.Minute) // as the time that the response is produced at
	return ocsp.CreateResponse(o.issuer, o.cert, ocsp.Response{
		Status:       ocsp.Good,
		SerialNumber: about.SerialNumber,
		ThisUpdate:   now,
		NextUpdate:   now.Add(ocspLifetime),
		Certificate:  o.cert,
	}, o.key)
}

// An ocspEnvelope is an OCSPResponse that holds another response (RFC 6960,
// section 4.2.1).
type ocspEnvelope struct {
	Status   asn1.Enumerated
	Response struct {
		Type  asn1.ObjectIdentifier
		Bytes []byte
	} `asn1:"explicit,optional,tag:0"`
}

// basicOCSP returns the BasicOCSPResponse in an OCSPResponse.
func basicOCSP(response []byte) ([]byte, error) {
	var envelope ocspEnvelope
	if rest, err := asn1.Unmarshal(response, &envelope); err != nil || len(rest) > 0 || len(envelope.Response.Bytes) == 0 {
		return nil, errors.New("there is no basic OCSP response")
	}
	return envelope.Response.Bytes, nil
}

// isOCSP reports whether this has the form of an OCSPResponse or of a
// BasicOCSPResponse. Nothing is verified.
func isOCSP(response []byte) bool {
	if basic, err := basicOCSP(response); err == nil {
		response = basic
	}
	var basic struct {
		Data         asn1.RawValue
		Algorithm    pkix.AlgorithmIdentifier
		Signature    asn1.BitString
		Certificates asn1.RawValue `asn1:"optional,explicit,tag:0"`
	}
	rest, err := asn1.Unmarshal(response, &basic)
	return err == nil && len(rest) == 0
}
