package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha1" //nolint:gosec // for the CertID, which names an issuer and protects nothing
	"crypto/sha256"
	_ "crypto/sha512" // for the CertID
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

// ocspLifetime is how long a response may be used.
const ocspLifetime = time.Hour

// States of a response (RFC 6960, section 4.2.1).
const (
	ocspSuccessful       asn1.Enumerated = 0
	ocspMalformedRequest asn1.Enumerated = 1
	ocspInternalError    asn1.Enumerated = 2
	ocspUnauthorized     asn1.Enumerated = 6 // another authority has issued the certificate
)

// Requests (RFC 6960, section 4.1.1). Who asks, and a signature, do not matter.
type (
	ocspRequest struct {
		TBS       ocspQuestion
		Signature asn1.RawValue `asn1:"explicit,optional,tag:0"`
	}
	ocspQuestion struct {
		Version    int           `asn1:"explicit,optional,default:0,tag:0"`
		Requestor  asn1.RawValue `asn1:"explicit,optional,tag:1"`
		Requests   []ocspSingle
		Extensions []pkix.Extension `asn1:"explicit,optional,tag:2"`
	}
	ocspSingle struct {
		ID         certID
		Extensions []pkix.Extension `asn1:"explicit,optional,tag:0"`
	}
	certID struct {
		HashAlgorithm pkix.AlgorithmIdentifier
		NameHash      []byte // of the issuer
		KeyHash       []byte // of the issuer
		SerialNumber  *big.Int
	}
)

// Responses (RFC 6960, section 4.2.1).
type (
	ocspResponse struct {
		Status asn1.Enumerated
		Bytes  ocspBytes `asn1:"explicit,optional,tag:0"`
	}
	ocspBytes struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	}
	basicOCSPResponse struct {
		Data               ocspData
		SignatureAlgorithm pkix.AlgorithmIdentifier
		Signature          asn1.BitString
		Certificates       []asn1.RawValue `asn1:"explicit,optional,tag:0"`
	}
	ocspData struct {
		Responder  asn1.RawValue
		ProducedAt time.Time `asn1:"generalized"`
		Responses  []ocspStatus
		Extensions []pkix.Extension `asn1:"explicit,optional,tag:1"`
	}
	ocspStatus struct {
		ID         certID
		Status     asn1.RawValue
		ThisUpdate time.Time        `asn1:"generalized"`
		NextUpdate time.Time        `asn1:"generalized,explicit,tag:0"`
		Extensions []pkix.Extension `asn1:"explicit,optional,tag:1"`
	}
)

// Object identifiers of RFC 6960, and of the hashes that a CertID may have.
func oidBasicOCSP() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
}

func oidNonce() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2} }

func oidNoCheck() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
}

func oidArchiveCutoff() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 6}
}

func oidSHA1() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26} }

func oidECDSAWithSHA256() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
}

// certIDHashes are the hashes that a CertID may have.
func certIDHashes() map[string]crypto.Hash {
	return map[string]crypto.Hash{
		oidSHA1().String():       crypto.SHA1,
		"2.16.840.1.101.3.4.2.1": crypto.SHA256,
		"2.16.840.1.101.3.4.2.2": crypto.SHA384,
		"2.16.840.1.101.3.4.2.3": crypto.SHA512,
	}
}

// newResponder gives the authority a responder.
func (a *Authority) newResponder(name pkix.Name) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("OCSP responder of %s: %w", name.CommonName, err)
	}
	name.CommonName += " OCSP"
	a.responderKey = key
	a.Responder, err = a.create(&x509.Certificate{
		Subject:     name,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		// Nobody needs to ask whether this one is good (section 4.2.2.2.1).
		ExtraExtensions: []pkix.Extension{{Id: oidNoCheck(), Value: asn1.NullBytes}},
	}, key.Public(), Places{Certificate: a.places.Certificate})
	return err
}

// OCSP returns a response of now about a certificate of the authority: an OCSPResponse in
// DER. It is an error if the authority has no responder.
func (a *Authority) OCSP(certificate *x509.Certificate) ([]byte, error) {
	id := certID{HashAlgorithm: pkix.AlgorithmIdentifier{Algorithm: oidSHA1(), Parameters: asn1.NullRawValue}, SerialNumber: certificate.SerialNumber}
	var err error
	if id.NameHash, id.KeyHash, err = a.hashes(crypto.SHA1); err != nil {
		return nil, err
	}
	return a.respond([]certID{id}, nil)
}

// RespondOCSP returns the OCSPResponse to an OCSPRequest, both in DER. A request about a
// certificate of another authority is unauthorized; the status of a certificate that the
// authority has not issued is unknown.
func (a *Authority) RespondOCSP(request []byte) []byte {
	var asked ocspRequest
	rest, err := asn1.Unmarshal(request, &asked)
	if err != nil || len(rest) > 0 || len(asked.TBS.Requests) == 0 {
		return ocspFailure(ocspMalformedRequest)
	}
	var ids []certID
	for _, single := range asked.TBS.Requests {
		hash, ok := certIDHashes()[single.ID.HashAlgorithm.Algorithm.String()]
		if !ok {
			return ocspFailure(ocspUnauthorized)
		}
		name, key, err := a.hashes(hash)
		if err != nil {
			return ocspFailure(ocspInternalError)
		}
		if string(name) != string(single.ID.NameHash) || string(key) != string(single.ID.KeyHash) {
			return ocspFailure(ocspUnauthorized)
		}
		ids = append(ids, single.ID)
	}
	var extensions []pkix.Extension
	for _, extension := range asked.TBS.Extensions {
		if extension.Id.Equal(oidNonce()) {
			extensions = []pkix.Extension{extension}
		}
	}
	response, err := a.respond(ids, extensions)
	if err != nil {
		return ocspFailure(ocspInternalError)
	}
	return response
}

// ocspFailure is a response without content.
func ocspFailure(status asn1.Enumerated) []byte {
	der, _ := asn1.Marshal(struct{ Status asn1.Enumerated }{status}) // cannot fail
	return der
}

// hashes are those of the authority's name and key in a CertID.
func (a *Authority) hashes(with crypto.Hash) (name, key []byte, err error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(a.Certificate.RawSubjectPublicKeyInfo, &info); err != nil {
		return nil, nil, err
	}
	hash := func(content []byte) []byte {
		h := with.New()
		h.Write(content)
		return h.Sum(nil)
	}
	return hash(a.Certificate.RawSubject), hash(info.Key.RightAlign()), nil
}

// respond signs a response.
func (a *Authority) respond(about []certID, extensions []pkix.Extension) ([]byte, error) {
	if a.Responder == nil {
		return nil, fmt.Errorf("%s has no OCSP responder", a.Certificate.Subject.CommonName)
	}
	since, err := a.since()
	if err != nil {
		return nil, err
	}
	now := a.now().UTC()
	data := ocspData{
		// byName
		Responder:  asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: a.Responder.RawSubject},
		ProducedAt: now,
		Extensions: extensions,
	}
	for _, id := range about {
		status := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0} // good
		if !a.issued(id.SerialNumber) {
			status.Tag = 2 // unknown
		}
		data.Responses = append(data.Responses, ocspStatus{
			ID: id, Status: status, ThisUpdate: now, NextUpdate: now.Add(ocspLifetime),
			// The responder tells about certificates that have expired, too (section 4.4.4).
			Extensions: []pkix.Extension{{Id: oidArchiveCutoff(), Value: since}},
		})
	}
	signed, err := asn1.Marshal(data)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(signed)
	signature, err := ecdsa.SignASN1(rand.Reader, a.responderKey, digest[:])
	if err != nil {
		return nil, err
	}
	basic, err := asn1.Marshal(basicOCSPResponse{
		Data:               data,
		SignatureAlgorithm: pkix.AlgorithmIdentifier{Algorithm: oidECDSAWithSHA256()},
		Signature:          asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
		Certificates:       []asn1.RawValue{{FullBytes: a.Responder.Raw}},
	})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(ocspResponse{Status: ocspSuccessful, Bytes: ocspBytes{Type: oidBasicOCSP(), Response: basic}})
}
