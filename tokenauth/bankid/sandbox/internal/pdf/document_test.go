package pdf_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// packed is a PDF 1.5 whose objects are in an object stream, and whose
// cross-reference is a stream with a predictor.
func packed(t testing.TB, edit ...string) []byte {
	t.Helper()
	var file bytes.Buffer
	file.WriteString("%PDF-1.5\n")
	objects := []string{"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R>>"}
	var header, body string
	for i, object := range objects {
		header += fmt.Sprintf("%d %d ", i+1, len(body))
		body += object + " "
	}
	container := file.Len()
	data := deflate(t, []byte(header+body))
	fmt.Fprintf(&file, "4 0 obj<</Type/ObjStm/N 3/First %d/Filter[/FlateDecode]/Length 6 0 R>>stream\r\n%s\r\nendstream endobj\n", len(header), data)
	length := file.Len()
	fmt.Fprintf(&file, "6 0 obj %d endobj\n", len(data))
	start := file.Len()
	var rows []byte
	above := make([]byte, 4)
	for _, row := range [][]any{{0, 0, 0}, {2, 4, 0}, {2, 4, 1}, {2, 4, 2}, {1, container, 0}, {1, start, 0}, {1, length, 0}} {
		plain := []byte{byte(row[0].(int)), 0, 0, byte(row[2].(int))}
		binary.BigEndian.PutUint16(plain[1:], uint16(row[1].(int)))
		rows = append(rows, 2)
		for i := range plain {
			rows = append(rows, plain[i]-above[i])
		}
		above = plain
	}
	data = deflate(t, rows)
	fmt.Fprintf(&file, "5 0 obj<</Type/XRef/Size 7/W[1 2 1]/Root 1 0 R/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 4>>/Length %d>>stream\n", len(data))
	file.Write(data)
	fmt.Fprintf(&file, "\nendstream endobj\nstartxref\n%d\n%%%%EOF", start)
	return []byte(strings.NewReplacer(edit...).Replace(file.String()))
}

func deflate(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// edited is a plain file in which texts were replaced by others of the same
// length, so that the cross-reference stays right.
func edited(t testing.TB, pairs ...string) []byte {
	t.Helper()
	file := string(pdftest.Plain("Contract"))
	for pair := range slices.Chunk(pairs, 2) {
		if len(pair[0]) != len(pair[1]) || !strings.Contains(file, pair[0]) {
			t.Fatalf("%q cannot become %q", pair[0], pair[1])
		}
		file = strings.Replace(file, pair[0], pair[1], 1)
	}
	return []byte(file)
}

func TestOpen(t *testing.T) {
	plain := pdftest.Plain("Contract")
	for name, test := range map[string]struct {
		file       []byte
		encrypted  bool
		signatures int
	}{
		"plain":                {file: plain},
		"packed":               {file: packed(t)},
		"signed":               {file: pdftest.Signed("Contract"), signatures: 1},
		"after other bytes":    {file: append([]byte("\xef\xbb\xbf"), plain...)},
		"before other bytes":   {file: append(slices.Clone(plain), make([]byte, 900)...)},
		"encrypted":            {file: edited(t, "/Size 6 /Root 1 0 R", "/Encrypt 5 0 R     "), encrypted: true},
		"comment in an object": {file: edited(t, "/Kids [3 0 R] /Count 1", "/Kids[3 0 R]%] /Coun\n ")},
	} {
		d, err := pdf.Open(test.file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.Encrypted() != test.encrypted {
			t.Errorf("%s: encrypted is %v", name, d.Encrypted())
		}
		if test.encrypted {
			continue
		}
		if signatures, err := d.Signatures(); err != nil || len(signatures) != test.signatures {
			t.Errorf("%s: %d signatures: %v", name, len(signatures), err)
		}
	}
}

func TestSignature(t *testing.T) {
	file := pdftest.Signed("Contract")
	d, err := pdf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	signatures, err := d.Signatures()
	if err != nil || len(signatures) != 1 {
		t.Fatalf("%d signatures: %v", len(signatures), err)
	}
	r := signatures[0].ByteRange
	if len(r) != 4 || r[0] != 0 || r[2]+r[3] != len(file) || file[r[1]] != '<' || file[r[2]-1] != '>' || len(signatures[0].Contents) != 4096 {
		t.Errorf("range %v of %d bytes, %d bytes of contents", r, len(file), len(signatures[0].Contents))
	}
}

func TestUnfilledSignatureFieldIsNotSigned(t *testing.T) {
	for _, pair := range [][2]string{
		{"/V 6 0 R", "/X 6 0 R"},
		{"/FT /Sig", "/FT /Btn"},
		{"/Fields [7 0 R]", "/Felder [7 0 R]"},
		{"/AcroForm <<", "/BcroForm <<"},
		{"/ByteRange [0 000", "/ByteRange [0 900"},
	} {
		file := bytes.Replace(pdftest.Signed("Contract"), []byte(pair[0]), []byte(pair[1]), 1)
		d, err := pdf.Open(file)
		if err != nil {
			t.Fatal(pair, err)
		}
		if signatures, err := d.Signatures(); err != nil || len(signatures) != 0 {
			t.Errorf("%v: %d signatures: %v", pair, len(signatures), err)
		}
	}
}

// Readers open these, so the sandbox does too.
func TestOpenRepairs(t *testing.T) {
	plain := pdftest.Plain("Contract")
	table := bytes.Index(plain, []byte("xref\n"))
	for name, file := range map[string][]byte{
		"no startxref":                plain[:bytes.Index(plain, []byte("startxref"))],
		"no cross-reference":          plain[:table],
		"no position":                 bytes.Replace(plain, []byte(fmt.Sprintf("startxref\n%d", table)), []byte("startxref\n"), 1),
		"position outside":            bytes.Replace(plain, []byte(fmt.Sprintf("startxref\n%d", table)), []byte("startxref\n99999"), 1),
		"all positions wrong":         append([]byte("%PDF-1.4\n"), plain...),
		"lines end with CR and LF":    bytes.ReplaceAll(plain, []byte("\n"), []byte("\r\n")),
		"sections in a circle":        edited(t, "<< /Size 6 /Root 1 0 R", fmt.Sprintf("<</Prev %d/Root 1 0 R", table)),
		"more entries than there are": edited(t, "xref\n0 6", "xref\n0 9"),
		"wrong length":                edited(t, "/Length 39", "/Length 93"),
		"packed, no startxref":        bytes.Split(packed(t), []byte("startxref"))[0],
		"packed, wrong filter":        packed(t, "/W[1 2 1]/Root 1 0 R/Filter/FlateDecode", "/W[1 2 1]/Root 1 0 R/Filter/LZWDecode"),
		"packed, wrong predictor":     packed(t, "/Predictor 12", "/Predictor 2"),
		"packed, too many entries":    packed(t, "/Size 7", "/Size 8"),
		"packed, wrong widths":        packed(t, "/W[1 2 1]", "/W[1 2 9]"),
		"packed, wrong length":        packed(t, "/Columns 4>>/Length ", "/Columns 4>>/Length 9"),
	} {
		if _, err := pdf.Open(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	damaged := bytes.ReplaceAll(pdftest.Signed("Contract"), []byte("startxref"), []byte("startXref"))
	d, err := pdf.Open(damaged)
	if err != nil {
		t.Fatal(err)
	}
	if signatures, err := d.Signatures(); err != nil || len(signatures) != 1 {
		t.Errorf("%d signatures: %v", len(signatures), err)
	}
	d, err = pdf.Open(bytes.ReplaceAll(edited(t, "/Size 6 /Root 1 0 R", "/Encrypt 5 0 R     "), []byte("startxref"), nil))
	if err != nil || !d.Encrypted() {
		t.Errorf("encrypted: %v", err)
	}
}

// Of an object with several versions, the last one in the file counts, wherever it is.
func TestOpenRepairsUpdates(t *testing.T) {
	const pages = "2 0 obj<</Type/Pages/Kids[3 0 R]>>endobj 3 0 obj<</Type/Page>>endobj\n"
	const field = "5 0 obj<</FT/Sig/V 6 0 R>>endobj 6 0 obj<</ByteRange[0 1 2 1]/Contents<00>>>endobj\n"
	const before, after = "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[5 0 R]>>>>"
	plain := func(catalog string) string { return "1 0 obj" + catalog + "endobj trailer<</Root 1 0 R>>\n" }
	packed := func(number int, catalog string) string {
		return fmt.Sprintf("%d 0 obj<</Type/ObjStm/N 1/First 4>>stream\n1 0 %s\nendstream endobj\n"+
			"%d 0 obj<</Type/XRef/Root 1 0 R>>stream\nendstream endobj\n", number, catalog, number+1)
	}
	for name, file := range map[string]string{
		"plain and plain":           plain(before) + plain(after),
		"plain and packed":          plain(before) + packed(10, after),
		"packed and plain":          packed(10, before) + plain(after),
		"packed and packed":         packed(10, before) + packed(20, after),
		"packed and packed earlier": packed(20, before) + packed(10, after),
	} {
		d, err := pdf.Open([]byte("%PDF-1.7\n" + pages + field + file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if signatures, err := d.Signatures(); err != nil || len(signatures) != 1 {
			t.Errorf("%s: %d signatures: %v", name, len(signatures), err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for want, file := range map[string][]byte{
		"there is no header":                                      []byte("Hello"),
		"there is no startxref at the end":                        []byte("%PDF-1.7\n%%EOF\n"),
		"the cross-reference: there is no startxref":              []byte("%PDF-1.7\n" + strings.Repeat("junk 1 0 obj", 100)),
		"there is no position after startxref":                    []byte("%PDF-1.7\nstartxref\n%%EOF\n"),
		"it is outside of the file":                               []byte("%PDF-1.7\nstartxref\n99\n%%EOF\n"),
		"the page tree: there is something other than a dict":     edited(t, "/Pages 2 0 R", "/Pages 9 0 R"),
		"the catalog: there is something other than a dictionary": edited(t, "/Root 1 0 R", "/Root 9 0 R"),
		"the catalog: there is something other":                   edited(t, "/Root 1 0 R", "/Root (abc)"),
		"the page tree: it has no pages":                          edited(t, "/Kids [3 0 R]", "/Kids [     ]"),
		"the page tree: it is too deep":                           edited(t, "/Kids [3 0 R]", "/Kids [2 0 R]"),
		"it has no end":                                           edited(t, "/Pages 2 0 R >>\nendobj", "/Pages 2 0 R >>\nendOBJ"),
		"it is not written as an object is":                       edited(t, "/Pages 2 0 R >>", "/Pages 2 0 X >>"),
		"references lead to references":                           edited(t, "<< /Type /Catalog /Pages 2 0 R >>", "1 0 R                            "),
		"it has fewer objects than it says":                       packed(t, "/N 3", "/N 30"),
	} {
		if _, err := pdf.Open(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}

// What is small in the file and large in memory is an error.
func TestOpenBoundsMemory(t *testing.T) {
	bomb := deflate(t, make([]byte, 33<<20))
	for name, dict := range map[string]string{
		"entries":    "/Type/XRef/Size 100000000/W[1 0 0]",
		"predictors": "/Type/XRef/Size 9/W[1 0 0]/DecodeParms<</Predictor 12/Columns 4>>",
	} {
		file := fmt.Appendf(nil, "%%PDF-1.5\n1 0 obj<<%s/Root 1 0 R/Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj startxref 9 %%%%EOF", dict, len(bomb), bomb)
		if _, err := pdf.Open(file); err == nil || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%s: %v", name, err)
		}
	}
	nested := "<</Type/Catalog/Pages" + strings.Repeat("[", 100_000) + ">>"
	file := fmt.Appendf(nil, "%%PDF-1.5\n1 0 obj %s endobj xref 0 2 0 0 f 9 0 n trailer<</Root 1 0 R>>", nested)
	file = fmt.Appendf(file, " startxref %d %%%%EOF", bytes.Index(file, []byte("xref")))
	if _, err := pdf.Open(file); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
		t.Errorf("nested: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(pdftest.Plain("Contract"))
	f.Add(packed(f))
	f.Add(pdftest.Signed("Contract"))
	f.Add([]byte("%PDF- 0 0 obj<<>>stream"))
	f.Add(packed(f, "startxref", ""))
	f.Add(edited(f, "/Kids [3 0 R]", "/Kids [2 0 R]"))
	f.Add([]byte("%PDF-1.7\n1 0 obj<</A(\\053\\\r\n))/B<4>/C#20[+1 -.5 true null]>>stream\nxref\n0 0 trailer<</Root 1 0 R/Prev 9>>startxref 60"))
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := pdf.Open(file)
		if err != nil || d.Encrypted() {
			return
		}
		signatures, err := d.Signatures()
		if err != nil {
			return
		}
		for _, s := range signatures {
			end := s.ByteRange[len(s.ByteRange)-2] + s.ByteRange[len(s.ByteRange)-1]
			if len(s.Contents) == 0 || end > len(file) {
				t.Errorf("signature of %d bytes over %v of %d", len(s.Contents), s.ByteRange, len(file))
			}
		}
	})
}

// Another generation of an object is another object, also after the object was read.
func TestGenerations(t *testing.T) {
	d, err := pdf.Open(pdftest.Plain("x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []pdf.Ref{{Number: 5, Generation: 1}, {Number: 5}, {Number: 5, Generation: 1}} {
		if object, err := d.Resolve(ref); err != nil || (object == nil) != (ref.Generation == 1) {
			t.Errorf("%v is %v, %v", ref, object, err)
		}
	}
}
