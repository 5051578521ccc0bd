package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// A timestampAuthority issues time-stamp tokens (RFC 3161).
type timestampAuthority struct {
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate // that of the key first, that of the root last

	clock *clock
}

func newTimestampAuthority(ca *certAuthority) (*timestampAuthority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("time-stamping authority: %w", err)
	}
	certificate, err := ca.issueTimestamp(key.Public())
	if err != nil {
		return nil, fmt.Errorf("time-stamping authority: %w", err)
	}
	return &timestampAuthority{key: key, chain: ca.chain(certificate), clock: ca.clock}, nil
}

// token returns a time-stamp token for what has the given SHA-256 hash, with its
// certificates.
func (t *timestampAuthority) token(hash []byte) ([]byte, error) {
	return t.stamp(&timestampRequest{CertReq: true, MessageImprint: messageImprint{
		HashAlgorithm: pkix.AlgorithmIdentifier{Algorithm: oidSHA256()}, HashedMessage: hash,
	}})
}

// respond returns the TimeStampResp for a query, both in DER.
func (t *timestampAuthority) respond(query []byte) []byte {
	var response timestampResponse
	request, failed := parseTimestampRequest(query)
	if failed == nil {
		response, failed = t.grant(request)
	}
	if failed != nil {
		response = failed.respond()
	}
	der, _ := asn1.Marshal(response) // made of nothing that cannot be marshaled
	return der
}

func (t *timestampAuthority) grant(request *timestampRequest) (timestampResponse, *rejection) {
	token, err := t.stamp(request)
	if err != nil {
		return timestampResponse{}, &rejection{systemFailure, "the token could not be signed"}
	}
	return timestampResponse{Status: statusInfo{Status: statusGranted}, Token: asn1.RawValue{FullBytes: token}}, nil
}

// stamp signs a TSTInfo that says when it saw the imprint.
func (t *timestampAuthority) stamp(request *timestampRequest) ([]byte, error) {
	info, err := asn1.Marshal(tstInfo{
		Version:        1,
		Policy:         timestampPolicy(),
		MessageImprint: request.MessageImprint,
		SerialNumber:   timestampSerialNumber(),
		GenTime:        t.clock.now().UTC(), // without its fraction, so not exact to the second
		Accuracy:       accuracy{Seconds: 1},
		Nonce:          request.Nonce,
	})
	if err != nil {
		return nil, err
	}
	// RFC 3161, section 2.4.2, and RFC 5816
	signature := cmsSignature{certificate: t.chain[0], key: t.key}
	if request.CertReq {
		signature.include = belowRoot(t.chain)
	}
	return signature.around(oidTSTInfo(), info)
}

// timestampSerialNumber returns a number that was not used before (RFC 3161, section
// 2.4.2: of up to 160 bits).
func timestampSerialNumber() *big.Int {
	var octets [20]byte
	_, _ = rand.Read(octets[:])                    // never fails
	octets[0] = octets[0]&0b0011_1111 | 0b01000000 // positive, and always as long
	return new(big.Int).SetBytes(octets[:])
}
