package sandbox

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"
)

func TestCMS(t *testing.T) {
	ca, err := newCertAuthority("http://127.0.0.1:9771", new(clock))
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSealer(ca)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte("text"))
	cms, err := s.cms(hash[:])
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := signedHash(cms); !ok || !bytes.Equal(got, hash[:]) {
		t.Errorf("signed hash is %x, %v", got, ok)
	}
	var content cmsContent
	if rest, err := asn1.Unmarshal(cms, &content); err != nil || len(rest) > 0 {
		t.Fatalf("rest %x: %v", rest, err)
	}
	certificates, err := x509.ParseCertificates(content.Content.Certificates.Bytes)
	if err != nil || len(certificates) != 2 {
		t.Fatalf("there are %d certificates: %v", len(certificates), err)
	}
	certificate := certificates[slices.IndexFunc(certificates, func(c *x509.Certificate) bool { return !c.IsCA })]
	signer := content.Content.Signers[0]
	attributes := bytes.Clone(signer.SignedAttributes.FullBytes)
	attributes[0] = asn1.TagSet | 0x20
	if err := certificate.CheckSignature(x509.SHA256WithRSA, attributes, signer.Signature); err != nil {
		t.Error(err)
	}
}

// BankID packs signatures by one signer, with SHA256WithRSA.
func TestSignedHashOfOtherSignatures(t *testing.T) {
	ca, err := newCertAuthority("http://127.0.0.1:9771", new(clock))
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSealer(ca)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("text"))
	seal, err := s.cms(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	credential, err := ca.newCredential(Persons()[0], false)
	if err != nil {
		t.Fatal(err)
	}
	ecdsa, err := cmsSignature{certificate: credential.chain[0], key: credential.key}.detached(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	edited := func(edit func(*cmsSignedData)) []byte {
		var content cmsContent
		if _, err := asn1.Unmarshal(seal, &content); err != nil {
			t.Fatal(err)
		}
		edit(&content.Content)
		cms, err := asn1.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		return cms
	}
	algorithm := func(oid ...int) []byte {
		return edited(func(signed *cmsSignedData) { signed.Signers[0].SignatureAlgorithm.Algorithm = oid })
	}
	for name, test := range map[string]struct {
		cms []byte
		ok  bool
	}{
		"RSA":           {edited(func(*cmsSignedData) {}), true},
		"SHA256WithRSA": {algorithm(1, 2, 840, 113549, 1, 1, 11), true},
		"SHA384WithRSA": {algorithm(1, 2, 840, 113549, 1, 1, 12), false},
		"PSS":           {algorithm(1, 2, 840, 113549, 1, 1, 10), false},
		"ECDSA":         {ecdsa, false},
		"two signers":   {edited(func(signed *cmsSignedData) { signed.Signers = append(signed.Signers, signed.Signers[0]) }), false},
		"no signer":     {edited(func(signed *cmsSignedData) { signed.Signers = nil }), false},
	} {
		if _, ok := signedHash(test.cms); ok != test.ok {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

func TestSignedHashOfNoCMS(t *testing.T) {
	for _, cms := range []string{"", "x", "\x30\x00", "\x30\x80\x00\x00", "\x30\x80", "\x04\x80\x00\x00", "\x30\x84\xff\xff\xff\xff", "\x1f\x80"} {
		if hash, ok := signedHash([]byte(cms)); ok {
			t.Errorf("%x has hash %x", cms, hash)
		}
	}
}

func TestToDER(t *testing.T) {
	for ber, want := range map[string]string{
		"\x02\x01\x05":                 "\x02\x01\x05",
		"\x02\x81\x01\x05":             "\x02\x01\x05", // more octets of length than it takes
		"\x30\x80\x02\x01\x05\x00\x00": "\x30\x03\x02\x01\x05",
		"\x24\x80\x04\x01a\x24\x06\x04\x01b\x04\x01c\x00\x00": "\x04\x03abc",
		"\xbf\x81\x01\x80\x05\x00\x00\x00":                    "\xbf\x81\x01\x02\x05\x00",
		"\x04\x82\x00\xc8" + strings.Repeat("a", 200):         "\x04\x81\xc8" + strings.Repeat("a", 200),
	} {
		if der, err := toDER([]byte(ber)); err != nil || string(der) != want {
			t.Errorf("%x: %x, %v, want %x", ber, der, err, want)
		}
	}
	for _, bad := range []string{"", "\x30", "\x30\x80", "\x02\x80\x05\x00\x00", "\x02\x02\x05", "\x24\x03\x02\x01\x05", "\x05\x00\x05\x00", strings.Repeat("\x30\x80", 100)} {
		if der, err := toDER([]byte(bad)); err == nil {
			t.Errorf("%x becomes %x", bad, der)
		}
	}
}

func FuzzToDER(f *testing.F) {
	f.Add([]byte("\x24\x80\x04\x01a\x24\x06\x04\x01b\x04\x01c\x00\x00"))
	f.Add([]byte("\xbf\x81\x01\x80\x05\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, ber []byte) {
		der, err := toDER(ber)
		if err != nil {
			return
		}
		if again, err := toDER(der); err != nil || !bytes.Equal(again, der) {
			t.Errorf("%x becomes %x and then %x, %v", ber, der, again, err)
		}
		_, _ = signedHash(ber)
		_ = isOCSP(ber)
	})
}
