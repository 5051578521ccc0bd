// Package cms makes and reads signatures in the Cryptographic Message Syntax (RFC
// 5652).
package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
)

// Object identifiers of RFC 5652, RFC 3161, RFC 5035, RFC 8017, RFC 5758 and RFC
// 5754. They are functions because a slice can be changed.
func oidData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1} }

func oidSignedData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2} }

func oidContentType() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3} }

func oidMessageDigest() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
}

func oidSigningCertificateV2() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
}

func oidTimestampToken() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 14}
}

func oidRSA() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1} }

func oidSHA256WithRSA() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
}

func oidECDSAWithSHA256() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
}

func oidSHA256() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} }

// SHA256 identifies the hash function, without parameters (RFC 5754, section 2).
func SHA256() pkix.AlgorithmIdentifier { return pkix.AlgorithmIdentifier{Algorithm: oidSHA256()} }

// The structures of a signature in CMS (RFC 5652, section 5).
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content signedData `asn1:"explicit,tag:0"`
	}
	signedData struct {
		Version          int
		DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
		Content          encapsulated
		Certificates     asn1.RawValue `asn1:"optional,tag:0"`
		Revocations      asn1.RawValue `asn1:"optional,tag:1"`
		Signers          []signerInfo  `asn1:"set"`
	}
	encapsulated struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"optional,tag:0"` // absent if the signature is detached
	}
	signerInfo struct {
		Version            int
		Signer             signerID
		DigestAlgorithm    pkix.AlgorithmIdentifier
		SignedAttributes   asn1.RawValue `asn1:"optional,tag:0"`
		SignatureAlgorithm pkix.AlgorithmIdentifier
		Signature          []byte
		UnsignedAttributes asn1.RawValue `asn1:"optional,tag:1"`
	}
	signerID struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
)

// A Signer makes signatures over SHA-256, with the attributes of CAdES baseline B
// but for a signing time.
type Signer struct {
	// Certificate is that of Key.
	Certificate *x509.Certificate

	// Key is an ECDSA or RSA key. RSA signs with padding v1.5.
	Key crypto.Signer

	// Include are the certificates that a signature has with it.
	Include []*x509.Certificate

	// Timestamp returns the time-stamp token for the value of the signature, which
	// becomes an attribute that is not signed. If it is nil, there is none.
	Timestamp func(signature []byte) (token []byte, err error)
}

// Detached returns a signature, in DER, of what has the given SHA-256 hash.
func (s Signer) Detached(hash []byte) ([]byte, error) {
	return s.sign(1, encapsulated{Type: oidData()}, hash)
}

// Around signs content of a type other than data, and includes it. The signature is in
// DER.
func (s Signer) Around(contentType asn1.ObjectIdentifier, content []byte) ([]byte, error) {
	octets, err := asn1.Marshal(content)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(content)
	return s.sign(3, encapsulated{Type: contentType, Content: tagged(0, octets)}, hash[:])
}

func (s Signer) sign(version int, content encapsulated, hash []byte) ([]byte, error) {
	attributes, err := s.attributes(content.Type, hash)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(attributes)
	signature, err := s.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	// What is signed is a SET; where it is stored, its tag is [0] (section 5.4).
	attributes[0] = 0xa0
	hashing := SHA256()
	signing := pkix.AlgorithmIdentifier{Algorithm: oidRSA(), Parameters: asn1.NullRawValue}
	if _, ok := s.Key.Public().(*ecdsa.PublicKey); ok {
		signing = pkix.AlgorithmIdentifier{Algorithm: oidECDSAWithSHA256()}
	}
	signer := signerInfo{
		Version:            1,
		Signer:             signerID{Issuer: asn1.RawValue{FullBytes: s.Certificate.RawIssuer}, Serial: s.Certificate.SerialNumber},
		DigestAlgorithm:    hashing,
		SignedAttributes:   asn1.RawValue{FullBytes: attributes},
		SignatureAlgorithm: signing,
		Signature:          signature,
	}
	if s.Timestamp != nil {
		token, err := s.Timestamp(signature)
		if err != nil {
			return nil, err
		}
		unsigned, err := asn1.Marshal(attribute{Type: oidTimestampToken(), Values: []asn1.RawValue{{FullBytes: token}}})
		if err != nil {
			return nil, err
		}
		signer.UnsignedAttributes = tagged(1, unsigned)
	}
	signed := signedData{
		Version:          version,
		DigestAlgorithms: []pkix.AlgorithmIdentifier{hashing},
		Content:          content,
		Signers:          []signerInfo{signer},
	}
	if len(s.Include) > 0 {
		var certificates [][]byte
		for _, c := range s.Include {
			certificates = append(certificates, c.Raw)
		}
		slices.SortFunc(certificates, bytes.Compare) // a SET in DER
		signed.Certificates = tagged(0, bytes.Join(certificates, nil))
	}
	return asn1.Marshal(contentInfo{Type: oidSignedData(), Content: signed})
}

// attributes are what a signature covers, as a SET.
func (s Signer) attributes(contentType asn1.ObjectIdentifier, hash []byte) ([]byte, error) {
	type certificateID struct{ Hash []byte } // RFC 5035: SHA-256 is the default
	type signingCertificate struct{ Certificates []certificateID }
	own := sha256.Sum256(s.Certificate.Raw)
	var attributes []attribute
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
		attributes = append(attributes, attribute{Type: a.kind, Values: []asn1.RawValue{{FullBytes: value}}})
	}
	return asn1.MarshalWithParams(attributes, "set")
}

// tagged puts a context-specific tag around DER.
func tagged(tag int, der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: der}
}

var errNotCMS = errors.New("it is not a signature in CMS")

// parse reads the signature, in BER, that bytes begin with, and returns the rest. It does
// not verify the signature.
func parse(cms []byte) (*signedData, []byte, error) {
	der, after, err := reencode(cms, 0)
	if err != nil {
		return nil, nil, errNotCMS
	}
	var content contentInfo
	rest, err := asn1.Unmarshal(der, &content)
	if err != nil || len(rest) > 0 || !content.Type.Equal(oidSignedData()) {
		return nil, nil, errNotCMS
	}
	return &content.Content, after, nil
}

// SignedHash returns the hash that the only signature in a CMS is for, without verifying
// it. The signature must be one with SHA-256 and RSA, with padding v1.5. The CMS is BER.
func SignedHash(cms []byte) ([]byte, bool) {
	content, rest, err := parse(cms)
	if err != nil || len(rest) > 0 || len(content.Signers) != 1 {
		return nil, false
	}
	signer := content.Signers[0]
	with := signer.SignatureAlgorithm.Algorithm
	if !signer.DigestAlgorithm.Algorithm.Equal(oidSHA256()) || !with.Equal(oidRSA()) && !with.Equal(oidSHA256WithRSA()) {
		return nil, false
	}
	for rest = signer.SignedAttributes.Bytes; len(rest) > 0; {
		var a attribute
		if rest, err = asn1.Unmarshal(rest, &a); err != nil {
			return nil, false
		}
		if a.Type.Equal(oidMessageDigest()) && len(a.Values) == 1 {
			return a.Values[0].Bytes, len(a.Values[0].Bytes) == sha256.Size
		}
	}
	return nil, false
}
