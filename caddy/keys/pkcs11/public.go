package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"
)

// public returns the public key that belongs to a private key.
func (s *session) public(n name, private pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	kind, err := s.attribute(private, pkcs11.CKA_KEY_TYPE)
	if err != nil {
		return nil, fmt.Errorf("reading its type: %w", err)
	}
	// A pair has the same id. Some programs give all keys the same id, or none, but each its
	// own label.
	pair := n
	if id, err := s.attribute(private, pkcs11.CKA_ID); err == nil && len(id) > 0 {
		pair.id = string(id)
	}
	switch {
	case bytes.Equal(kind, pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC).Value):
		public, err := s.publicEC(pair)
		if errors.Is(err, errNoPublic) {
			return s.certified(pair, err, func(public crypto.PublicKey) bool {
				_, ok := public.(*ecdsa.PublicKey)
				return ok
			})
		}
		return public, err
	case bytes.Equal(kind, pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA).Value):
		return s.publicRSA(pair, private)
	}
	return nil, errors.New("it is neither an EC nor an RSA key")
}

// errNoPublic is the error if a private key has no public key beside it.
var errNoPublic = errors.New("there is no public key or certificate beside it")

// halves returns objects of a class that are called n, or else those that have its id and
// another label.
func (s *session) halves(n name, class uint, most int) ([]pkcs11.ObjectHandle, error) {
	objects, err := s.objects(n.template(class), most)
	if err == nil && len(objects) == 0 && n.id != "" {
		return s.objects(n.shared().template(class), most)
	}
	return objects, err
}

// certified returns the public key in a certificate of the key called n, or missing if there
// is no certificate: Java's keytool stores no other public key. fits reports whether a public
// key can be that of the private key.
func (s *session) certified(n name, missing error, fits func(crypto.PublicKey) bool) (crypto.PublicKey, error) {
	certificates, err := s.halves(n, pkcs11.CKO_CERTIFICATE, maxNames)
	switch {
	case err != nil:
		return nil, err
	case len(certificates) == 0:
		return nil, missing
	}
	var found crypto.PublicKey
	unfit := errors.New("its certificate is of another key")
	for _, object := range certificates {
		der, err := s.attribute(object, pkcs11.CKA_VALUE)
		if err != nil {
			return nil, fmt.Errorf("reading its certificate: %w", err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			unfit = errors.New("its certificate, which is in the place of a public key, cannot be read")
			continue
		}
		if !fits(certificate.PublicKey) {
			continue
		}
		// Certificates that follow each other may have the same key.
		if same, ok := found.(interface{ Equal(crypto.PublicKey) bool }); ok && !same.Equal(certificate.PublicKey) {
			return nil, errors.New("it has certificates of several keys beside it: give each pair an id of its own")
		}
		found = certificate.PublicKey
	}
	if found == nil {
		return nil, unfit
	}
	return found, nil
}

// publicRSA returns the public key of a private RSA key, which has its numbers too. On some
// tokens it lacks the exponent; then the public key called n has it, or a certificate.
func (s *session) publicRSA(n name, private pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	modulus, err := s.attribute(private, pkcs11.CKA_MODULUS)
	if err != nil {
		return nil, fmt.Errorf("reading its modulus: %w", err)
	}
	number := new(big.Int).SetBytes(modulus)
	exponent, err := s.attribute(private, pkcs11.CKA_PUBLIC_EXPONENT)
	if is(err, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID) || err == nil && len(exponent) == 0 {
		var public pkcs11.ObjectHandle
		public, err = s.publicObject(n)
		switch {
		case errors.Is(err, errNoPublic):
			return s.certified(n, err, func(public crypto.PublicKey) bool {
				key, ok := public.(*rsa.PublicKey)
				return ok && key.N.Cmp(number) == 0
			})
		case err != nil:
			return nil, err
		}
		exponent, err = s.attribute(public, pkcs11.CKA_PUBLIC_EXPONENT)
	}
	if err != nil {
		return nil, fmt.Errorf("reading its exponent: %w", err)
	}
	e := new(big.Int).SetBytes(exponent)
	if !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
		return nil, errors.New("its exponent is not usable")
	}
	return &rsa.PublicKey{N: number, E: int(e.Int64())}, nil
}

// curves are the curves of EC keys, by their object identifiers.
var curves = []struct {
	oid   asn1.ObjectIdentifier
	curve elliptic.Curve
	alg   string
}{
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, elliptic.P256(), "ES256"},
	{asn1.ObjectIdentifier{1, 3, 132, 0, 34}, elliptic.P384(), "ES384"},
	{asn1.ObjectIdentifier{1, 3, 132, 0, 35}, elliptic.P521(), "ES512"},
}

// publicObject returns the public key called n, or else one that has its id and another
// label.
func (s *session) publicObject(n name) (pkcs11.ObjectHandle, error) {
	objects, err := s.halves(n, pkcs11.CKO_PUBLIC_KEY, 2)
	switch {
	case err != nil:
		return 0, err
	case len(objects) == 0:
		return 0, fmt.Errorf("%w with %v: store one", errNoPublic, n.shared())
	case len(objects) > 1:
		return 0, errors.New("there are several public keys beside it: give each pair an id of its own")
	}
	return objects[0], nil
}

// publicEC returns the public EC key called n. A private EC key does not have the point.
func (s *session) publicEC(n name) (crypto.PublicKey, error) {
	public, err := s.publicObject(n)
	if err != nil {
		return nil, err
	}
	parameters, err := s.attribute(public, pkcs11.CKA_EC_PARAMS)
	if err != nil {
		return nil, fmt.Errorf("reading its curve: %w", err)
	}
	point, err := s.attribute(public, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, fmt.Errorf("reading its point: %w", err)
	}
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(parameters, &oid); err != nil {
		return nil, errors.New("its elliptic curve has no name")
	}
	var curve elliptic.Curve
	for _, c := range curves {
		if c.oid.Equal(oid) {
			curve = c.curve
		}
	}
	if curve == nil {
		return nil, errors.New("its elliptic curve is not P-256, P-384 or P-521")
	}
	key, err := parsePoint(curve, point)
	if err != nil {
		return nil, errors.New("its point is not on its curve")
	}
	return key, nil
}

// parsePoint returns the public key of a point. The point should be in an OCTET STRING, but
// some modules give it bare, and tpm2-pkcs11 1.9 has another header for P-521 than DER. So
// it is what stands at the end.
func parsePoint(curve elliptic.Curve, value []byte) (*ecdsa.PublicKey, error) {
	const maxHeader = 3
	header := len(value) - (1 + 2*((curve.Params().BitSize+7)/8))
	if header < 0 || header > maxHeader {
		return nil, errors.New("it has another length than a point")
	}
	return ecdsa.ParseUncompressedPublicKey(curve, value[header:])
}
