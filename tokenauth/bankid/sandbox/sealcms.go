package sandbox

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
)

// Object identifiers of RFC 5652, RFC 5035, RFC 8017 and RFC 5754. They are
// functions because a slice can be changed.
func oidData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1} }

func oidSignedData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2} }

func oidContentType() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3} }

func oidMessageDigest() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
}

func oidSigningCertificateV2() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
}
func oidRSA() asn1.ObjectIdentifier    { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1} }
func oidSHA256() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} }

// The structures of a signature in CMS (RFC 5652, section 5).
type (
	cmsContent struct {
		Type    asn1.ObjectIdentifier
		Content cmsSignedData `asn1:"explicit,tag:0"`
	}
	cmsSignedData struct {
		Version          int
		DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
		Content          cmsDetached
		Certificates     asn1.RawValue   `asn1:"optional,tag:0"`
		Revocations      asn1.RawValue   `asn1:"optional,tag:1"`
		Signers          []cmsSignerInfo `asn1:"set"`
	}
	cmsDetached struct {
		Type asn1.ObjectIdentifier
	}
	cmsSignerInfo struct {
		Version            int
		Signer             cmsSigner
		DigestAlgorithm    pkix.AlgorithmIdentifier
		SignedAttributes   asn1.RawValue `asn1:"optional,tag:0"`
		SignatureAlgorithm pkix.AlgorithmIdentifier
		Signature          []byte
		UnsignedAttributes asn1.RawValue `asn1:"optional,tag:1"`
	}
	cmsSigner struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	cmsAttribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
)

// newCMS makes a detached signature (CAdES baseline B, without a signing time)
// of what has the given SHA-256 hash. sign signs the attributes with the RSA key
// of the certificate.
func newCMS(certificate *x509.Certificate, hash []byte, sign func(attributes []byte) ([]byte, error)) ([]byte, error) {
	attributes, err := cmsAttributes(certificate, hash)
	if err != nil {
		return nil, err
	}
	signature, err := sign(attributes)
	if err != nil {
		return nil, err
	}
	// What is signed is a SET; where it is stored, its tag is [0].
	implicit := append([]byte{0xa0}, attributes[1:]...)
	sha := pkix.AlgorithmIdentifier{Algorithm: oidSHA256(), Parameters: asn1.NullRawValue}
	return asn1.Marshal(cmsContent{Type: oidSignedData(), Content: cmsSignedData{
		Version:          1,
		DigestAlgorithms: []pkix.AlgorithmIdentifier{sha},
		Content:          cmsDetached{Type: oidData()},
		Certificates:     asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: certificate.Raw},
		Signers: []cmsSignerInfo{{
			Version:            1,
			Signer:             cmsSigner{Issuer: asn1.RawValue{FullBytes: certificate.RawIssuer}, Serial: certificate.SerialNumber},
			DigestAlgorithm:    sha,
			SignedAttributes:   asn1.RawValue{FullBytes: implicit},
			SignatureAlgorithm: pkix.AlgorithmIdentifier{Algorithm: oidRSA(), Parameters: asn1.NullRawValue},
			Signature:          signature,
		}},
	}})
}

// cmsAttributes are the attributes that a signature covers, as a SET.
func cmsAttributes(certificate *x509.Certificate, hash []byte) ([]byte, error) {
	type certificateID struct{ Hash []byte } // RFC 5035: SHA-256 is the default
	type signingCertificate struct{ Certificates []certificateID }
	own := sha256.Sum256(certificate.Raw)
	var attributes []cmsAttribute
	for _, a := range []struct {
		kind  asn1.ObjectIdentifier
		value any
	}{
		{oidContentType(), oidData()},
		{oidMessageDigest(), hash},
		{oidSigningCertificateV2(), signingCertificate{[]certificateID{{own[:]}}}},
	} {
		value, err := asn1.Marshal(a.value)
		if err != nil {
			return nil, err
		}
		attributes = append(attributes, cmsAttribute{Type: a.kind, Values: []asn1.RawValue{{FullBytes: value}}})
	}
	return asn1.MarshalWithParams(attributes, "set")
}

// signedHash returns the hash that the first signature in a CMS is for,
// without verifying it.
func signedHash(cms []byte) ([]byte, bool) {
	var content cmsContent
	rest, err := asn1.Unmarshal(cms, &content)
	if err != nil || len(rest) > 0 || len(content.Content.Signers) == 0 {
		return nil, false
	}
	rest = content.Content.Signers[0].SignedAttributes.Bytes
	for len(rest) > 0 {
		var a cmsAttribute
		if rest, err = asn1.Unmarshal(rest, &a); err != nil {
			return nil, false
		}
		if a.Type.Equal(oidMessageDigest()) && len(a.Values) == 1 {
			return a.Values[0].Bytes, len(a.Values[0].Bytes) == sha256.Size
		}
	}
	return nil, false
}
