package tpm

import (
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// with returns a template of a key that signs, changed by change.
func with(alg string, change func(*tpm2.TPMTPublic)) *tpm2.TPMTPublic {
	template, _ := templateFor(alg)
	change(&template)
	return &template
}

// ecWith returns an EC key with a curve and a fixed scheme.
func ecWith(curve tpm2.TPMECCCurve, scheme tpm2.TPMAlgID, hash tpm2.TPMIAlgHash) *tpm2.TPMTPublic {
	return with("ES256", func(p *tpm2.TPMTPublic) {
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: curve, Scheme: tpm2.TPMTECCScheme{
			Scheme: scheme, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: hash}),
		}})
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: []byte{1}}})
	})
}

// rsaWith returns an RSA key with a fixed scheme.
func rsaWith(scheme tpm2.TPMAlgID, details tpm2.TPMUAsymScheme) *tpm2.TPMTPublic {
	return with("RS256", func(p *tpm2.TPMTPublic) {
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{Scheme: tpm2.TPMTRSAScheme{Scheme: scheme, Details: details}})
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: make([]byte, 256)})
	})
}

func TestKeysThatCannotSign(t *testing.T) {
	for want, area := range map[string]*tpm2.TPMTPublic{
		"it lacks the attribute sign":                                      with("ES256", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SignEncrypt = false }),
		"the key is restricted to what the TPM itself has made":            with("ES256", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = true }),
		"the key needs a policy":                                           with("ES256", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.UserWithAuth = false }),
		"the key is neither an EC nor an RSA key":                          with("ES256", func(p *tpm2.TPMTPublic) { p.Type = tpm2.TPMAlgKeyedHash }),
		"fixed to another hash function than that of ES256":                ecWith(tpm2.TPMECCNistP256, tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA384),
		"the key's scheme is not ECDSA, RSASSA or RSAPSS":                  ecWith(tpm2.TPMECCNistP256, tpm2.TPMAlgECDAA, tpm2.TPMAlgSHA256),
		"elliptic curve is not P-256, P-384 or P-521":                      ecWith(tpm2.TPMECCNistP224, tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA256),
		"the key's point is not on its curve":                              ecWith(tpm2.TPMECCNistP256, tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA256),
		"fixed to a hash function that is not SHA-256, SHA-384 or SHA-512": rsaWith(tpm2.TPMAlgRSASSA, tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA1})),
	} {
		if _, _, err := publicKey(area); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

func TestAlgorithmsOfFixedSchemes(t *testing.T) {
	for want, area := range map[string]*tpm2.TPMTPublic{
		"RS256 PS256": rsaWith(tpm2.TPMAlgNull, tpm2.TPMUAsymScheme{}),
		"RS512":       rsaWith(tpm2.TPMAlgRSASSA, tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA512})),
		"PS384":       rsaWith(tpm2.TPMAlgRSAPSS, tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSAPSS, &tpm2.TPMSSigSchemeRSAPSS{HashAlg: tpm2.TPMAlgSHA384})),
	} {
		if _, got, err := publicKey(area); err != nil || strings.Join(got, " ") != want {
			t.Errorf("the algorithms are %v (%v), want %s", got, err, want)
		}
	}
}
