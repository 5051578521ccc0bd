package sandbox

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
)

// Structures of the Cryptographic Message Syntax, RFC 5652, section 5.
type (
	contentInfo struct {
		ContentType asn1.ObjectIdentifier
		Content     signedData `asn1:"explicit,tag:0"`
	}
	signedData struct {
		Version          int
		DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
		EncapContentInfo encapsulatedContentInfo
		Certificates     []asn1.RawValue `asn1:"optional,set,tag:0"`
		SignerInfos      []signerInfo    `asn1:"set"`
	}
	encapsulatedContentInfo struct {
		ContentType asn1.ObjectIdentifier
		Content     []byte `asn1:"explicit,tag:0"`
	}
	signerInfo struct {
		Version            int
		SID                issuerAndSerialNumber
		DigestAlgorithm    pkix.AlgorithmIdentifier
		SignedAttrs        asn1.RawValue
		SignatureAlgorithm pkix.AlgorithmIdentifier
		Signature          []byte
	}
	issuerAndSerialNumber struct {
		Issuer       asn1.RawValue
		SerialNumber *big.Int
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values []any `asn1:"set"`
	}
)

// A signingCertificateV2 binds a signature to its certificate (RFC 5035,
// section 3). The hash algorithm is left out where it is SHA-256.
type signingCertificateV2 struct {
	Certs []essCertIDv2
}

type essCertIDv2 struct {
	CertHash []byte
}

// signTSTInfo wraps the DER of a TSTInfo into SignedData, as RFC 3161, section
// 2.4.2 and RFC 5816 ask for it: one signature, over SHA-256, by ECDSA.
func signTSTInfo(info []byte, cert *x509.Certificate, key *ecdsa.PrivateKey, withCert bool) ([]byte, error) {
	var (
		oidSignedData           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
		oidTSTInfo              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
		oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
		oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
		oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}

		// Without parameters: RFC 5754, sections 2 and 3.3.
		sha256Algorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
		ecdsaWithSHA256 = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	)
	content, certificate := sha256.Sum256(info), sha256.Sum256(cert.Raw)
	attributes, err := asn1.MarshalWithParams([]attribute{
		{oidContentType, []any{oidTSTInfo}},
		{oidMessageDigest, []any{content[:]}},
		{oidSigningCertificateV2, []any{signingCertificateV2{Certs: []essCertIDv2{{certificate[:]}}}}},
	}, "set")
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(attributes)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	// What is signed is a SET; what is sent is [0] IMPLICIT (RFC 5652, section 5.4).
	attributes[0] = 0xA0

	signed := signedData{
		Version:          3, // since the content is no id-data
		DigestAlgorithms: []pkix.AlgorithmIdentifier{sha256Algorithm},
		EncapContentInfo: encapsulatedContentInfo{ContentType: oidTSTInfo, Content: info},
		SignerInfos: []signerInfo{{
			Version:            1,
			SID:                issuerAndSerialNumber{asn1.RawValue{FullBytes: cert.RawIssuer}, cert.SerialNumber},
			DigestAlgorithm:    sha256Algorithm,
			SignedAttrs:        asn1.RawValue{FullBytes: attributes},
			SignatureAlgorithm: ecdsaWithSHA256,
			Signature:          signature,
		}},
	}
	if withCert {
		signed.Certificates = []asn1.RawValue{{FullBytes: cert.Raw}}
	}
	return asn1.Marshal(contentInfo{ContentType: oidSignedData, Content: signed})
}
