package pades_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pades"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// kinds are files of each kind that can be signed.
func kinds(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{
		"table":            pdftest.Plain("Contract"),
		"hybrid":           pdftest.Hybrid("Contract"),
		"form":             pdftest.Form("Contract", false),
		"form in catalog":  pdftest.Form("Contract", true),
		"trailing newline": append(pdftest.Plain("Contract"), "\r\n\r\n"...),
		"no newline":       bytes.TrimSpace(pdftest.Plain("Contract")),
	}
	for _, name := range []string{"linearized", "objectstreams", "linearizedobjectstreams"} { // made by qpdf
		files[name] = testdata(t, name)
	}
	return files
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", name+".pdf"))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func details() pades.Details {
	const markup = "\n/Contents <00> /ByteRange [0 0000000000"
	return pades.Details{Time: time.Now(), Name: "Bjørg (Åse)", Reason: markup[1:], Location: markup, ContactInfo: markup[1:]}
}

func sign(t testing.TB, signer *pades.Signer, file []byte, d pades.Details) []byte {
	t.Helper()
	signed, err := signer.Sign(t.Context(), file, d)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(signed, file) {
		t.Fatal("the file is not the beginning of the signed one")
	}
	return signed
}

// signatures returns the signatures of a file that needs no repair, in the order of what
// they cover. Each covers all bytes but its contents up to its end.
func signatures(t testing.TB, file []byte) []pdf.Signature {
	t.Helper()
	document, err := pdf.Open(file)
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
	slices.SortFunc(list, func(a, b pdf.Signature) int { return a.End() - b.End() })
	for _, s := range list {
		gap := 2*len(s.Contents) + len("<>")
		if r := s.ByteRange; len(r) != 4 || r[0] != 0 || r[2]-r[1] != gap {
			t.Errorf("a signature of %d bytes covers %v", gap, r)
		}
	}
	if last := list[len(list)-1]; last.End() != len(file) {
		t.Errorf("the last signature covers %d of %d bytes", last.End(), len(file))
	}
	return list
}

// verify has OpenSSL verify a signature, with the root of an authority.
func verify(t *testing.T, a *authority, file []byte, s pdf.Signature) {
	t.Helper()
	dir := t.TempDir()
	content := slices.Concat(file[:s.ByteRange[1]], file[s.ByteRange[2]:s.End()])
	for name, data := range map[string][]byte{
		"cms": s.Contents, "content": content,
		"root": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.cert.Raw}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "openssl", "cms", "-verify", "-binary", "-cades", "-purpose", "any",
		"-inform", "DER", "-in", "cms", "-content", "content", "-CAfile", "root", "-out", "out")
	command.Dir = dir
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

func TestSignEachKindOfFile(t *testing.T) {
	a := newAuthority(t)
	for name, file := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			if err := pades.Check(file); err != nil {
				t.Fatal(err)
			}
			once := sign(t, a.at(pades.B), file, details())
			twice := sign(t, a.at(pades.LTA), once, details())
			thrice := sign(t, a.at(pades.T), twice, details())
			list := signatures(t, thrice)
			var stamps []bool
			for _, s := range list {
				stamps = append(stamps, s.Timestamp)
			}
			if !slices.Equal(stamps, []bool{false, false, true, false}) {
				t.Fatalf("the document time-stamps are %v", stamps)
			}
			verify(t, a, thrice, list[0])
			verify(t, a, thrice, list[1])
			verify(t, a, thrice, list[3])
			if got := string(list[0].Dict["Name"].(pdf.String)); got != "\xfe\xff\x00B\x00j\x00\xf8\x00r\x00g\x00 \x00(\x00\xc5\x00s\x00e\x00)" {
				t.Errorf("the name is %q", got)
			}
			names := fieldNames(t, thrice)
			if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
				t.Errorf("the fields are %q", names)
			}
		})
	}
}

// fieldNames are the names of all fields in the form.
func fieldNames(t *testing.T, file []byte) []string {
	t.Helper()
	document, catalog := open(t, file)
	form, err := document.Dict(catalog["AcroForm"])
	if err != nil {
		t.Fatal(err)
	}
	fields, err := document.Array(form["Fields"])
	if err != nil {
		t.Fatal(err)
	}
	_, page, err := document.FirstPage()
	if err != nil {
		t.Fatal(err)
	}
	if annotations, err := document.Array(page["Annots"]); err != nil || !slices.Equal(annotations, fields) {
		t.Errorf("the annotations are %v, %v, and the fields are %v", annotations, err, fields)
	}
	var names []string
	for _, f := range fields {
		field, err := document.Dict(f)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, string(field["T"].(pdf.String)))
	}
	return names
}

func open(t *testing.T, file []byte) (*pdf.Document, pdf.Dict) {
	t.Helper()
	document, err := pdf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	_, catalog, err := document.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	return document, catalog
}

// The name of a field can be in UTF-16 or UTF-8 (ISO 32000-2, section 7.9.2.2).
func TestNamesOfFieldsDiffer(t *testing.T) {
	signer := newAuthority(t).at(pades.B)
	file := pdftest.Form("Contract", false)
	for _, name := range []pdf.String{"Signature1", "\xfe\xff\x00S\x00i\x00g\x00n\x00a\x00t\x00u\x00r\x00e\x001", "\xef\xbb\xbfSignature1"} {
		document, _ := open(t, file)
		update, err := document.NewUpdate()
		if err != nil {
			t.Fatal(err)
		}
		update.Set(pdf.Ref{Number: 6}, pdf.Dict{"FT": pdf.Name("Tx"), "T": name})
		named, _, err := update.Append(bytes.Clone(file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(sign(t, signer, named, details()), []byte("/T (Signature2)")) {
			t.Errorf("there is a field %q, and the new one is not Signature2", name)
		}
	}
}

// What an earlier signature locks stays as it is.
func TestLocks(t *testing.T) {
	a := newAuthority(t)
	signer := a.at(pades.B)
	reference := func(method pdf.Name, parameters pdf.Dict) pdf.Array {
		return pdf.Array{pdf.Dict{"TransformMethod": method, "TransformParams": parameters}}
	}
	names := pdf.Array{pdf.String("Other"), pdf.String("Signature2")}
	for name, test := range map[string]struct {
		references pdf.Array
		certified  bool
		field      string // "" if the file cannot be signed
	}{
		"no reference":              {nil, false, "Signature2"},
		"certified, no changes":     {reference("DocMDP", pdf.Dict{"P": 1}), true, ""},
		"certified, forms":          {reference("DocMDP", pdf.Dict{"P": 2}), true, ""},
		"certified, annotations":    {reference("DocMDP", pdf.Dict{"P": 3}), true, ""},
		"not certified, no changes": {reference("DocMDP", pdf.Dict{"P": 1}), false, ""},
		"not certified, forms":      {reference("DocMDP", pdf.Dict{"P": 2}), false, "Signature2"},
		"all fields":                {reference("FieldMDP", pdf.Dict{"Action": pdf.Name("All")}), false, ""},
		"all but some":              {reference("FieldMDP", pdf.Dict{"Action": pdf.Name("Exclude"), "Fields": names}), false, ""},
		"some":                      {reference("FieldMDP", pdf.Dict{"Action": pdf.Name("Include"), "Fields": names}), false, "Signature3"},
	} {
		file := pdftest.Form("Contract", false)
		document, _ := open(t, file)
		update, err := document.NewUpdate()
		if err != nil {
			t.Fatal(err)
		}
		value := pdf.Dict{"ByteRange": pdf.Array{0, 9}, "Contents": pdf.String("0"), "Reference": test.references}
		signature := update.Add(value)
		update.Set(pdf.Ref{Number: 6}, pdf.Dict{"FT": pdf.Name("Sig"), "T": pdf.String("Signature1"), "V": signature})
		if test.certified {
			root, catalog, err := document.Catalog()
			if err != nil {
				t.Fatal(err)
			}
			catalog["Perms"] = pdf.Dict{"DocMDP": signature}
			update.Set(root, catalog)
		}
		earlier, _, err := update.Append(bytes.Clone(file))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(t.Context(), earlier, details())
		if checked := pades.Check(earlier); !errors.Is(checked, err) {
			t.Errorf("%s: %v, and before: %v", name, err, checked)
		}
		switch {
		case test.field == "" && (!errors.Is(err, pades.ErrNoChanges) || signed != nil):
			t.Errorf("%s: %v", name, err)
		case test.field != "" && !bytes.Contains(signed, []byte("/T ("+test.field+")")):
			t.Errorf("%s: there is no field %s, %v", name, test.field, err)
		}
		extended, err := a.extender().Extend(t.Context(), earlier) // time-stamps are allowed
		if checked := pades.CheckExtend(earlier); err != nil || checked != nil || len(fieldNames(t, extended)) != 3 {
			t.Errorf("%s: not extended: %v, and before: %v", name, err, checked)
		}
	}
}

func TestExtend(t *testing.T) {
	a := newAuthority(t)
	for level, want := range map[pades.Level][]bool{
		pades.B: {false, true, true}, pades.T: {false, true}, pades.LT: {false, true}, pades.LTA: {false, true, true},
	} {
		signed := sign(t, a.at(level), pdftest.Plain("Contract"), details())
		extended, err := a.extender().Extend(t.Context(), signed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(extended, signed) {
			t.Error("the file is not the beginning of the extended one")
		}
		var stamps []bool
		for _, s := range signatures(t, extended) {
			stamps = append(stamps, s.Timestamp)
		}
		if !slices.Equal(stamps, want) {
			t.Errorf("from level %d: the document time-stamps are %v, want %v", level, stamps, want)
		}
	}
	// A signature after the time-stamp of another one has none.
	later := sign(t, a.at(pades.B), sign(t, a.at(pades.LTA), pdftest.Plain("Contract"), details()), details())
	extended, err := a.extender().Extend(t.Context(), later)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(signatures(t, extended)); got != 5 {
		t.Errorf("there are %d signatures and time-stamps, want 5", got)
	}
}

// stored returns what a list of the document security store has.
func stored(t *testing.T, file []byte, name pdf.Name) [][]byte {
	t.Helper()
	document, catalog := open(t, file)
	store, err := document.Dict(catalog["DSS"])
	if err != nil {
		t.Fatal(err)
	}
	list, err := document.Array(store[name])
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, element := range list {
		data, err := document.Decode(element)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

func TestStoreIsExtended(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	first := sign(t, a.at(pades.LTA), pdftest.Plain("Contract"), details())
	second := sign(t, b.at(pades.LTA), first, details())
	for _, name := range []pdf.Name{"Certs", "OCSPs", "CRLs"} {
		before, after := stored(t, first, name), stored(t, second, name)
		if len(before) == 0 || len(after) <= len(before) || !slices.EqualFunc(before, after[:len(before)], bytes.Equal) {
			t.Errorf("%s had %d elements, and now %d", name, len(before), len(after))
		}
	}
	// What is there is not added again.
	extended, err := a.extender().Extend(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if before, after := len(stored(t, second, "Certs")), len(stored(t, extended, "Certs")); before != after {
		t.Errorf("there were %d certificates, and now %d", before, after)
	}
}

func TestRefusals(t *testing.T) {
	a := newAuthority(t)
	plain := pdftest.Plain("Contract")
	certified := bytes.Replace(plain, []byte("<< /Type /Catalog /Pages 2 0 R >>"),
		[]byte("<< /Type /Catalog /Pages 2 0 R /Perms << /DocMDP << /Reference [ << /TransformMethod /DocMDP /TransformParams << /P 1 >> >> ] >> >> >>"), 1)
	certified = fixed(certified)
	for name, file := range map[string][]byte{
		"empty":           nil,
		"text":            []byte("text"),
		"encrypted":       testdata(t, "encrypted"),
		"bytes in front":  append([]byte("x\n"), plain...),
		"cut off":         plain[:len(plain)-100],
		"wrong startxref": bytes.Replace(plain, []byte("startxref\n"), []byte("startxref\n1"), 1),
		"wrong offset":    bytes.Replace(plain, []byte("0000000015 00000 n"), []byte("0000000016 00000 n"), 1),
		"certified":       certified,
	} {
		signed, err := a.at(pades.LTA).Sign(t.Context(), file, details())
		if err == nil || signed != nil {
			t.Errorf("%s: signed", name)
		}
		if checked := pades.Check(file); checked == nil || checked.Error() != err.Error() {
			t.Errorf("%s: %v, and before: %v", name, err, checked)
		}
		if got := errors.Is(err, pades.ErrNoChanges); got != (name == "certified") {
			t.Errorf("%s: %v", name, err)
		}
		if extended, err := a.extender().Extend(t.Context(), file); err == nil || extended != nil {
			t.Errorf("%s: extended", name)
		}
	}
	if _, err := a.extender().Extend(t.Context(), plain); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("without a signature: %v", err)
	}
}

// The time-stamps cover a signature that cannot be read, too.
func TestExtendWhatIsNotCMS(t *testing.T) {
	a := newAuthority(t)
	extended, err := a.extender().Extend(t.Context(), pdftest.Signed("Contract"))
	if err != nil {
		t.Fatal(err)
	}
	if list := signatures(t, extended); len(list) != 3 || !list[2].Timestamp {
		t.Errorf("there are %d signatures", len(list))
	}
}

// fixed makes a new cross-reference for the objects of a file.
func fixed(file []byte) []byte {
	if end := bytes.LastIndex(file, []byte("xref\n0 ")); end >= 0 {
		file = file[:end]
	}
	var table bytes.Buffer
	last := 0
	for _, at := range regexp.MustCompile(`\b[0-9]{1,5} 0 obj\b`).FindAllIndex(file, -1) {
		number, _ := strconv.Atoi(string(file[at[0] : at[1]-len(" 0 obj")]))
		fmt.Fprintf(&table, "%d 1\n%010d 00000 n \n", number, at[0])
		last = max(last, number)
	}
	return fmt.Appendf(bytes.Clone(file), "\nxref\n0 1\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n",
		table.Bytes(), last+1, len(file)+1)
}

// A reference to an object that the file does not have is null (ISO 32000-1, section
// 7.3.10).
func TestReferencesToNothing(t *testing.T) {
	a := newAuthority(t)
	for _, nothing := range []string{"99 0 R", "5 3 R"} {
		file := string(pdftest.Plain("Contract"))
		file = strings.Replace(file, "/Pages 2 0 R", "/Pages 2 0 R /AcroForm "+nothing+" /DSS "+nothing+" /Perms "+nothing, 1)
		file = strings.Replace(file, "/MediaBox", "/Annots "+nothing+" /MediaBox", 1)
		signed := sign(t, a.at(pades.LTA), fixed([]byte(file)), details())
		if names := fieldNames(t, signed); len(signatures(t, signed)) != 2 || len(names) != 2 || len(stored(t, signed, "Certs")) == 0 {
			t.Errorf("%s: the fields are %q", nothing, names)
		}
	}
}

// A failure of others is passed on, and nothing is returned.
func TestFailures(t *testing.T) {
	a := newAuthority(t)
	broken := errors.New("the authority is closed")
	stamps, states := a.at(pades.LTA), a.at(pades.LTA)
	stamps.Timestamp = func(context.Context, []byte) ([]byte, error) { return nil, broken }
	states.Revocation = func(context.Context, []*x509.Certificate) (pades.Evidence, error) { return pades.Evidence{}, broken }
	long := a.at(pades.T)
	long.Timestamp = func(context.Context, []byte) ([]byte, error) {
		return []byte("\x04\x83\x01\x00\x00" + strings.Repeat("x", 1<<16)), nil
	}
	for name, signer := range map[string]*pades.Signer{"time-stamp": stamps, "states": states, "long": long} {
		signed, err := signer.Sign(t.Context(), pdftest.Plain("Contract"), details())
		if err == nil || signed != nil || errors.Is(err, broken) != (name != "long") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSeals(t *testing.T) {
	a := newAuthority(t)
	d := details()
	d.Seal = &pades.Seal{Lines: []string{"Signed by", "Áilu Čáhcesuolu ()"}}
	file := pdftest.Plain("Contract")
	for range 4 {
		file = sign(t, a.at(pades.LTA), file, d)
	}
	document, _ := open(t, file)
	_, page, err := document.FirstPage()
	if err != nil {
		t.Fatal(err)
	}
	var places []pdf.Array
	for _, w := range page["Annots"].(pdf.Array) {
		widget, err := document.Dict(w)
		if err != nil {
			t.Fatal(err)
		}
		if widget["AP"] == nil {
			continue
		}
		places = append(places, widget["Rect"].(pdf.Array))
		content, err := document.Decode(widget["AP"].(pdf.Dict)["N"])
		if err != nil || !bytes.Contains(content, []byte("<C1696C75203FE168")) {
			t.Errorf("%v: %s", err, content)
		}
	}
	want := []pdf.Array{{12, 12, 192, 68}, {204, 12, 384, 68}, {396, 12, 576, 68}, {12, 80, 192, 136}}
	if !slices.EqualFunc(places, want, func(a, b pdf.Array) bool { return slices.Equal(a, b) }) {
		t.Errorf("the seals are at %v, want %v", places, want)
	}
}
