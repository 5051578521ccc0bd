package validators

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// kinds are files of each kind that can be signed.
func kinds(t *testing.T) map[string][]byte {
	t.Helper()
	example, err := os.ReadFile("../../examples/contract.pdf")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"table":                     pdftest.Plain("Contract"),
		"hybrid":                    pdftest.Hybrid("Contract"),
		"form":                      pdftest.Form("Contract", false),
		"form in catalog":           pdftest.Form("Contract", true),
		"example":                   example,
		"linearized":                byQPDF(t, "--linearize"),
		"object streams":            byQPDF(t, "--object-streams=generate"),
		"linearized object streams": byQPDF(t, "--linearize", "--object-streams=generate"),
	}
}

// byQPDF is a file as qpdf writes it.
func byQPDF(t *testing.T, options ...string) []byte {
	t.Helper()
	from, to := filepath.Join(t.TempDir(), "from.pdf"), filepath.Join(t.TempDir(), "to.pdf")
	if err := os.WriteFile(from, pdftest.Plain("Contract"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qpdf", append(options, from, to)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	file, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// What the validators say of a document, by validator.
type expectation map[string][]string

const (
	validSignature = "Signature is Valid. By "
	noVerdict      = "Signature has not yet been verified. By SANDBOX TSA" // pdfsig knows no time-stamps of documents

	passed    = "AdESPassed.OK"
	noProof   = "AdESIndeterminate.CERTIFICATE_CHAIN_GENERAL_FAILURE"
	noAttr    = "AdESIndeterminate.SIG_CONSTRAINTS_FAILURE"
	passedTS  = "PASSED null"
	wholeFile = "ok, covers ENTIRE_FILE, by "
	revision  = "ok, covers ENTIRE_REVISION, by "
)

// dss is what DSS says of a signature, now and later.
func dss(level, indication, signer string) string {
	return "PAdES-BASELINE-" + level + " " + indication + " by " + signer
}

// What DSS says of a signature.
const unproved, proved = "INDETERMINATE CERTIFICATE_CHAIN_GENERAL_FAILURE", "TOTAL_PASSED null"

// expectations are what the validators say of a document, by what became of it.
func expectations() map[string]expectation {
	k, o, tsa := sandbox.Persons()[0].Name(), sandbox.Persons()[1].Name(), "SANDBOX TSA"
	return map[string]expectation{
		"B": {
			"pdfsig": {validSignature + k}, "pdfbox": {"1 pages, 1 signatures"}, "qpdf": {"ok"},
			"dss now":         {dss("B", unproved, k)}, // it wants to know whether the certificate is revoked
			"pyhanko":         {wholeFile + k},
			"pyhanko LTA now": {noProof}, "pyhanko LTA later": {noProof},
		},
		"LTA": {
			"pdfsig": {validSignature + k, noVerdict}, "pdfbox": {"1 pages, 2 signatures"}, "qpdf": {"ok"},
			"dss now": {dss("LTA", proved, k)}, "dss later": {dss("LTA", proved, k)},
			"dss now time-stamp": {passedTS, passedTS}, "dss later time-stamp": {passedTS, passedTS},
			"pyhanko":         {revision + k, wholeFile + tsa},
			"pyhanko LTA now": {passed}, "pyhanko LTA later": {passed},
		},
		"twice": {
			"pdfsig": {validSignature + k, noVerdict, validSignature + o, noVerdict}, "pdfbox": {"1 pages, 4 signatures"}, "qpdf": {"ok"},
			"dss now": {dss("LTA", proved, k), dss("LTA", proved, o)}, "dss later": {dss("LTA", proved, k), dss("LTA", proved, o)},
			"dss now time-stamp":   {passedTS, passedTS, passedTS, passedTS, passedTS}, // three are of the first signature
			"dss later time-stamp": {passedTS, passedTS, passedTS, passedTS, passedTS},
			"pyhanko":              {revision + k, revision + tsa, revision + o, wholeFile + tsa},
			"pyhanko LTA now":      {passed, passed}, "pyhanko LTA later": {passed, passed},
		},
		"extended": {
			"pdfsig": {validSignature + k, noVerdict, noVerdict}, "pdfbox": {"1 pages, 3 signatures"}, "qpdf": {"ok"},
			"dss now": {dss("LTA", proved, k)}, "dss later": {dss("LTA", proved, k)},
			"dss now time-stamp": {passedTS, passedTS}, "dss later time-stamp": {passedTS, passedTS},
			"pyhanko": {revision + k, revision + tsa, wholeFile + tsa},
			// It wants the time-stamp of a signature in its attributes, which cannot be
			// added to a signature without changing the file.
			"pyhanko LTA now": {noAttr}, "pyhanko LTA later": {noAttr},
		},
	}
}

// otherExpectations are what the validators say of what is not signed by a person alone.
func otherExpectations() map[string]expectation {
	k, seal, tsa := sandbox.Persons()[0].Name(), "SANDBOX seal, not BankID", "SANDBOX TSA"
	return map[string]expectation{
		"other software, LTA": {
			"pdfsig": {validSignature + "Stranger", validSignature + k, noVerdict}, "pdfbox": {"1 pages, 3 signatures"}, "qpdf": {"ok"},
			"dss now": {dss("LTA", "INDETERMINATE NO_CERTIFICATE_CHAIN_FOUND", "Stranger"), dss("LTA", proved, k)},
			"pyhanko": {"untrusted, covers ENTIRE_REVISION, by Stranger", revision + k, wholeFile + tsa},
		},
		"seal, B": {
			"pdfsig": {validSignature + seal}, "pdfbox": {"1 pages, 1 signatures"}, "qpdf": {"ok"},
			"dss now": {dss("B", unproved, seal)}, "pyhanko": {wholeFile + seal},
		},
		"seal, LT": {
			"pdfsig": {validSignature + k, noVerdict, validSignature + seal}, "pdfbox": {"1 pages, 3 signatures"}, "qpdf": {"ok"},
			"dss now": {dss("LTA", proved, k), dss("LT", proved, seal)},
			"pyhanko": {revision + k, revision + tsa, revision + seal},
		},
	}
}

// want compares what the validators say of a file with what they should.
func (v verdicts) want(t *testing.T, name string, want expectation) {
	t.Helper()
	for validator, lines := range want {
		if got := v.of(name, validator); !slices.Equal(got, lines) {
			t.Errorf("%s: %s says %q, want %q", name, validator, got, lines)
		}
	}
}

// A change is one byte of a document, in something that is signed.
type change struct {
	name     string
	document []byte
	text     string // which ends with the byte

	// broken says which signature or time-stamp, counted from 1, is the first that is not
	// valid any more.
	broken int
}

// change changes the byte.
func (c change) change(t *testing.T) []byte {
	t.Helper()
	i := bytes.Index(c.document, []byte(c.text))
	if i < 0 {
		t.Fatalf("there is no %s", c.text)
	}
	changed := bytes.Clone(c.document)
	changed[i+len(c.text)-1]++
	return changed
}

// TestValidators has each kind of file signed and extended, and one byte changed in each
// part of a document that a signature or a time-stamp covers: before its contents and
// after them.
func TestValidators(t *testing.T) {
	b, origin := newBankIDServer(t)
	kari, ola := sandbox.Persons()[0], sandbox.Persons()[1]
	var names []string
	var documents [][]byte
	for name, file := range kinds(t) {
		names, documents = append(names, name), append(documents, file)
	}
	baseline := b.sign(kari, map[string]any{"addVisualSeals": true}, documents...)
	archived := b.sign(kari, map[string]any{"addVisualSeals": false, "extendToLTA": true}, documents...)
	twice := b.sign(ola, map[string]any{"addVisualSeals": true, "extendToLTA": true}, archived...)
	extended := b.extend(baseline...)
	files := make(map[string][]byte)
	for i, name := range names {
		files[name+", B"], files[name+", LTA"] = baseline[i], archived[i]
		files[name+", twice"], files[name+", extended"] = twice[i], extended[i]
	}
	files["other software, LTA"] = b.sign(kari, map[string]any{"addVisualSeals": true, "extendToLTA": true}, byPyHanko(t))[0]
	files["seal, B"] = b.seal(origin, "B", pdftest.Plain("Contract"))
	files["seal, LT"] = b.seal(origin, "LT", files["table, LTA"])
	table := slices.Index(names, "table")
	changes := []change{
		{"before a signature", baseline[table], "(Contract", 1},
		{"after a signature", baseline[table], "/M (D:2", 1},
		{"before the signature of two", archived[table], "(Contract", 1},
		{"after the signature of two", archived[table], "/M (D:2", 1},
		{"before a time-stamp", archived[table], "SANDBOX BankID CA 1", 2},
		{"after a time-stamp", archived[table], "/T (Signature2", 2},
	}
	for _, c := range changes {
		files[c.name] = c.change(t)
	}
	said := validate(t, b.root(), files)
	for kind, want := range expectations() {
		for _, name := range names {
			said.want(t, name+", "+kind, want)
		}
	}
	for name, want := range otherExpectations() {
		said.want(t, name, want)
	}
	for _, c := range changes {
		said.see(t, c)
	}
}

// see checks that DSS, pyHanko and pdfsig see a change. Of time-stamps, pdfsig has no
// verdict.
func (v verdicts) see(t *testing.T, c change) {
	t.Helper()
	signature, stamps := v.of(c.name, "dss now"), v.of(c.name, "dss now time-stamp")
	if c.broken == 1 {
		if len(signature) != 1 || !strings.Contains(signature[0], " TOTAL_FAILED HASH_FAILURE ") {
			t.Errorf("%s: DSS says %q", c.name, signature)
		}
		if got := v.of(c.name, "pdfsig"); len(got) == 0 || !strings.HasPrefix(got[0], "Digest Mismatch.") {
			t.Errorf("%s: pdfsig says %q", c.name, got)
		}
	} else if len(stamps) != 2 || !strings.HasPrefix(stamps[1], "FAILED ") {
		t.Errorf("%s: DSS says %q", c.name, stamps)
	}
	if got := v.of(c.name, "pyhanko"); len(got) < c.broken || !strings.HasPrefix(got[c.broken-1], "fails") {
		t.Errorf("%s: pyHanko says %q", c.name, got)
	}
}
