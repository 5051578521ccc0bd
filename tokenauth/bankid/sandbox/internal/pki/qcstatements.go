package pki

import (
	"crypto/x509/pkix"
	"encoding/asn1"
)

// A QCType is the use of a qualified certificate (ETSI EN 319 412-5, section 4.2.3).
type QCType int

// Uses of a qualified certificate.
const (
	QCTypeESign QCType = 1 // for electronic signatures
	QCTypeESeal QCType = 2 // for electronic seals
)

// QCStatements returns the extension that says that a certificate is qualified, for what,
// and where the disclosure statement is, in English (RFC 3739, section 3.2.6; ETSI EN 319
// 412-5, sections 4.2.1, 4.2.3 and 4.3.4).
func QCStatements(use QCType, disclosure string) (pkix.Extension, error) {
	type statement struct {
		ID   asn1.ObjectIdentifier
		Info asn1.RawValue `asn1:"optional"`
	}
	type location struct {
		URL      string `asn1:"ia5"`
		Language string `asn1:"printable"`
	}
	locations, err := asn1.Marshal([]location{{disclosure, "en"}})
	if err != nil {
		return pkix.Extension{}, err
	}
	types, err := asn1.Marshal([]asn1.ObjectIdentifier{{0, 4, 0, 1862, 1, 6, int(use)}})
	if err != nil {
		return pkix.Extension{}, err
	}
	value, err := asn1.Marshal([]statement{
		{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}}, // QcCompliance
		{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 5}, Info: asn1.RawValue{FullBytes: locations}},
		{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}, Info: asn1.RawValue{FullBytes: types}},
	})
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: value}, err
}
