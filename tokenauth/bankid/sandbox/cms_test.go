package sandbox

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"testing"
)

func TestCMS(t *testing.T) {
	ca, err := newCertAuthority()
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

func TestSignedHashOfNoCMS(t *testing.T) {
	for _, cms := range []string{"", "x", "\x30\x00", "\x30\x80\x00\x00"} {
		if hash, ok := signedHash([]byte(cms)); ok {
			t.Errorf("%x has hash %x", cms, hash)
		}
	}
}
