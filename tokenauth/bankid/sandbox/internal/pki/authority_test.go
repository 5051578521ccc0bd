package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// authorities are a root, one below it, and a certificate of that.
func authorities(t *testing.T, now func() time.Time) (root, below *Authority, leaf *x509.Certificate) {
	t.Helper()
	root, err := NewRoot(pkix.Name{CommonName: "root"}, Places{CRL: "http://x.example/root.crl"}, now)
	if err != nil {
		t.Fatal(err)
	}
	below, err = root.NewSubordinate(pkix.Name{CommonName: "below"}, Places{OCSP: "http://x.example/ocsp"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err = below.Issue(&x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return root, below, leaf
}

func TestChain(t *testing.T) {
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	root, below, leaf := authorities(t, func() time.Time { return start })
	chain := below.Chain()
	if len(chain) != 2 || chain[0] != below.Certificate || chain[1] != root.Certificate {
		t.Fatalf("the chain is %v", chain)
	}
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root.Certificate)
	others.AddCert(below.Certificate)
	for years, good := range map[int]bool{-11: false, -9: true, 0: true, 9: true, 11: false} {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, CurrentTime: start.AddDate(years, 0, 0)})
		if (err == nil) != good {
			t.Errorf("%d years from now: %v", years, err)
		}
	}
	if len(root.Certificate.CRLDistributionPoints) != 0 || len(below.Certificate.CRLDistributionPoints) != 1 || len(below.Certificate.OCSPServer) != 0 || len(leaf.OCSPServer) != 1 {
		t.Error("a certificate names the places of another authority")
	}
	if !leaf.NotAfter.Equal(root.Certificate.NotAfter) {
		t.Errorf("the leaf ends at %v", leaf.NotAfter)
	}
	// What is below cannot certify authorities.
	third, err := below.NewSubordinate(pkix.Name{CommonName: "third"}, Places{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := third.Certificate.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, CurrentTime: start}); err != nil {
		t.Fatal(err) // a leaf of the chain may be an authority
	}
	others.AddCert(third.Certificate)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	fourth, err := third.Issue(&x509.Certificate{Subject: pkix.Name{CommonName: "fourth"}}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fourth.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, CurrentTime: start}); err == nil {
		t.Error("the chain is longer than its authority allows")
	}
}

func TestSerialNumbers(t *testing.T) {
	root, below, leaf := authorities(t, time.Now)
	if len(leaf.SerialNumber.Bytes()) != 20 || leaf.SerialNumber.Sign() <= 0 {
		t.Errorf("the number is %x", leaf.SerialNumber)
	}
	if !below.issued(leaf.SerialNumber) || root.issued(leaf.SerialNumber) || below.issued(below.Certificate.SerialNumber) || !root.issued(below.Certificate.SerialNumber) {
		t.Error("an authority does not know what it has issued")
	}
	for bit := range 159 {
		other := *leaf.SerialNumber
		other.SetBit(leaf.SerialNumber, bit, leaf.SerialNumber.Bit(bit)^1)
		if below.issued(&other) {
			t.Fatalf("bit %d: %x counts as issued", bit, &other)
		}
	}
}

func TestNoResponder(t *testing.T) {
	root, below, _ := authorities(t, time.Now)
	if response, err := root.OCSP(below.Certificate); err == nil {
		t.Errorf("the response is %x", response)
	}
	request, err := ocsp.CreateRequest(below.Certificate, root.Certificate, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := root.RespondOCSP(request); string(got) != "\x30\x03\x0a\x01\x02" {
		t.Errorf("the response is %x, want internalError", got)
	}
}

// Times are those of now, to the second.
func TestTimes(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	_, below, leaf := authorities(t, func() time.Time { return at })
	der, err := below.OCSP(leaf)
	if err != nil {
		t.Fatal(err)
	}
	response, err := ocsp.ParseResponseForCert(der, leaf, below.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if response.Status != ocsp.Good || !response.ProducedAt.Equal(at) || !response.ThisUpdate.Equal(at) || !response.NextUpdate.Equal(at.Add(time.Hour)) {
		t.Errorf("the response is %+v", response)
	}
	list := func() *x509.RevocationList {
		der, err := below.CRL()
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := list.CheckSignatureFrom(below.Certificate); err != nil {
			t.Error(err)
		}
		// It tells about certificates that have expired, too: expiredCertsOnCRL.
		if !slices.ContainsFunc(list.Extensions, func(e pkix.Extension) bool { return e.Id.String() == "2.5.29.60" }) {
			t.Errorf("extensions are %v", list.Extensions)
		}
		return list
	}
	first := list()
	if !first.ThisUpdate.Equal(at) || !first.NextUpdate.Equal(at.AddDate(0, 0, 1)) || len(first.RevokedCertificateEntries) != 0 {
		t.Errorf("the list is %+v", first)
	}
	at = at.Add(time.Second)
	if second := list(); second.Number.Cmp(first.Number) <= 0 {
		t.Errorf("the second list has number %d, the first %d", second.Number, first.Number)
	}
}

func FuzzRespondOCSP(f *testing.F) {
	root, err := NewRoot(pkix.Name{CommonName: "root"}, Places{OCSP: "http://x.example/ocsp"}, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	request, err := ocsp.CreateRequest(root.Responder, root.Certificate, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, request []byte) {
		// It is a response in any case.
		var response struct {
			Status asn1.Enumerated
			Bytes  asn1.RawValue `asn1:"optional"`
		}
		if rest, err := asn1.Unmarshal(root.RespondOCSP(request), &response); err != nil || len(rest) > 0 || (response.Status == 0) != (len(response.Bytes.FullBytes) > 0) {
			t.Errorf("status %d, rest %x: %v", response.Status, rest, err)
		}
	})
}
