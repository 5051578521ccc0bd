package sandbox

import (
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
)

// pssParameters are RSASSA-PSS-params (RFC 8017, appendix A.2.3).
type pssParameters struct {
	Hash       pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:0"`
	Mask       pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:1"`
	SaltLength int                      `asn1:"explicit,optional,tag:2,default:20"`
	Trailer    int                      `asn1:"explicit,optional,tag:3,default:1"`
}

// oidMGF1 is that of RFC 8017, appendix B.2.1.
func oidMGF1() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8} }

// pssFault tells what is wrong with signAlgoParams (CSC API v2, section 11.11).
// BankID's sample leaves them out, and gets what CSC has it name: the hash for
// everything, and a salt as long as the hash.
func pssFault(parameters string, hash crypto.Hash) *b2bError {
	if parameters == "" {
		return nil
	}
	der, err := base64.StdEncoding.DecodeString(parameters)
	if err != nil {
		return badB2B("signAlgoParams is not base64")
	}
	var pss pssParameters
	rest, err := asn1.Unmarshal(der, &pss)
	if err != nil || len(rest) > 0 {
		return badB2B("signAlgoParams is not the DER of RSASSA-PSS-params")
	}
	var masked pkix.AlgorithmIdentifier
	if _, err := asn1.Unmarshal(pss.Mask.Parameters.FullBytes, &masked); err != nil || !pss.Mask.Algorithm.Equal(oidMGF1()) {
		return badB2B("signAlgoParams does not have MGF1 with a hash as the mask")
	}
	if b2bHashes()[pss.Hash.Algorithm.String()] != hash || !masked.Algorithm.Equal(pss.Hash.Algorithm) || pss.SaltLength != hash.Size() || pss.Trailer != 1 {
		return badB2B("signAlgoParams has another hash, mask or salt length than hashAlgorithmOID says")
	}
	return nil
}
