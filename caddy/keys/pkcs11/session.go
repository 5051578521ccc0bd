package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"
)

// A session is an open session. One goroutine uses it at a time.
type session struct {
	cryptoki
	handle pkcs11.SessionHandle
	slot   uint
	login  bool  // the token shows private keys to those who are logged in only
	age    int64 // the library's generation when it was opened
	keys   map[name]foundKey
}

// loggedIn reports whether the session is logged in, as far as the module knows.
func (s *session) loggedIn() bool {
	info, err := s.GetSessionInfo(s.handle)
	return err == nil && (info.State == pkcs11.CKS_RW_USER_FUNCTIONS || info.State == pkcs11.CKS_RO_USER_FUNCTIONS)
}

// A name is how a key is found: by its label (CKA_LABEL), its id (CKA_ID, as bytes), or
// both.
type name struct{ label, id string }

// String describes the name.
func (n name) String() string {
	switch {
	case n.id == "":
		return "label '" + n.label + "'"
	case n.label == "":
		return "id " + hex.EncodeToString([]byte(n.id))
	}
	return "label '" + n.label + "', id " + hex.EncodeToString([]byte(n.id))
}

// template returns the attributes of objects of that class and name.
func (n name) template(class uint) []*pkcs11.Attribute {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}
	if n.label != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, n.label))
	}
	if n.id != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(n.id)))
	}
	return template
}

// A foundKey is a key pair on the token.
type foundKey struct {
	private pkcs11.ObjectHandle
	public  crypto.PublicKey
}

// key returns the key called n, as it was found before in this session.
func (s *session) key(n name) (foundKey, error) {
	if found, ok := s.keys[n]; ok {
		return found, nil
	}
	return s.find(n)
}

// errAlways is the error for a key that the gateway cannot use.
var errAlways = errors.New("it wants the PIN for every signature (CKA_ALWAYS_AUTHENTICATE), which the gateway does not give: make another key")

// find looks for the key called n.
func (s *session) find(n name) (foundKey, error) {
	delete(s.keys, n)
	private, err := s.objects(n.template(pkcs11.CKO_PRIVATE_KEY), 2)
	switch {
	case err != nil:
		return foundKey{}, err
	case len(private) == 0 && s.login && !s.loggedIn(): // so the session is lost
		return foundKey{}, fmt.Errorf("looking for a key: %w", pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN))
	case len(private) == 0:
		return foundKey{}, fmt.Errorf("it has no private key with %v; %s", n, s.labels())
	case len(private) > 1:
		return foundKey{}, fmt.Errorf("it has several private keys with %v: give label and id", n)
	}
	always, err := s.attribute(private[0], pkcs11.CKA_ALWAYS_AUTHENTICATE)
	if err == nil && bytes.Equal(always, pkcs11.NewAttribute(pkcs11.CKA_ALWAYS_AUTHENTICATE, true).Value) {
		return foundKey{}, fmt.Errorf("its key with %v: %w", n, errAlways)
	}
	public, err := s.public(n, private[0])
	if err != nil {
		return foundKey{}, fmt.Errorf("its key with %v: %w", n, err)
	}
	found := foundKey{private[0], public}
	s.keys[n] = found
	return found, nil
}

// objects returns at most the given number of objects that match template.
func (s *session) objects(template []*pkcs11.Attribute, most int) ([]pkcs11.ObjectHandle, error) {
	if err := s.FindObjectsInit(s.handle, template); err != nil {
		return nil, fmt.Errorf("looking for a key: %w", err)
	}
	objects, _, err := s.FindObjects(s.handle, most)
	if finalErr := s.FindObjectsFinal(s.handle); err == nil {
		err = finalErr
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a key: %w", err)
	}
	return objects, nil
}

// labels says which labels private keys have.
func (s *session) labels() string {
	objects, err := s.objects(name{}.template(pkcs11.CKO_PRIVATE_KEY), 10)
	if err != nil || len(objects) == 0 {
		return "it has none at all that this PIN shows"
	}
	var labels []string
	for _, object := range objects {
		if label, err := s.attribute(object, pkcs11.CKA_LABEL); err == nil {
			labels = append(labels, fmt.Sprintf("'%.40s'", label))
		}
	}
	return "it has some with the labels " + strings.Join(labels, ", ")
}

// attribute returns an attribute of an object.
func (s *session) attribute(object pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	attributes, err := s.GetAttributeValue(s.handle, object, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	switch {
	case err != nil:
		return nil, err
	case len(attributes) != 1:
		return nil, errors.New("an attribute is missing")
	}
	return attributes[0].Value, nil
}

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
		return s.publicEC(pair)
	case bytes.Equal(kind, pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA).Value):
		return s.publicRSA(pair, private)
	}
	return nil, errors.New("it is neither an EC nor an RSA key")
}

// publicRSA returns the public key of a private RSA key, which has its numbers too. On some
// tokens it lacks the exponent; then the public key called n has it.
func (s *session) publicRSA(n name, private pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	modulus, err := s.attribute(private, pkcs11.CKA_MODULUS)
	if err != nil {
		return nil, fmt.Errorf("reading its modulus: %w", err)
	}
	exponent, err := s.attribute(private, pkcs11.CKA_PUBLIC_EXPONENT)
	if is(err, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID) || err == nil && len(exponent) == 0 {
		var public pkcs11.ObjectHandle
		if public, err = s.publicObject(n); err != nil {
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
	return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(e.Int64())}, nil
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
	objects, err := s.objects(n.template(pkcs11.CKO_PUBLIC_KEY), 2)
	if err == nil && len(objects) == 0 && n.id != "" {
		objects, err = s.objects(name{id: n.id}.template(pkcs11.CKO_PUBLIC_KEY), 2)
	}
	switch {
	case err != nil:
		return 0, err
	case len(objects) == 0:
		return 0, errors.New("there is no public key beside it: store one with the same id or label")
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

// parsePoint returns the public key of a point. The point should be an OCTET STRING, but
// some modules give what is in it. That begins with 4 too, the tag of an OCTET STRING.
func parsePoint(curve elliptic.Curve, point []byte) (*ecdsa.PublicKey, error) {
	if bare, err := ecdsa.ParseUncompressedPublicKey(curve, point); err == nil {
		return bare, nil
	}
	var octets []byte
	if _, err := asn1.Unmarshal(point, &octets); err != nil {
		return nil, err
	}
	return ecdsa.ParseUncompressedPublicKey(curve, octets)
}

// algorithms returns the JWS algorithms that the token has for a key, the preferred one
// first.
func (s *session) algorithms(key foundKey) ([]string, error) {
	mechanisms, err := s.GetMechanismList(s.slot)
	if err != nil {
		return nil, fmt.Errorf("listing mechanisms: %w", err)
	}
	// A key without the attribute is for all mechanisms. Not all tokens know the attribute.
	allowed, err := s.attribute(key.private, pkcs11.CKA_ALLOWED_MECHANISMS)
	if isLost(err) {
		return nil, fmt.Errorf("reading its mechanisms: %w", err)
	}
	has := func(kind uint) bool {
		return (len(allowed) == 0 || contains(allowed, kind)) &&
			slices.ContainsFunc(mechanisms, func(m *pkcs11.Mechanism) bool { return m.Mechanism == kind })
	}
	var algorithms []string
	switch key := key.public.(type) {
	case *ecdsa.PublicKey:
		for _, c := range curves {
			if c.curve == key.Curve && has(pkcs11.CKM_ECDSA) {
				algorithms = append(algorithms, c.alg)
			}
		}
	case *rsa.PublicKey:
		for _, bits := range []string{"256", "384", "512"} {
			if has(pkcs11.CKM_RSA_PKCS) {
				algorithms = append(algorithms, "RS"+bits)
			}
			if has(pkcs11.CKM_RSA_PKCS_PSS) {
				algorithms = append(algorithms, "PS"+bits)
			}
		}
	}
	if len(algorithms) == 0 {
		return nil, errors.New("it has no mechanism for signatures with this key (CKM_ECDSA for EC; CKM_RSA_PKCS or CKM_RSA_PKCS_PSS for RSA), or the key is not for it (CKA_ALLOWED_MECHANISMS)")
	}
	return algorithms, nil
}

// contains reports whether one of the values in an attribute is value.
func contains(attribute []byte, value uint) bool {
	encoded := pkcs11.NewAttribute(0, value).Value
	for one := range slices.Chunk(attribute, len(encoded)) {
		if bytes.Equal(one, encoded) {
			return true
		}
	}
	return false
}
