package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// curves are the curves of EC keys, with the hash function of their JWS algorithm.
var curves = []struct {
	id    tpm2.TPMECCCurve
	curve elliptic.Curve
	alg   string
	hash  tpm2.TPMIAlgHash
}{
	{tpm2.TPMECCNistP256, elliptic.P256(), "ES256", tpm2.TPMAlgSHA256},
	{tpm2.TPMECCNistP384, elliptic.P384(), "ES384", tpm2.TPMAlgSHA384},
	{tpm2.TPMECCNistP521, elliptic.P521(), "ES512", tpm2.TPMAlgSHA512},
}

// publicKey returns the public key in a public area, and its JWS algorithms, the preferred
// one first. If the key cannot sign for JWS, the error says why.
func publicKey(area *tpm2.TPMTPublic) (crypto.PublicKey, []string, error) {
	switch attributes := area.ObjectAttributes; {
	case !attributes.SignEncrypt:
		return nil, nil, errors.New("the key is not for signatures: it lacks the attribute sign")
	case attributes.Restricted:
		return nil, nil, errors.New("the key is restricted to what the TPM itself has made: make one without the attribute restricted")
	case !attributes.UserWithAuth:
		return nil, nil, errors.New("the key needs a policy, which is not supported: make one with the attribute userwithauth")
	}
	switch area.Type {
	case tpm2.TPMAlgECC:
		return publicEC(area)
	case tpm2.TPMAlgRSA:
		return publicRSA(area)
	default:
		return nil, nil, errors.New("the key is neither an EC nor an RSA key")
	}
}

// publicEC is publicKey for an EC key.
func publicEC(area *tpm2.TPMTPublic) (crypto.PublicKey, []string, error) {
	parameters, err := area.Parameters.ECCDetail()
	if err != nil {
		return nil, nil, err
	}
	point, err := area.Unique.ECC()
	if err != nil {
		return nil, nil, err
	}
	for _, c := range curves {
		if c.id != parameters.CurveID {
			continue
		}
		if parameters.Scheme.Scheme != tpm2.TPMAlgNull {
			hash, err := fixedHash(parameters.Scheme.Scheme, parameters.Scheme.Details)
			switch {
			case err != nil:
				return nil, nil, err
			case hash != c.hash:
				return nil, nil, fmt.Errorf("the key's scheme is fixed to another hash function than that of %s", c.alg)
			}
		}
		public, err := uncompressed(c.curve, point)
		return public, []string{c.alg}, err
	}
	return nil, nil, errors.New("the key's elliptic curve is not P-256, P-384 or P-521")
}

// uncompressed returns the public key with the given point. A TPM may leave out zeros at
// the beginning of a coordinate.
func uncompressed(curve elliptic.Curve, point *tpm2.TPMSECCPoint) (crypto.PublicKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	octets := make([]byte, 1+2*size)
	octets[0] = 4 // uncompressed (SEC 1 section 2.3.3)
	for i, coordinate := range [][]byte{point.X.Buffer, point.Y.Buffer} {
		if len(coordinate) > size {
			return nil, errors.New("the key's point is not on its curve")
		}
		copy(octets[1+(i+1)*size-len(coordinate):], coordinate)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, octets)
	if err != nil {
		return nil, errors.New("the key's point is not on its curve")
	}
	return public, nil
}

// publicRSA is publicKey for an RSA key.
func publicRSA(area *tpm2.TPMTPublic) (crypto.PublicKey, []string, error) {
	parameters, err := area.Parameters.RSADetail()
	if err != nil {
		return nil, nil, err
	}
	modulus, err := area.Unique.RSA()
	if err != nil {
		return nil, nil, err
	}
	public, err := tpm2.RSAPub(parameters, modulus)
	if err != nil {
		return nil, nil, err
	}
	if parameters.Scheme.Scheme == tpm2.TPMAlgNull {
		return public, []string{"RS256", "PS256"}, nil
	}
	hash, err := fixedHash(parameters.Scheme.Scheme, parameters.Scheme.Details)
	if err != nil {
		return nil, nil, err
	}
	prefix := "RS"
	if parameters.Scheme.Scheme == tpm2.TPMAlgRSAPSS {
		prefix = "PS"
	}
	for _, c := range curves { // the same hash functions
		if c.hash == hash {
			return public, []string{prefix + c.alg[2:]}, nil
		}
	}
	return nil, nil, errors.New("the key's scheme is fixed to a hash function that is not SHA-256, SHA-384 or SHA-512")
}

// fixedHash returns the hash function that a key's scheme is fixed to.
func fixedHash(scheme tpm2.TPMAlgID, details tpm2.TPMUAsymScheme) (tpm2.TPMIAlgHash, error) {
	switch scheme {
	case tpm2.TPMAlgECDSA:
		d, err := details.ECDSA()
		if err != nil {
			return 0, err
		}
		return d.HashAlg, nil
	case tpm2.TPMAlgRSASSA:
		d, err := details.RSASSA()
		if err != nil {
			return 0, err
		}
		return d.HashAlg, nil
	case tpm2.TPMAlgRSAPSS:
		d, err := details.RSAPSS()
		if err != nil {
			return 0, err
		}
		return d.HashAlg, nil
	default:
		return 0, errors.New("the key's scheme is not ECDSA, RSASSA or RSAPSS")
	}
}
