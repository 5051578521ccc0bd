package pades_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pades"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// FuzzSign signs whatever can be opened, also with a cross-reference that is right. What
// comes out can be opened without a repair, and has a time-stamp of all of it.
func FuzzSign(f *testing.F) {
	a := newAuthority(f)
	for _, file := range kinds(f) {
		f.Add(file)
	}
	f.Add(pdftest.Signed("Contract"))
	d := pades.Details{Time: time.Now(), Seal: &pades.Seal{Lines: []string{"Signed"}}}
	f.Add(sign(f, a.at(pades.LTA), pdftest.Plain("Contract"), d))
	try := func(t *testing.T, file []byte) {
		before := bytes.Clone(file)
		signed, err := a.at(pades.LTA).Sign(t.Context(), file, d)
		if !bytes.Equal(before, file) {
			t.Fatal("the file was changed")
		}
		if err != nil {
			return
		}
		if !bytes.HasPrefix(signed, file) {
			t.Fatal("the file is not the beginning of the signed one")
		}
		document, err := pdf.Open(signed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := document.NewUpdate(); err != nil {
			t.Fatal(err)
		}
		list, err := document.Signatures()
		if err != nil {
			t.Fatal(err)
		}
		whole := 0
		for _, s := range list {
			if s.Timestamp && s.End() == len(signed) && s.ByteRange[2]-s.ByteRange[1] == 2*len(s.Contents)+len("<>") {
				whole++
			}
		}
		if whole != 1 || len(list) < 2 {
			t.Errorf("of %d signatures, %d are time-stamps of the whole file", len(list), whole)
		}
		if _, err := a.extender().Extend(t.Context(), signed); err != nil {
			t.Error(err)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		try(t, file)
		try(t, fixed(file))
	})
}
