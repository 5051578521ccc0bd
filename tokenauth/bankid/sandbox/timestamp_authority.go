package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// A timestampAuthority issues time-stamp tokens (RFC 3161).
type timestampAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	clock *clock
}

func newTimestampAuthority(ca *certAuthority, clock *clock) (*timestampAuthority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("time-stamping authority: %w", err)
	}
	// The only extended key usage, and critical: RFC 3161, section 2.3, which
	// x509.Certificate.ExtKeyUsage cannot say.
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, fmt.Errorf("time-stamping authority: %w", err)
	}
	cert, err := ca.issue(&x509.Certificate{
		Subject:         sandboxName("SANDBOX TSA"),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, key.Public())
	return &timestampAuthority{cert: cert, key: key, clock: clock}, err
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
		SerialNumber:   serialNumber(),
		GenTime:        t.clock.now().UTC(), // without its fraction, so not exact to the second
		Accuracy:       accuracy{Seconds: 1},
		Nonce:          request.Nonce,
	})
	if err != nil {
		return nil, err
	}
	// RFC 3161, section 2.4.2, and RFC 5816
	return cmsSignature{certificate: t.cert, key: t.key, withCertificate: request.CertReq}.around(oidTSTInfo(), info)
}
