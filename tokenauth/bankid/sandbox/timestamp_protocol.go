package sandbox

import (
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"
)

// Structures of the Time-Stamp Protocol, RFC 3161, section 2.4.
type (
	timestampRequest struct {
		Version        int
		MessageImprint messageImprint
		ReqPolicy      asn1.ObjectIdentifier `asn1:"optional"`
		Nonce          *big.Int              `asn1:"optional"`
		CertReq        bool                  `asn1:"optional"`
		Extensions     asn1.RawValue         `asn1:"optional,tag:0"`
	}
	messageImprint struct {
		Raw           asn1.RawContent // so that the token repeats the request to the letter
		HashAlgorithm pkix.AlgorithmIdentifier
		HashedMessage []byte
	}
	timestampResponse struct {
		Status statusInfo
		Token  asn1.RawValue `asn1:"optional"`
	}
	statusInfo struct {
		Status   int
		Text     []asn1.RawValue `asn1:"optional"` // UTF8String
		FailInfo asn1.BitString  `asn1:"optional"`
	}
	tstInfo struct {
		Version        int
		Policy         asn1.ObjectIdentifier
		MessageImprint messageImprint
		SerialNumber   *big.Int
		GenTime        time.Time `asn1:"generalized"`
		Accuracy       accuracy
		Nonce          *big.Int `asn1:"optional"`
	}
	accuracy struct {
		Seconds int
	}
)

// PKIStatus and PKIFailureInfo, RFC 3161, section 2.4.2.
const (
	statusGranted   = 0
	statusRejection = 2

	badAlg              = 0
	badRequestFail      = 2
	badDataFormat       = 5
	unacceptedPolicy    = 15
	unacceptedExtension = 16
	systemFailure       = 25
)

// A rejection says why there is no token.
type rejection struct {
	failInfo int
	reason   string
}

func (r *rejection) Error() string { return r.reason }

// respond returns the response that carries the rejection.
func (r *rejection) respond() timestampResponse {
	bits := make([]byte, r.failInfo/8+1)
	bits[r.failInfo/8] = 0x80 >> (r.failInfo % 8)
	return timestampResponse{Status: statusInfo{
		Status:   statusRejection,
		Text:     []asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte(r.reason)}},
		FailInfo: asn1.BitString{Bytes: bits, BitLength: r.failInfo + 1},
	}}
}

// timestampPolicy is the only policy. It is below the arc for examples (ITU-T
// X.660), so it is no real authority's.
func timestampPolicy() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 999, 3161, 1} }

// imprintHashes are the hash functions that a message may have been hashed
// with: those of ETSI TS 119 312.
func imprintHashes() map[string]crypto.Hash {
	return map[string]crypto.Hash{
		"2.16.840.1.101.3.4.2.1": crypto.SHA256,
		"2.16.840.1.101.3.4.2.2": crypto.SHA384,
		"2.16.840.1.101.3.4.2.3": crypto.SHA512,
	}
}

// parseTimestampRequest reads a TimeStampReq and checks that it can be granted.
func parseTimestampRequest(der []byte) (*timestampRequest, *rejection) {
	request := new(timestampRequest)
	rest, err := asn1.Unmarshal(der, request)
	switch {
	case err != nil:
		return nil, &rejection{badDataFormat, "the query is not the DER of a TimeStampReq"}
	case len(rest) > 0:
		return nil, &rejection{badDataFormat, "there is something after the query"}
	case request.Version != 1:
		return nil, &rejection{badRequestFail, "the version is not 1"}
	case request.ReqPolicy != nil && !request.ReqPolicy.Equal(timestampPolicy()):
		return nil, &rejection{unacceptedPolicy, "the policy is not " + timestampPolicy().String()}
	case len(request.Extensions.FullBytes) > 0:
		return nil, &rejection{unacceptedExtension, "no extension is known"}
	}
	if failed := request.MessageImprint.check(); failed != nil {
		return nil, failed
	}
	return request, nil
}

func (m messageImprint) check() *rejection {
	hash, known := imprintHashes()[m.HashAlgorithm.Algorithm.String()]
	parameters := m.HashAlgorithm.Parameters.FullBytes
	switch {
	case !known:
		return &rejection{badAlg, "the hash algorithm is not SHA-256, SHA-384 or SHA-512"}
	case len(parameters) > 0 && string(parameters) != string(asn1.NullBytes):
		return &rejection{badDataFormat, "the hash algorithm has parameters"}
	case len(m.HashedMessage) != hash.Size():
		return &rejection{badDataFormat, "the hash has another length than its algorithm's"}
	}
	return nil
}
