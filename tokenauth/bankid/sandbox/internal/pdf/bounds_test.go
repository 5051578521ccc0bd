package pdf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
)

// withForm is a file without a cross-reference. It has one page, and a form whose
// fields are object 4.
func withForm(objects string) []byte {
	return []byte("%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields 4 0 R>>>>endobj\n" +
		"2 0 obj<</Type/Pages/Kids[3 0 R]>>endobj\n3 0 obj<</Type/Page>>endobj\n" + objects)
}

func TestObjectBeforeItsStream(t *testing.T) {
	d, err := pdf.Open(withForm("4 0 obj[9 0 R]endobj 5 0 obj<</Type/ObjStm/N 1/First -100/Length 10>>stream\n9 5 <<>>  \nendstream endobj\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Signatures(); err == nil {
		t.Error("the object was found")
	}
}

// Without a bound, each of these would take from minutes to ages.
func TestOpenBoundsTime(t *testing.T) {
	d, err := pdf.Open(withForm("4 0 obj[<</Kids 4 0 R>><</Kids 4 0 R>>]endobj"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Signatures(); err == nil || !strings.Contains(err.Error(), "too complex") {
		t.Errorf("fields within fields: %v", err)
	}
	// many writes text with numbers: the first is odd, and the second is the next one.
	many := func(count int, format string) string {
		var all strings.Builder
		for i := range count {
			fmt.Fprintf(&all, format, 2*i+11, 2*i+12)
		}
		return all.String()
	}
	streams := many(20_000, "%[1]d 0 obj<</Length 4 0 R>>stream\nendstream\n")
	numbers := many(20_000, "%[2]d 0 ")
	packed := deflate(t, []byte(numbers+"7"+strings.Repeat(" ", 2<<20)))
	for name, objects := range map[string]string{
		"trailers in a comment": "%" + strings.Repeat("trailer 7 %", 200_000),
		"a long word":           streams + "4 0 obj" + strings.Repeat("x", 2<<20),
		"a space after streams": streams + "4 0 obj 1000000 endobj" + strings.Repeat(" ", 2<<20),
		"a space after numbers": fmt.Sprintf("4 0 obj<</Type/ObjStm/N 20000/First %d/Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n", len(numbers), len(packed), packed) +
			many(20_000, "%[1]d 0 obj<</Length %[2]d 0 R>>stream\nendstream\n"),
		"numbers apart": many(400_000, "%[1]d 0 obj\n"),
	} {
		t.Run(name, func(*testing.T) { _, _ = pdf.Open(withForm(objects)) })
	}
}

// What could not be decompressed counts too.
func TestDecompressionIsBounded(t *testing.T) {
	bomb := deflate(t, make([]byte, 31<<20))
	bomb[len(bomb)-1]++ // its checksum
	object := "1 0 <</Type/Catalog/Pages 2 0 R>>"
	good := deflate(t, []byte(object+strings.Repeat(" ", 2<<20)))
	open := func(before []byte) error {
		_, err := pdf.Open(fmt.Appendf(nil, "%%PDF-1.7\n2 0 obj<</Type/Pages/Kids[3 0 R]>>endobj 3 0 obj<</Type/Page>>endobj\n"+
			"4 0 obj<</Type/ObjStm/N 1/First 4/Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n"+
			"5 0 obj<</Type/ObjStm/N 1/First 4/Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n"+
			"trailer<</Root 1 0 R>>", len(before), before, len(good), good))
		return err
	}
	if err := open(bomb[:99]); err != nil {
		t.Error(err)
	}
	if err := open(bomb); err == nil {
		t.Error("33 MiB were decompressed")
	}
}
