package pkcs11

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// A point comes as an OCTET STRING, with a header that is like it, or bare. A bare one begins with the tag of an OCTET
// STRING, so one of 256 can be read as both.
func TestFormsOfAPoint(t *testing.T) {
	for _, c := range curves {
		length := byte(2*((c.curve.Params().BitSize+7)/8) + 1 - 2) // of what comes after tag and length
		for ambiguous := range 2 {
			private, err := ecdsa.GenerateKey(c.curve, rand.Reader)
			for ambiguous == 1 && c.curve != elliptic.P521() { // whose points begin with 0 or 1
				if err != nil || private.X.FillBytes(make([]byte, (c.curve.Params().BitSize+7)/8))[0] == length {
					break
				}
				private, err = ecdsa.GenerateKey(c.curve, rand.Reader)
			}
			if err != nil {
				t.Fatal(err)
			}
			bare, err := private.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			wrapped, err := asn1.Marshal(bare)
			if err != nil {
				t.Fatal(err)
			}
			short := append([]byte{asn1.TagOctetString, byte(len(bare))}, bare...) // of tpm2-pkcs11, also for P-521
			for form, point := range map[string][]byte{"bare": bare, "OCTET STRING": wrapped, "with a short length": short} {
				if public, err := parsePoint(c.curve, point); err != nil || !public.Equal(&private.PublicKey) {
					t.Errorf("%s, %s, ambiguous %d: %v", c.alg, form, ambiguous, err)
				}
			}
		}
		for _, point := range [][]byte{nil, {4, 1, 2}, make([]byte, 200)} {
			if _, err := parsePoint(c.curve, point); err == nil {
				t.Errorf("%s: what is not a point is taken for one", c.alg)
			}
		}
	}
}

// generateWith makes a key whose private half has more attributes.
func generateWith(t *testing.T, k *Key, alg string, more ...*pkcs11.Attribute) {
	t.Helper()
	err := k.token.do(t.Context(), func(s *session) error {
		mechanism, parameters, err := generation(alg)
		if err != nil {
			return err
		}
		common := k.name.template(0)[1:]
		public := append([]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true)}, common...)
		private := append([]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		}, append(more, common...)...)
		_, _, err = s.GenerateKeyPair(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, append(public, parameters...), private)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// allowed is the attribute of a key that may be used by these mechanisms only.
func allowed(mechanisms ...uint) *pkcs11.Attribute {
	var value []byte
	for _, m := range mechanisms {
		value = append(value, pkcs11.NewAttribute(pkcs11.CKA_ALLOWED_MECHANISMS, m).Value...)
	}
	return pkcs11.NewAttribute(pkcs11.CKA_ALLOWED_MECHANISMS, value)
}

// A key may be allowed for some of the token's mechanisms only.
func TestAllowedMechanisms(t *testing.T) {
	l := hookedLibrary(nil)
	k, _ := newKey(t, l, "seals", "allowed-pss")
	generateWith(t, k, "RS256", allowed(pkcs11.CKM_SHA256_RSA_PKCS_PSS, pkcs11.CKM_RSA_PKCS_PSS))
	key, err := k.Key(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if public, err := key.Public(); err != nil || !strings.Contains(string(public), `"alg":"PS256"`) {
		t.Errorf("the key is %s (%v), want one for PS256", public, err)
	}
	if err := key.Try(t.Context()); err != nil {
		t.Error(err)
	}
	k, _ = newKey(t, l, "seals", "allowed-none")
	generateWith(t, k, "ES256", allowed(pkcs11.CKM_ECDSA_SHA256))
	if _, err := k.Key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "CKA_ALLOWED_MECHANISMS") {
		t.Errorf("error is %v", err)
	}
}

// without hides an attribute of private keys.
type without struct {
	cryptoki
	kind uint
}

func (w *without) GetAttributeValue(session pkcs11.SessionHandle, object pkcs11.ObjectHandle, template []*pkcs11.Attribute) ([]*pkcs11.Attribute, error) {
	class, err := w.cryptoki.GetAttributeValue(session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, nil)})
	if err == nil && template[0].Type == w.kind && class[0].Value[0] == pkcs11.CKO_PRIVATE_KEY {
		return nil, pkcs11.Error(pkcs11.CKR_ATTRIBUTE_TYPE_INVALID)
	}
	return w.cryptoki.GetAttributeValue(session, object, template)
}

// A private RSA key need not have the public exponent (PKCS#11 v2.40 section 2.1.3).
func TestRSAKeyWithoutItsExponent(t *testing.T) {
	made := makeKey(t, hookedLibrary(nil), "seals", "exponent", "RS256")
	k, _ := newKey(t, newLibrary(softHSM, func(path string) (cryptoki, error) {
		loaded, err := load(path)
		return &without{loaded, pkcs11.CKA_PUBLIC_EXPONENT}, err
	}, new(guards)), "seals", "exponent")
	if key, err := k.Key(t.Context(), ""); err != nil || key.Thumbprint() != made.Thumbprint() {
		t.Errorf("the key is %v, want %v (%v)", key, made, err)
	}
}

// A module may have no token but one that is not initialized, as SoftHSM when it is new.
func TestTokenThatIsNotInitialized(t *testing.T) {
	l := newLibrary(softHSM, func(path string) (cryptoki, error) {
		loaded, err := load(path)
		return &fresh{loaded}, err
	}, new(guards))
	k, _ := newKey(t, l, "seals", "seal")
	_, err := k.Key(t.Context(), "")
	if err == nil || errors.Is(err, errModule) || !strings.Contains(err.Error(), "it is not there; the module has one that is not initialized") {
		t.Errorf("error is %v", err)
	}
	if l.generation.Load() > 0 {
		t.Error("the module was initialized again")
	}
}

// fresh is a module whose only token is not initialized.
type fresh struct{ cryptoki }

func (f *fresh) GetTokenInfo(uint) (pkcs11.TokenInfo, error) {
	return pkcs11.TokenInfo{Flags: pkcs11.CKF_LOGIN_REQUIRED}, nil
}

// A key may want the PIN for every signature, as those for qualified signatures on smart
// cards do.
func TestKeyThatWantsThePINForEverySignature(t *testing.T) {
	k, _ := newKey(t, hookedLibrary(nil), "seals", "always")
	generateWith(t, k, "ES256", pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_ALWAYS_AUTHENTICATE, true))
	if _, err := k.Key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "it wants the PIN for every signature (CKA_ALWAYS_AUTHENTICATE)") {
		t.Errorf("error is %v", err)
	}
}

// with calls f with the PKCS#11 module and a session.
func with(t *testing.T, k *Key, f func(module *pkcs11.Ctx, s *session) error) {
	t.Helper()
	if err := k.token.do(t.Context(), func(s *session) error { return f(s.cryptoki.(*pkcs11.Ctx), s) }); err != nil {
		t.Fatal(err)
	}
}

// certify stores a certificate of the key, with a label of its own.
func certify(t *testing.T, k *Key, id, label string) {
	t.Helper()
	_, issuer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with(t, k, func(module *pkcs11.Ctx, s *session) error {
		key, err := s.find(k.name)
		if err != nil {
			return err
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.public, issuer)
		if err != nil {
			return err
		}
		_, err = module.CreateObject(s.handle, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_CERTIFICATE), pkcs11.NewAttribute(pkcs11.CKA_CERTIFICATE_TYPE, pkcs11.CKC_X_509),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_SUBJECT, []byte{0x30, 0}),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, id), pkcs11.NewAttribute(pkcs11.CKA_VALUE, der),
		})
		return err
	})
}

// destroyPublic destroys the public half of the key.
func destroyPublic(t *testing.T, k *Key) {
	t.Helper()
	with(t, k, func(module *pkcs11.Ctx, s *session) error {
		public, err := s.publicObject(k.name)
		if err != nil {
			return err
		}
		return module.DestroyObject(s.handle, public)
	})
}

// Java's keytool stores a private key without a label, and in the place of the public key
// a certificate, which has the label.
func TestKeyOfJava(t *testing.T) {
	l := hookedLibrary(nil)
	for _, alg := range []string{"ES256", "RS256"} {
		k, _ := newKey(t, l, "seals", "")
		k.name = name{id: "java" + alg}
		made, err := k.MakeKey(t.Context(), alg)
		if err != nil {
			t.Fatal(err)
		}
		certify(t, k, k.name.id, "alias-"+alg)
		destroyPublic(t, k)
		key, err := k.Key(t.Context(), "")
		if err != nil || key.Thumbprint() != made.Thumbprint() {
			t.Fatalf("%s: the key is %v, want %v (%v)", alg, key, made, err)
		}
		if err := key.Try(t.Context()); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		want := fmt.Sprintf("it has no private key with label 'alias-%s', which is that of a certificate: give id %x instead", alg, k.name.id)
		k.name = name{label: "alias-" + alg}
		if _, err := k.Key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("by the label of the certificate, the error is %v, want %s", err, want)
		}
	}
}

// Certificates may have the same id, as the keys of programs that do not choose one.
func TestCertificatesWithTheSameID(t *testing.T) {
	l := hookedLibrary(nil)
	labels := []string{"certified-first", "certified-second"}
	made := make(map[string]string)
	for _, label := range labels {
		k, _ := newKey(t, l, "seals", label)
		k.name.id = "same-certified"
		generateWith(t, k, "ES256")
		key, err := k.Key(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		made[label] = key.Thumbprint()
		certify(t, k, k.name.id, label)
		destroyPublic(t, k)
	}
	for _, label := range labels {
		k, _ := newKey(t, l, "seals", label)
		if key, err := k.Key(t.Context(), ""); err != nil || key.Thumbprint() != made[label] {
			t.Errorf("%s is %v, want %s (%v)", label, key, made[label], err)
		}
	}
}

// A certificate may be that of another pair. The numbers of an RSA key say which is its own.
func TestCertificateOfAnotherPair(t *testing.T) {
	l := newLibrary(softHSM, func(path string) (cryptoki, error) {
		loaded, err := load(path)
		return &without{loaded, pkcs11.CKA_PUBLIC_EXPONENT}, err
	}, new(guards))
	plain := hookedLibrary(nil)
	for _, c := range []struct{ alg, of, want string }{
		{"RS256", "RS256", "its certificate is of another key"},
		{"ES256", "RS256", "its certificate is of another key"},
		{"RS256", "RS256 own", ""},
		{"ES256", "ES256 own", "it has certificates of several keys beside it: give each pair an id of its own"},
	} {
		of, both := strings.CutSuffix(c.of, " own")
		other, _ := newKey(t, plain, "seals", "other than "+c.alg+c.of)
		generateWith(t, other, of)
		k, _ := newKey(t, plain, "seals", "")
		k.name.id = "mixed " + c.alg + c.of
		made, err := k.MakeKey(t.Context(), c.alg)
		if err != nil {
			t.Fatal(err)
		}
		certify(t, other, k.name.id, "other")
		if both {
			certify(t, k, k.name.id, "own")
		}
		destroyPublic(t, k)
		again, _ := newKey(t, l, "seals", "")
		again.name = k.name
		key, err := again.Key(t.Context(), "")
		switch {
		case c.want == "" && (err != nil || key.Thumbprint() != made.Thumbprint()):
			t.Errorf("%s beside %s: the key is %v, want %v (%v)", c.alg, c.of, key, made, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s beside %s: error is %v, want %s", c.alg, c.of, err, c.want)
		}
	}
}

// A certificate may have no private key on the token, such as that of an authority.
func TestLabelOfACertificateWithoutAKey(t *testing.T) {
	k, _ := newKey(t, hookedLibrary(nil), "names", "certified")
	k.name.id = "certified"
	if _, err := k.MakeKey(t.Context(), "ES256"); err != nil {
		t.Fatal(err)
	}
	certify(t, k, "authority", "authority")
	k.name = name{label: "authority"}
	if _, err := k.Key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "it has no private key with label 'authority'; it has these: ") {
		t.Errorf("error is %v", err)
	}
	k.name = name{id: "certified"}
	certify(t, k, "certified", "authority")
	k.name = name{label: "authority"}
	if _, err := k.Key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "which is that of a certificate: give id 636572746966696564 instead") {
		t.Errorf("of two certificates, the error is %v", err)
	}
}

// The public half of another key may have the same label.
func TestPublicKeyOfAnotherPair(t *testing.T) {
	k, _ := newKey(t, hookedLibrary(nil), "seals", "alone")
	k.name.id = "one"
	if _, err := k.MakeKey(t.Context(), "ES256"); err != nil {
		t.Fatal(err)
	}
	with(t, k, func(module *pkcs11.Ctx, s *session) error {
		public, err := s.publicObject(k.name)
		if err != nil {
			return err
		}
		return module.SetAttributeValue(s.handle, public, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ID, "other")})
	})
	k.name.id = ""
	if _, err := k.Key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "there is no public key or certificate beside it with id 6f6e65: store one") {
		t.Errorf("error is %v", err)
	}
}

// Keys may have the same label, or none.
func TestErrorsNameKeysByTheirIDs(t *testing.T) {
	l := hookedLibrary(nil)
	for _, n := range []name{{"twin", "a"}, {"twin", "b"}, {"", "unlabelled"}} {
		k, _ := newKey(t, l, "names", "")
		k.name = n
		generateWith(t, k, "ES256")
	}
	for label, wants := range map[string][]string{
		"twin":   {"it has several private keys with label 'twin'", "label 'twin', id 61", "label 'twin', id 62"},
		"absent": {"it has no private key with label 'absent'; it has these: ", "label 'twin', id 62", "id 756e6c6162656c6c6564"},
	} {
		k, _ := newKey(t, l, "names", label)
		for _, want := range wants {
			if _, err := k.Key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %s", err, want)
			}
		}
	}
}

// A key may be for something else, such as ECDH.
func TestKeyThatMayNotSign(t *testing.T) {
	l := hookedLibrary(nil)
	key := makeKey(t, l, "seals", "ecdh", "ES256")
	k, _ := newKey(t, l, "seals", "ecdh")
	with(t, k, func(module *pkcs11.Ctx, s *session) error {
		found, err := s.find(k.name)
		if err != nil {
			return err
		}
		return module.SetAttributeValue(s.handle, found.private, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_SIGN, false)})
	})
	if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "its key with label 'ecdh' is not for signatures (CKA_SIGN)") {
		t.Errorf("error is %v", err)
	}
}

// rsaOnly is a module that makes no EC keys.
type rsaOnly struct{ cryptoki }

func (r *rsaOnly) GenerateKeyPair(pkcs11.SessionHandle, []*pkcs11.Mechanism, []*pkcs11.Attribute, []*pkcs11.Attribute) (pkcs11.ObjectHandle, pkcs11.ObjectHandle, error) {
	return 0, 0, pkcs11.Error(pkcs11.CKR_MECHANISM_INVALID)
}

func TestTokenThatMakesNoECKeys(t *testing.T) {
	k, _ := newKey(t, newLibrary(softHSM, func(path string) (cryptoki, error) {
		loaded, err := load(path)
		return &rsaOnly{loaded}, err
	}, new(guards)), "seals", "rsaonly")
	if _, err := k.MakeKey(t.Context(), "ES256"); err == nil || !strings.Contains(err.Error(), "it cannot make keys for ES256 (pkcs11: 0x70: CKR_MECHANISM_INVALID): give another --alg") {
		t.Errorf("error is %v", err)
	}
}
