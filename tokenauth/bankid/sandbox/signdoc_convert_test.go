package sandbox_test

import (
	"bytes"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

type converted struct {
	Results []struct {
		ID          string   `json:"conversionId"`
		Description string   `json:"description"`
		Converted   bool     `json:"converted"`
		Errors      []string `json:"conversionErrors"`
		Warnings    []string `json:"conversionWarnings"`
		Document    string   `json:"convertedDocument"`
	} `json:"conversionResults"`
}

// conversions wraps a list of documents as each path takes it.
func conversions() map[string]func(string) string {
	member := func(list string) string { return `{"documents":` + list + `,"more":{}}` }
	return map[string]func(string) string{
		"/v1/signdoc/convert":  func(list string) string { return list },
		"/signdoc/convert":     member,
		"/signdoc/convert/pdf": member,
	}
}

func toConvert(document string) string {
	return `{"pdfSpec":"PDFA_2B","description":"Kjøpekontrakt","pdf":"` + document + `"}`
}

func TestConvert(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	for target, wrap := range conversions() {
		list := "[" + toConvert(pdf("a")) + strings.Repeat(","+toConvert(pdf("b")), 14) + "]"
		result := decode[converted](t, create(t, s, target, authorization, strings.NewReader(wrap(list))), http.StatusOK)
		if len(result.Results) != 15 || len(result.Results[0].Warnings) != 1 || result.Results[0].Warnings[0] != "SANDBOX: nothing was converted" {
			t.Fatalf("%s: result is %+v", target, result)
		}
		ids := make(map[string]bool)
		for i, r := range result.Results {
			want := pdf("b")
			if i == 0 {
				want = pdf("a")
			}
			ids[r.ID] = true
			if !r.Converted || r.Document != want || r.Description != "Kjøpekontrakt" || r.Errors == nil || len(r.Errors) != 0 || r.Warnings == nil {
				t.Errorf("%s: result %d is %+v", target, i, r)
			}
		}
		if len(ids) != 15 {
			t.Errorf("%s: %d ids", target, len(ids))
		}
	}
}

func TestConvertWhatCannotBe(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	for target, wrap := range conversions() {
		list := "[" + toConvert(pdf("a")) + "," + toConvert("SGVsbG8=") + "," + toConvert(signedPDF("x")) + "]"
		result := decode[converted](t, create(t, s, target, authorization, strings.NewReader(wrap(list))), http.StatusBadRequest)
		if len(result.Results) != 3 || !result.Results[0].Converted {
			t.Fatalf("%s: result is %+v", target, result)
		}
		for i, want := range map[int]string{1: "Document is corrupt", 2: "Document contains signatures"} {
			if r := result.Results[i]; r.Converted || r.Document != "" || len(r.Errors) != 1 || r.Errors[0] != want {
				t.Errorf("%s: result %d is %+v, want %q", target, i, r, want)
			}
		}
	}
}

func TestConvertRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	for target, wrap := range conversions() {
		for body, want := range map[string]string{
			wrap("[]"):   "documents is empty",
			wrap("null"): "documents is not an array",
			wrap("[" + strings.Repeat(toConvert(pdf(""))+",", 15) + toConvert(pdf("")) + "]"): "documents has more than 15 elements",
			wrap(`[{"pdf":"` + pdf("") + `"}]`):                                               "document 1: pdfSpec is not PDFA_2B",
			wrap(`[{"pdfSpec":"PDFA_1B","pdf":"` + pdf("") + `"}]`):                           "document 1: pdfSpec is not PDFA_2B",
			wrap(`[` + toConvert(pdf("")) + `,{"pdfSpec":"PDFA_2B"}]`):                        "document 2: pdf is missing",
			wrap(`[{"pdfSpec":"PDFA_2B","pdf":"?"}]`):                                         "document 1: pdf is not base64",
			wrap(`["` + pdf("") + `"]`):                                                       "document 1: must be a JSON object",
			wrap("[" + toConvert(pdf("")) + "]")[:20]:                                         "the body is not the JSON that is documented",
			wrap("["+toConvert(pdf(""))+"]") + "{}":                                           "the body has more than one JSON value",
			"":                                                                                "the body is not the JSON that is documented",
		} {
			w := create(t, s, target, authorization, strings.NewReader(body))
			if got := decode[string](t, w, http.StatusBadRequest); got != want {
				t.Errorf("%s with %.60s: reason is %q, want %q", target, body, got, want)
			}
		}
		w := send(t, s, call{method: "POST", target: target, authorization: authorization, contentType: formType, body: strings.NewReader(wrap("[]"))})
		decode[string](t, w, http.StatusBadRequest)
	}
	// What one version takes the other does not.
	list := "[" + toConvert(pdf("")) + "]"
	decode[string](t, create(t, s, "/v1/signdoc/convert", authorization, strings.NewReader(`{"documents":`+list+`}`)), http.StatusBadRequest)
	decode[string](t, create(t, s, "/signdoc/convert", authorization, strings.NewReader(list)), http.StatusBadRequest)
}

func TestConvertSpecs(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, target := range []string{"/v1/signdoc/convert/pdf/specs", "/signdoc/convert/pdf/specs"} {
		w := send(t, s, call{method: "GET", target: target, authorization: bearer(t, s, "esign")})
		if got := decode[map[string][]string](t, w, http.StatusOK)["pdfSpecs"]; len(got) != 1 || got[0] != "PDFA_2B" {
			t.Errorf("%s: specs are %v", target, got)
		}
	}
}

func TestConvertV1Authorization(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, ask := range []call{
		{method: "POST", target: "/v1/signdoc/convert", body: unreadable{t}},
		{method: "GET", target: "/v1/signdoc/convert/pdf/specs"},
	} {
		wantNoBody(t, send(t, s, ask), http.StatusUnauthorized)
		for _, value := range badAuthorizations(t, s, "esign") {
			ask.authorization = value
			wantNoBody(t, send(t, s, ask), http.StatusUnauthorized)
		}
		ask.authorization = bearer(t, s, "esign/qtsa")
		wantNoBody(t, send(t, s, ask), http.StatusForbidden)
	}
}

// An order may ask for the conversion too, and is refused as it is. In timestamping, there
// is no document that can be converted.
func TestOrderWithConversion(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign esign/qtsa")
	const signed, unsigned = "Document contains signatures", "Document contains no signatures"
	for _, test := range []struct{ target, ofSigned, ofPlain string }{
		{"/v1/signdoc/pades", signed, ""},
		{"/signdoc/pades", signed, ""},
		{"/v1/timestamp/pades/lta", signed, unsigned},
	} {
		for document, want := range map[string]string{signedPDF("x"): test.ofSigned, pdf("x"): test.ofPlain} {
			order := strings.Replace(orderAt(test.target, document), `"useConversion": false`, `"useConversion": true`, 1)
			w := create(t, s, test.target, authorization, strings.NewReader(order))
			if want == "" {
				decode[map[string]string](t, w, http.StatusCreated)
				continue
			}
			result := decode[converted](t, w, http.StatusBadRequest)
			if len(result.Results) != 1 || len(result.Results[0].Errors) != 1 || result.Results[0].Errors[0] != want {
				t.Errorf("%s: result is %+v, want %q", test.target, result, want)
			}
		}
	}
}

func FuzzConvert(f *testing.F) {
	for _, wrap := range conversions() {
		f.Add([]byte(wrap("[" + toConvert(pdf("x")) + "]")))
		f.Add([]byte(wrap("[" + toConvert("SGVsbG8=") + "]")))
	}
	f.Add([]byte(`[{"pdfSpec":"PDFA_2B","pdf":"JVBERi0=","DESCRIPTION":"\ud800"}] `))
	f.Add([]byte(`{"documents":[],"documents":[{}]}`))
	s := newServer(f, sandbox.Options{TokenLifetime: 24 * time.Hour})
	authorization := bearer(f, s, "esign")
	targets := slices.Sorted(maps.Keys(conversions()))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, target := range targets {
			w := create(t, s, target, authorization, bytes.NewReader(body))
			if w.Code != http.StatusOK {
				if decode[any](t, w, http.StatusBadRequest) == "" {
					t.Errorf("%s: no reason", target)
				}
				continue
			}
			result := decode[converted](t, w, http.StatusOK)
			if n := len(result.Results); n < 1 || n > 15 {
				t.Errorf("%s: %d results", target, n)
			}
			for _, r := range result.Results {
				if file, err := base64.StdEncoding.DecodeString(r.Document); err != nil || !bytes.Contains(file[:min(1024, len(file))], []byte("%PDF-")) {
					t.Errorf("%s: result %+v: %v", target, r, err)
				}
			}
		}
	})
}
