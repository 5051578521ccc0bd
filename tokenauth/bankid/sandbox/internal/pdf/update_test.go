package pdf_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// updated returns a file with an update that adds a value, and what refers to it.
func updated(t testing.TB, file []byte, value any) ([]byte, pdf.Ref) {
	t.Helper()
	document, err := pdf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	update, err := document.NewUpdate()
	if err != nil {
		t.Fatal(err)
	}
	ref := update.Add(value)
	after, places, err := update.Append(bytes.Clone(file))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(after, file) || places[ref] < len(file) {
		t.Fatalf("the object is at %d of %q", places[ref], after)
	}
	return after, ref
}

func TestUpdateKeepsValues(t *testing.T) {
	for _, value := range []any{
		true, 0, -17, 1.5, -0.000001, pdf.Name("A B#/(é)"), pdf.Name(""), pdf.String(""), pdf.String(`(\) (`), pdf.String("\x00\xff"),
		pdf.Ref{Number: 3},
		pdf.Array{},
		pdf.Array{1, pdf.Ref{Number: 2}, nil, pdf.Array{pdf.Name("X"), 2}},
		pdf.Dict{},
		pdf.Dict{"A": pdf.Dict{"B": pdf.String("x")}, "": 1, "C D": pdf.Name("E")},
	} {
		for name, file := range map[string][]byte{"table": pdftest.Plain("x"), "stream": packed(t)} {
			file, ref := updated(t, file, pdf.Array{value}) // a reference within is not followed
			document, err := pdf.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := document.Resolve(ref); err != nil || !reflect.DeepEqual(got, pdf.Array{value}) {
				t.Errorf("%s: %#v becomes %#v, %v", name, value, got, err)
			}
		}
	}
}

func TestUpdateAddsStreams(t *testing.T) {
	for name, file := range map[string][]byte{"table": pdftest.Plain("x"), "stream": packed(t)} {
		data := []byte("endstream endobj \x00\r\n")
		once, ref := updated(t, file, &pdf.Stream{Data: data})
		twice, _ := updated(t, once, 1)
		document, err := pdf.Open(twice)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := document.Decode(ref); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, _, err := document.FirstPage(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoUpdate(t *testing.T) {
	for name, file := range map[string][]byte{
		"repaired":         bytes.Replace(pdftest.Plain("x"), []byte("startxref"), []byte("startXref"), 1),
		"bytes in front":   append([]byte("x"), pdftest.Plain("x")...),
		"too many objects": bytes.Replace(pdftest.Plain("x"), []byte("/Size 6"), []byte("/Size 9000000"), 1),
		"encrypted":        bytes.Replace(pdftest.Plain("x"), []byte("/Size 6"), []byte("/Size 6 /Encrypt 5 0 R"), 1),
	} {
		document, err := pdf.Open(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := document.NewUpdate(); err == nil {
			t.Errorf("%s: it can be updated", name)
		}
	}
}
