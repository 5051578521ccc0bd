package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
)

// signer makes a certificate for a key, which it certifies by itself.
func signer(t *testing.T, key crypto.Signer) Signer {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return Signer{Certificate: certificate, Key: key, Include: []*x509.Certificate{certificate}}
}

func rsaSigner(t *testing.T) Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer(t, key)
}

func ecdsaSigner(t *testing.T) Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer(t, key)
}

func TestDetached(t *testing.T) {
	hash := sha256.Sum256([]byte("text"))
	cms, err := rsaSigner(t).Detached(hash[:])
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := SignedHash(cms); !ok || !bytes.Equal(got, hash[:]) {
		t.Errorf("signed hash is %x, %v", got, ok)
	}
	var content contentInfo
	if rest, err := asn1.Unmarshal(cms, &content); err != nil || len(rest) > 0 {
		t.Fatalf("rest %x: %v", rest, err)
	}
	certificate, err := x509.ParseCertificate(content.Content.Certificates.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signer := content.Content.Signers[0]
	attributes := bytes.Clone(signer.SignedAttributes.FullBytes)
	attributes[0] = asn1.TagSet | 0x20
	if err := certificate.CheckSignature(x509.SHA256WithRSA, attributes, signer.Signature); err != nil {
		t.Error(err)
	}
}

// BankID packs signatures by one signer, with SHA256WithRSA.
func TestSignedHashOfOtherSignatures(t *testing.T) {
	sum := sha256.Sum256([]byte("text"))
	seal, err := rsaSigner(t).Detached(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	elliptic, err := ecdsaSigner(t).Detached(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	edited := func(edit func(*signedData)) []byte {
		var content contentInfo
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
		return edited(func(signed *signedData) { signed.Signers[0].SignatureAlgorithm.Algorithm = oid })
	}
	for name, test := range map[string]struct {
		cms []byte
		ok  bool
	}{
		"RSA":           {edited(func(*signedData) {}), true},
		"SHA256WithRSA": {algorithm(1, 2, 840, 113549, 1, 1, 11), true},
		"SHA384WithRSA": {algorithm(1, 2, 840, 113549, 1, 1, 12), false},
		"PSS":           {algorithm(1, 2, 840, 113549, 1, 1, 10), false},
		"ECDSA":         {elliptic, false},
		"two signers":   {edited(func(signed *signedData) { signed.Signers = append(signed.Signers, signed.Signers[0]) }), false},
		"no signer":     {edited(func(signed *signedData) { signed.Signers = nil }), false},
	} {
		if _, ok := SignedHash(test.cms); ok != test.ok {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

func TestSignedHashOfNoCMS(t *testing.T) {
	for _, cms := range []string{"", "x", "\x30\x00", "\x30\x80\x00\x00", "\x30\x80", "\x04\x80\x00\x00", "\x30\x84\xff\xff\xff\xff", "\x1f\x80"} {
		if hash, ok := SignedHash([]byte(cms)); ok {
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
		if der, err := ToDER([]byte(ber)); err != nil || string(der) != want {
			t.Errorf("%x: %x, %v, want %x", ber, der, err, want)
		}
	}
	for _, bad := range []string{"", "\x30", "\x30\x80", "\x02\x80\x05\x00\x00", "\x02\x02\x05", "\x24\x03\x02\x01\x05", "\x05\x00\x05\x00", strings.Repeat("\x30\x80", 100)} {
		if der, err := ToDER([]byte(bad)); err == nil {
			t.Errorf("%x becomes %x", bad, der)
		}
	}
}

func FuzzToDER(f *testing.F) {
	f.Add([]byte("\x24\x80\x04\x01a\x24\x06\x04\x01b\x04\x01c\x00\x00"))
	f.Add([]byte("\xbf\x81\x01\x80\x05\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, ber []byte) {
		der, err := ToDER(ber)
		if err != nil {
			return
		}
		if again, err := ToDER(der); err != nil || !bytes.Equal(again, der) {
			t.Errorf("%x becomes %x and then %x, %v", ber, der, again, err)
		}
		_, _ = SignedHash(ber)
		_, _ = Read(ber)
	})
}
