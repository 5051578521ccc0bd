package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
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
	case n == name{}:
		return "neither label nor id"
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

// shared returns what the halves of a pair have in common: the id, or without one, the label.
func (n name) shared() name {
	if n.id != "" {
		n.label = ""
	}
	return n
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
	private, err := s.objects(n.template(pkcs11.CKO_PRIVATE_KEY), maxNames+1)
	switch {
	case err != nil:
		return foundKey{}, err
	case len(private) == 0 && s.login && !s.loggedIn(): // so the session is lost
		return foundKey{}, fmt.Errorf("looking for a key: %w", pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN))
	case len(private) == 0:
		return foundKey{}, s.missing(n)
	case len(private) > 1:
		return foundKey{}, fmt.Errorf("it has several private keys with %v: give label and id, or another key; it has these: %s", n, s.names(private))
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

// maxNames is how many keys an error names.
const maxNames = 10

// names says which names objects have.
func (s *session) names(objects []pkcs11.ObjectHandle) string {
	var names []string
	for _, object := range objects[:min(len(objects), maxNames)] {
		label, _ := s.attribute(object, pkcs11.CKA_LABEL) // an object may lack it, or not show it
		id, _ := s.attribute(object, pkcs11.CKA_ID)
		names = append(names, fmt.Sprintf("%.120v", name{string(label), string(id)}))
	}
	if len(objects) > maxNames {
		names = append(names, "…")
	}
	return strings.Join(names, "; ")
}

// missing is the error if there is no private key called n.
func (s *session) missing(n name) error {
	if n.id == "" {
		if id, ok := s.certifiedID(n); ok {
			return fmt.Errorf("it has no private key with %v, which is that of a certificate: give id %x instead", n, id)
		}
	}
	objects, err := s.objects(name{}.template(pkcs11.CKO_PRIVATE_KEY), maxNames+1)
	if err != nil || len(objects) == 0 {
		return fmt.Errorf("it has no private key with %v; it has none at all that this PIN shows", n)
	}
	return fmt.Errorf("it has no private key with %v; it has these: %s", n, s.names(objects))
}

// certifiedID returns the id of a private key whose certificate is called n. Some programs,
// such as Java's keytool and NSS, give the label to the certificate of a key only.
func (s *session) certifiedID(n name) (id []byte, ok bool) {
	certificates, err := s.objects(n.template(pkcs11.CKO_CERTIFICATE), maxNames)
	if err != nil {
		return nil, false
	}
	for _, certificate := range certificates {
		id, err := s.attribute(certificate, pkcs11.CKA_ID)
		if err != nil || len(id) == 0 {
			continue
		}
		if keys, err := s.objects(name{id: string(id)}.template(pkcs11.CKO_PRIVATE_KEY), 1); err == nil && len(keys) > 0 {
			return id, true
		}
	}
	return nil, false
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
		// p11-kit 0.24.1 passes on all attributes but this one: CKR_DEVICE_ERROR.
		if _, err := s.attribute(key.private, pkcs11.CKA_CLASS); err != nil {
			return nil, fmt.Errorf("reading its mechanisms: %w", err)
		}
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
