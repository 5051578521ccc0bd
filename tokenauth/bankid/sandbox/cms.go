package sandbox

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
)

// Object identifiers of RFC 5652, RFC 3161, RFC 5035, RFC 8017, RFC 5758 and RFC
// 5754. They are functions because a slice can be changed.
func oidData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1} }

func oidSignedData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2} }

func oidTSTInfo() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
}

func oidContentType() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3} }

func oidMessageDigest() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
}

func oidSigningCertificateV2() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
}

func oidRSA() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1} }

func oidSHA256WithRSA() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
}

func oidECDSAWithSHA256() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
}

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
		Content          cmsEncapsulated
		Certificates     asn1.RawValue   `asn1:"optional,tag:0"`
		Revocations      asn1.RawValue   `asn1:"optional,tag:1"`
		Signers          []cmsSignerInfo `asn1:"set"`
	}
	cmsEncapsulated struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"optional,tag:0"` // absent if the signature is detached
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

// A cmsSignature makes signatures in CMS: over SHA-256, with an ECDSA or RSA
// key, and with the attributes of CAdES baseline B but for a signing time.
type cmsSignature struct {
	certificate *x509.Certificate
	key         crypto.Signer       // of the certificate
	include     []*x509.Certificate // in the signature
}

// belowRoot returns what a signature has of a chain: a verifier has the root already.
func belowRoot(chain []*x509.Certificate) []*x509.Certificate { return chain[:len(chain)-1] }

// detached signs what has the given SHA-256 hash.
func (s cmsSignature) detached(hash []byte) ([]byte, error) {
	return s.sign(1, cmsEncapsulated{Type: oidData()}, hash)
}

// around signs content of a type other than data, and includes it.
func (s cmsSignature) around(contentType asn1.ObjectIdentifier, content []byte) ([]byte, error) {
	octets, err := asn1.Marshal(content)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(content)
	return s.sign(3, cmsEncapsulated{Type: contentType, Content: explicit(octets)}, hash[:])
}

func (s cmsSignature) sign(version int, content cmsEncapsulated, hash []byte) ([]byte, error) {
	attributes, err := s.attributes(content.Type, hash)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(attributes)
	signature, err := s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	// What is signed is a SET; where it is stored, its tag is [0] (section 5.4).
	attributes[0] = 0xa0
	hashing := pkix.AlgorithmIdentifier{Algorithm: oidSHA256()} // without parameters: RFC 5754, section 2
	signing := pkix.AlgorithmIdentifier{Algorithm: oidRSA(), Parameters: asn1.NullRawValue}
	if _, ok := s.key.Public().(*ecdsa.PublicKey); ok {
		signing = pkix.AlgorithmIdentifier{Algorithm: oidECDSAWithSHA256()}
	}
	signed := cmsSignedData{
		Version:          version,
		DigestAlgorithms: []pkix.AlgorithmIdentifier{hashing},
		Content:          content,
		Signers: []cmsSignerInfo{{
			Version:            1,
			Signer:             cmsSigner{Issuer: asn1.RawValue{FullBytes: s.certificate.RawIssuer}, Serial: s.certificate.SerialNumber},
			DigestAlgorithm:    hashing,
			SignedAttributes:   asn1.RawValue{FullBytes: attributes},
			SignatureAlgorithm: signing,
			Signature:          signature,
		}},
	}
	if len(s.include) > 0 {
		var list [][]byte
		for _, certificate := range s.include {
			list = append(list, certificate.Raw)
		}
		slices.SortFunc(list, bytes.Compare) // the elements of a SET OF are in order
		signed.Certificates = explicit(slices.Concat(list...))
	}
	return asn1.Marshal(cmsContent{Type: oidSignedData(), Content: signed})
}

// attributes are what a signature covers, as a SET.
func (s cmsSignature) attributes(contentType asn1.ObjectIdentifier, hash []byte) ([]byte, error) {
	type certificateID struct{ Hash []byte } // RFC 5035: SHA-256 is the default
	type signingCertificate struct{ Certificates []certificateID }
	own := sha256.Sum256(s.certificate.Raw)
	var attributes []cmsAttribute
	for _, a := range []struct {
		kind  asn1.ObjectIdentifier
		value any
	}{
		{oidContentType(), contentType},
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

// explicit puts the tag [0] around DER.
func explicit(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}

// signedHash returns the hash that the only signature in a CMS is for, without verifying
// it. The signature must be one with SHA-256 and RSA, with padding v1.5. The CMS is BER.
func signedHash(cms []byte) ([]byte, bool) {
	der, err := toDER(cms)
	if err != nil {
		return nil, false
	}
	var content cmsContent
	rest, err := asn1.Unmarshal(der, &content)
	if err != nil || len(rest) > 0 || !content.Type.Equal(oidSignedData()) || len(content.Content.Signers) != 1 {
		return nil, false
	}
	signer := content.Content.Signers[0]
	with := signer.SignatureAlgorithm.Algorithm
	if !signer.DigestAlgorithm.Algorithm.Equal(oidSHA256()) || !with.Equal(oidRSA()) && !with.Equal(oidSHA256WithRSA()) {
		return nil, false
	}
	rest = signer.SignedAttributes.Bytes
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
