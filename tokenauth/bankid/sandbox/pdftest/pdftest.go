// Package pdftest makes small PDF files for tests that upload documents to the sandbox. A
// reader can open them.
package pdftest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
)

// Plain returns a PDF of one page that shows a line of text, in ASCII without
// parentheses.
func Plain(text string) []byte {
	content := fmt.Sprintf("BT /F1 24 Tf 72 720 Td (%s) Tj ET", text)
	u := update{number: 1}
	u.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	u.object("<< /Type /Catalog /Pages 2 0 R >>")
	u.object("<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
	u.object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>")
	u.object(fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content))
	u.object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
	u.end("0 6\n0000000000 65535 f \n", "/Size 6 /Root 1 0 R")
	return u.Bytes()
}

// Form returns a PDF like [Plain], with a form that has a text field. The form, its list
// of fields and the annotations of the page are written as parts of others if direct,
// and otherwise as objects of their own.
func Form(text string, direct bool) []byte {
	content := fmt.Sprintf("BT /F1 24 Tf 72 720 Td (%s) Tj ET", text)
	form, fields := "<< /Fields [6 0 R] /DA (/Helv 0 Tf 0 g) >>", "[6 0 R]"
	annotations := fields
	if !direct {
		form, annotations = "7 0 R", "8 0 R"
	}
	u := update{number: 1}
	u.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	u.object("<< /Type /Catalog /Pages 2 0 R /AcroForm " + form + " >>")
	u.object("<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
	u.object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Annots " + annotations +
		" /Resources << /Font << /F1 5 0 R >> >> >>")
	u.object(fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content))
	u.object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
	u.object("<< /Type /Annot /Subtype /Widget /FT /Tx /T (Signature1) /Rect [72 600 272 620] /F 4 /P 3 0 R >>")
	u.object("<< /Fields 8 0 R /DA (/Helv 0 Tf 0 g) >>")
	u.object(fields)
	u.end("0 9\n0000000000 65535 f \n", "/Size 9 /Root 1 0 R")
	return u.Bytes()
}

// Hybrid returns a PDF like [Plain] that is a hybrid-reference file: its font is in an
// object stream, which only readers of PDF 1.5 find.
func Hybrid(text string) []byte {
	content := fmt.Sprintf("BT /F1 24 Tf 72 720 Td (%s) Tj ET", text)
	font := "5 0 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
	u := update{number: 1}
	u.WriteString("%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")
	u.object("<< /Type /Catalog /Pages 2 0 R >>")
	u.object("<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
	u.object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>")
	u.object(fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content))
	packed := u.Len()
	fmt.Fprintf(&u, "6 0 obj\n<< /Type /ObjStm /N 1 /First 4 /Length %d >>\nstream\n%s\nendstream\nendobj\n", len(font), font)
	stream := u.Len()
	rows := []byte{2, 0, 6, 0, 1, byte(packed >> 8), byte(packed), 0} //nolint:gosec // a small file
	fmt.Fprintf(&u, "7 0 obj\n<< /Type /XRef /Size 8 /Root 1 0 R /W [1 2 1] /Index [5 2] /Length %d >>\nstream\n%s\nendstream\nendobj\n", len(rows), rows)
	u.end("5 3\n0000000000 00000 f \n0000000000 00000 f \n0000000000 00000 f \n0 5\n0000000000 65535 f \n",
		fmt.Sprintf("/Size 8 /Root 1 0 R /XRefStm %d", stream))
	return u.Bytes()
}

// contentsSize is how many bytes there are for a signature.
const contentsSize = 4096

// Signed returns Plain(text) with an invisible signature. Instead of a CMS, it has the
// SHA-256 hash that the CMS would be for.
func Signed(text string) []byte {
	plain := Plain(text)
	u := update{number: 6}
	u.Write(plain)
	// The places of ByteRange and Contents are filled in below.
	const room = "[0 0000000000 0000000000 0000000000]"
	u.object("<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached\n/ByteRange " + room +
		"\n/Contents <" + string(bytes.Repeat([]byte{'0'}, 2*contentsSize)) + "> >>")
	u.object("<< /Type /Annot /Subtype /Widget /FT /Sig /T (Signature1) /V 6 0 R /Rect [0 0 0 0] /F 132 /P 3 0 R >>")
	catalog := u.Len()
	u.WriteString("1 0 obj\n<< /Type /Catalog /Pages 2 0 R /AcroForm << /SigFlags 3 /Fields [7 0 R] >> >>\nendobj\n")
	page := u.Len()
	u.WriteString("3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Annots [7 0 R] " +
		"/Resources << /Font << /F1 5 0 R >> >> >>\nendobj\n")
	before := bytes.LastIndex(plain, []byte("startxref\n")) + len("startxref\n")
	u.end(fmt.Sprintf("1 1\n%010d 00000 n \n3 1\n%010d 00000 n \n6 2\n", catalog, page),
		fmt.Sprintf("/Size 8 /Root 1 0 R /Prev %s", bytes.Fields(plain[before:])[0]))

	file := u.Bytes()
	start := bytes.Index(file, []byte("/Contents <00")) + len("/Contents ")
	end := start + 2*contentsSize + len("<>")
	at := bytes.Index(file, []byte(room))
	copy(file[at:], fmt.Sprintf("[0 %010d %010d %010d]", start, end, len(file)-end))
	hash := sha256.New()
	hash.Write(file[:start])
	hash.Write(file[end:])
	copy(file[start+1:], fmt.Appendf(nil, "%x", hash.Sum(nil)))
	return file
}

// An update is a part of a file that ends with a cross-reference table.
type update struct {
	bytes.Buffer

	number  int   // of the next object
	offsets []int // of the objects
}

func (u *update) object(value string) {
	u.offsets = append(u.offsets, u.Len())
	fmt.Fprintf(u, "%d 0 obj\n%s\nendobj\n", u.number, value)
	u.number++
}

// end writes the table, which begins as given and goes on with the objects.
func (u *update) end(table, trailer string) {
	start := u.Len()
	u.WriteString("xref\n" + table)
	for _, offset := range u.offsets {
		fmt.Fprintf(u, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(u, "trailer\n<< %s >>\nstartxref\n%d\n%%%%EOF\n", trailer, start)
}
