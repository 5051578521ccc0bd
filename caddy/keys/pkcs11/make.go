package pkcs11

import (
	"crypto/rand"
	"encoding/asn1"
	"fmt"

	"github.com/miekg/pkcs11"
)

// rsaBits is the size of RSA keys that are made, in bits, as of those in files.
const rsaBits = 2048

// generate makes a key pair called n for the JWS algorithm alg.
func (s *session) generate(n name, alg string) error {
	// A gateway may use a key by its label or by its id alone.
	for _, used := range []name{{label: n.label}, {id: n.id}} {
		if used == (name{}) {
			continue
		}
		existing, err := s.objects(used.template(pkcs11.CKO_PRIVATE_KEY), 1)
		switch {
		case err != nil:
			return err
		case len(existing) > 0:
			return fmt.Errorf("it has a private key with %v already, which may be in use: give another one", used)
		}
	}
	mechanism, parameters, err := generation(alg)
	if err != nil {
		return err
	}
	if n.id == "" {
		id := make([]byte, 8) // this is what tells one pair from another
		_, _ = rand.Read(id)
		n.id = string(id)
	}
	attribute := pkcs11.NewAttribute
	common := []*pkcs11.Attribute{attribute(pkcs11.CKA_TOKEN, true), attribute(pkcs11.CKA_ID, []byte(n.id))}
	if n.label != "" {
		common = append(common, attribute(pkcs11.CKA_LABEL, n.label))
	}
	public := append([]*pkcs11.Attribute{attribute(pkcs11.CKA_VERIFY, true)}, common...)
	private := append([]*pkcs11.Attribute{
		attribute(pkcs11.CKA_SIGN, true), attribute(pkcs11.CKA_PRIVATE, true),
		attribute(pkcs11.CKA_SENSITIVE, true), attribute(pkcs11.CKA_EXTRACTABLE, false),
	}, common...)
	_, _, err = s.GenerateKeyPair(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, append(public, parameters...), private)
	switch {
	case is(err, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_DOMAIN_PARAMS_INVALID, pkcs11.CKR_CURVE_NOT_SUPPORTED):
		return fmt.Errorf("it cannot make keys for %s (%w): give another --alg", alg, err)
	case err != nil:
		return fmt.Errorf("making the key: %w", err)
	}
	return nil
}

// generation returns the mechanism that makes keys for alg, and attributes of the public
// key that say which.
func generation(alg string) (mechanism uint, parameters []*pkcs11.Attribute, err error) {
	if alg == "RS256" {
		return pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, rsaBits),
			pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
		}, nil
	}
	for _, c := range curves {
		if c.alg == alg {
			oid, err := asn1.Marshal(c.oid)
			return pkcs11.CKM_EC_KEY_PAIR_GEN, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, oid)}, err
		}
	}
	return 0, nil, fmt.Errorf("cannot make a key for the algorithm '%.20s': use ES256, ES384, ES512 or RS256", alg)
}
