package sandbox_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// A document that a reader could not open is refused, and so is what the order
// cannot be carried out with.
func TestUnfitDocuments(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign esign/qtsa")
	encrypted := bytes.Replace(pdftest.Plain("x"), []byte("/Size 6 /Root 1 0 R"), []byte("/Root 1 0 R /Encrypt 5 0 R"), 1)
	repairable := bytes.ReplaceAll(pdftest.Plain("x"), []byte("startxref"), nil)
	truncated := pdftest.Plain("x")[:100]
	locked := bytes.Replace(pdftest.Signed("x"), []byte("/Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached"),
		[]byte("/Reference [<</TransformMethod/DocMDP/TransformParams<</P 1>> >>]"), 1) // as long
	const signDoc, signDocV0, lta = "/v1/signdoc/pades", "/signdoc/pades", "/v1/timestamp/pades/lta"
	for _, test := range []struct {
		target, document string
		want             string // "" if the document is taken
	}{
		{signDoc, pdf("x"), ""},
		{signDocV0, pdf("x"), ""},
		{lta, pdf("x"), "Document contains no signatures"},
		{signDoc, signedPDF("x"), ""},
		{signDocV0, signedPDF("x"), ""},
		{lta, signedPDF("x"), ""},
		{lta, base64.StdEncoding.EncodeToString(locked), ""},
		{signDoc, base64.StdEncoding.EncodeToString(locked), "Document is corrupt"},
		{signDoc, "SGVsbG8=", "Document is corrupt"},
		{signDoc, base64.StdEncoding.EncodeToString([]byte("%PDF-1.7\n%%EOF\n")), "Document is corrupt"},
		{signDocV0, base64.StdEncoding.EncodeToString(truncated), "Document is corrupt"},
		{lta, base64.StdEncoding.EncodeToString(truncated), "Document is corrupt"},
		{signDoc, base64.StdEncoding.EncodeToString(encrypted), "Document is encrypted"},
		{lta, base64.StdEncoding.EncodeToString(encrypted), "Document is encrypted"},
		{signDoc, base64.StdEncoding.EncodeToString(repairable), "Document is corrupt"},
		{signDocV0, base64.StdEncoding.EncodeToString(repairable), "Document is corrupt"},
		{lta, base64.StdEncoding.EncodeToString(bytes.Replace(pdftest.Signed("x"), []byte("%PDF"), []byte("\n%PDF"), 1)), "Document is corrupt"},
	} {
		w := create(t, s, test.target, authorization, strings.NewReader(orderAt(test.target, test.document)))
		if test.want == "" {
			decode[map[string]string](t, w, http.StatusCreated)
			continue
		}
		results := decode[converted](t, w, http.StatusBadRequest).Results
		if len(results) != 1 || results[0].Converted || len(results[0].Errors) != 1 || results[0].Errors[0] != test.want || results[0].Document != "" {
			t.Errorf("%s: results are %+v, want %q", test.target, results, test.want)
		}
	}
}
