package caddyesign_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// These are the paths at which orders are created, queried and collected.
const (
	signDoc   = "/v1/signdoc/pades"
	signDocV0 = "/signdoc/pades"
	lta       = "/v1/timestamp/pades/lta"
)

// order is the body of an order for documents, as any of these paths takes it but
// for v0.
func order(t *testing.T, documents ...[]byte) string {
	t.Helper()
	list := make([]map[string]any, len(documents))
	for i, document := range documents {
		list[i] = map[string]any{"description": fmt.Sprintf("Avtale %d æøå", i+1), "pdf": document}
	}
	text, err := json.Marshal(map[string]any{
		"signProperties":      map[string]any{"orderName": "Lån", "timeoutSeconds": 1800, "redirectUrl": "https://rp.example/back"},
		"padesSignProperties": map[string]any{"addVisualSeals": true, "extendToLTA": false, "useConversion": false},
		"documents":           list,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// orderAt is order as path takes it.
func orderAt(t *testing.T, path string, documents ...[]byte) string {
	t.Helper()
	body := order(t, documents...)
	if path == signDocV0 {
		body = strings.TrimSuffix(body, "}") + `,"resultContent":["padesSignedPdf"]}`
	}
	return body
}

// signedFrom reports whether a document is the one that was uploaded, with something after
// it.
func signedFrom(document, uploaded []byte) bool {
	return len(document) > len(uploaded) && bytes.HasPrefix(document, uploaded)
}

// create creates an order, and returns the query that identifies it.
func (j *journey) create(path string, documents ...[]byte) string {
	j.t.Helper()
	var created struct {
		SignID string `json:"sign_id"`
	}
	j.post(path, orderAt(j.t, path, documents...)).passed(1, 201).into(&created)
	if created.SignID == "" {
		j.t.Fatal("there is no sign_id")
	}
	return "?sign_id=" + url.QueryEscape(created.SignID)
}

// drive acts as the person that signs: it moves the order to state.
func (j *journey) drive(query, state string) {
	j.t.Helper()
	j.visit("POST", "/sandbox/orders"+query, `{"status":"`+state+`"}`).is(200)
}

// stands asserts the state of an order.
func (j *journey) stands(path, query, state string) {
	j.t.Helper()
	j.call("GET", path+query, "").passed(1, 200).says(`"orderState":"` + state + `"`)
}

// collect downloads the documents of an order.
func (j *journey) collect(path, query string) [][]byte {
	j.t.Helper()
	var result struct {
		Results []struct {
			Description string `json:"description"`
			PDF         []byte `json:"padesSignedPdf"`
		} `json:"signingResults"`
	}
	j.call("DELETE", path+query, "").passed(1, 200).into(&result)
	documents := make([][]byte, len(result.Results))
	for i, r := range result.Results {
		documents[i] = r.PDF
		if want := fmt.Sprintf("Avtale %d æøå", i+1); r.Description != want {
			j.t.Errorf("description is %q, want %q", r.Description, want)
		}
	}
	return documents
}

// Journey A: an order is placed, a person signs, the documents are collected, and the
// next person gets the document that the first one signed. The LTA orders of the
// timestamp API work the same way.
func TestJourneyOfAnOrder(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	j.load("scope esign/nnin", "")
	pdfs := [][]byte{pdftest.Signed("the first"), pdftest.Signed(strings.Repeat("\x00\xff\"", 1<<19))}
	for _, path := range []string{signDoc, signDocV0, lta} {
		t.Run(path, func(t *testing.T) {
			j.in(t)
			documents := pdfs
			for range 2 { // two persons sign, one after the other
				query := j.create(path, documents...)
				j.stands(path, query, "ORDER_RECEIVED")
				j.drive(query, "USER_SIGNING")
				j.stands(path, query, "USER_SIGNING")
				j.drive(query, "SIGN_COMPLETED")
				j.stands(path, query, "SIGN_COMPLETED")
				documents = j.collect(path, query)
				if !slices.EqualFunc(documents, pdfs, signedFrom) {
					t.Fatal("other documents came back")
				}
			}
		})
	}
	j.call("GET", "/v1/signdoc/jwks", "").passed(1, 200).bare().says(`"keys"`)
	for _, scope := range []string{"esign esign/nnin", "esign/nnin esign/qtsa"} {
		if n := j.bank.granted(scope); n != 1 {
			t.Errorf("there are %d tokens for %q, want one for the whole journey", n, scope)
		}
	}
}

func TestJourneyOfAConversion(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	pdf := pdftest.Plain("to convert")
	for path, body := range map[string]string{
		"/v1/signdoc/convert":  `[{"pdfSpec":"PDFA_2B","description":"d","pdf":"` + encoded(pdf) + `"}]`,
		"/signdoc/convert":     `{"documents":[{"pdfSpec":"PDFA_2B","description":"d","pdf":"` + encoded(pdf) + `"}]}`,
		"/signdoc/convert/pdf": `{"documents":[{"pdfSpec":"PDFA_2B","description":"d","pdf":"` + encoded(pdf) + `"}]}`,
	} {
		var result struct {
			Results []struct {
				Converted bool   `json:"converted"`
				Document  []byte `json:"convertedDocument"`
			} `json:"conversionResults"`
		}
		j.post(path, body).passed(1, 200).into(&result)
		if len(result.Results) != 1 || !result.Results[0].Converted || !bytes.Equal(result.Results[0].Document, pdf) {
			t.Errorf("%s: the result is %+v", path, result)
		}
	}
	for _, path := range []string{"/v1/signdoc/convert/pdf/specs", "/signdoc/convert/pdf/specs"} {
		j.call("GET", path, "").passed(1, 200).says(`{"pdfSpecs":["PDFA_2B"]}`)
	}
}

func TestJourneyOfAnOrderBroken(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	pdf := pdftest.Signed("Avtale")
	many := make([][]byte, 31)
	for i := range many {
		many[i] = pdf
	}
	for _, path := range []string{signDoc, signDocV0, lta} {
		one := orderAt(t, path, pdf)
		for _, test := range []struct {
			name, body string
			status     int
			says       string
		}{
			{"no document", order(t), 400, `"documents is empty"`},
			{"31 documents", order(t, many...), 400, `"documents has more than 30 elements"`},
			{"not base64", strings.ReplaceAll(one, encoded(pdf), "!"), 400, `"document 1: pdf is not base64"`},
			{"not a PDF", orderAt(t, path, pdf, []byte("GIF89a")), 400, `"conversionErrors":["Document is corrupt"]`},
			{"negative timeout", strings.ReplaceAll(one, "1800", "-1"), 400, `"timeoutSeconds is negative"`},
			{"half of the JSON", one[:len(one)/2], 400, `"the body is not the JSON that is documented"`},
			{"no body", "", 400, `"the body is not the JSON that is documented"`},
			{"conversion of what is signed", strings.ReplaceAll(one, `"useConversion":false`, `"useConversion":true`), 400, `"conversionErrors":["Document contains signatures"]`},
		} {
			t.Run(test.name+path, func(t *testing.T) {
				j.in(t)
				j.post(path, test.body).passed(1, test.status).says(test.says)
			})
		}
		t.Run("not JSON"+path, func(t *testing.T) {
			j.in(t)
			j.call("POST", path, one, "Content-Type", "text/plain").passed(1, 400).says("not application/json")
		})
		for _, method := range []string{"GET", "DELETE"} {
			t.Run(method+path, func(t *testing.T) {
				j.in(t)
				j.call(method, path+"?sign_id=unknown", "").passed(1, 404)
				j.call(method, path, "").passed(1, 400).says("sign_id must be given once")
				j.call(method, path+"?sign_id=a&sign_id=b", "").passed(1, 400).says("sign_id must be given once")
				other := map[string]string{signDoc: signDocV0, signDocV0: lta, lta: signDoc}[path]
				j.call(method, path+j.create(other, pdf), "").passed(1, 404)
			})
		}
	}
}

func TestJourneyOfAnOrderThatIsNotSigned(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	pdf := pdftest.Signed("Avtale")
	for _, path := range []string{signDoc, signDocV0, lta} {
		for _, state := range []string{"REJECTED", "FAILED", "TIMED_OUT"} {
			t.Run(state+path, func(t *testing.T) {
				j.in(t)
				query := j.create(path, pdf)
				j.drive(query, state)
				j.stands(path, query, state)
				j.call("DELETE", path+query, "").passed(1, 400).says(`"the order is not complete: ` + state + `"`)
			})
		}
		t.Run("collected too early, and twice"+path, func(t *testing.T) {
			j.in(t)
			query := j.create(path, pdf)
			j.call("DELETE", path+query, "").passed(1, 400).says(`"the order is not complete: ORDER_RECEIVED"`)
			j.drive(query, "SIGN_COMPLETED")
			first := j.call("DELETE", path+query, "").passed(1, 200)
			j.call("GET", path+query, "").passed(1, 404)
			// The bank no longer has it, but the gateway holds it for its caller.
			again := j.call("DELETE", path+query, "")
			again.is(200)
			if len(again.seen) != 0 || !bytes.Equal(again.body, first.body) {
				t.Errorf("the bank saw it %d times again, and the caller got %.200q", len(again.seen), again.body)
			}
		})
	}
}

func TestJourneyOfADocumentThatIsTooLarge(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	body := `{"documents":[{"description":"d","pdf":"JVBERi0x` + strings.Repeat("A", 40<<20) + `"}]}`
	j.post(signDoc, body).passed(1, 400).says(`"document 1: pdf is longer than 41943040 characters"`)
}

// The refusal arrives before the upload has ended.
func TestJourneyOfAnOrderThatIsTooLarge(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	rest, end := io.Pipe()
	defer end.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", j.url+signDoc, io.MultiReader(strings.NewReader(strings.Repeat(" ", 2<<20)), rest))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 64<<20 + 1
	req.Header.Set("Content-Type", "application/json")
	r := &reply{response: roundTrip(t, req)}
	r.seen = j.bank.seen()
	r.passed(1, 413).says(`"the body is too large"`)
}

func TestJourneyOfAConversionBroken(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	document := func(pdf, spec string) string {
		return `{"pdfSpec":"` + spec + `","description":"d","pdf":"` + encoded([]byte(pdf)) + `"}`
	}
	plain := string(pdftest.Plain("Avtale"))
	good := document(plain, "PDFA_2B")
	for path, wrap := range map[string]string{"/v1/signdoc/convert": `[%s]`, "/signdoc/convert/pdf": `{"documents":[%s]}`} {
		for _, test := range []struct{ name, documents, says string }{
			{"none", "", `"documents is empty"`},
			{"16", strings.Repeat(good+",", 15) + good, `"documents has more than 15 elements"`},
			{"corrupt", good + "," + document("GIF89a", "PDFA_2B"), `"conversionErrors":["Document is corrupt"]`},
			{"signed", document(string(pdftest.Signed("Avtale")), "PDFA_2B"), `"conversionErrors":["Document contains signatures"]`},
			{"another target", document(plain, "PDFX"), `"document 1: pdfSpec is not PDFA_2B"`},
		} {
			t.Run(test.name+path, func(t *testing.T) {
				j.in(t)
				j.post(path, fmt.Sprintf(wrap, test.documents)).passed(1, 400).says(test.says)
			})
		}
	}
}

// BankID may want the scope of timestamps for an order that is to be extended.
func TestJourneyOfAnOrderWithLTA(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	extended := strings.Replace(order(t, pdftest.Plain("Avtale")), `"extendToLTA":false`, `"extendToLTA":true`, 1)
	j.post(signDoc, extended).passed(1, 403)
	j.load("scope esign/qtsa", "")
	j.post(signDoc, extended).passed(1, 201)
}

// An order lives longer than many tokens. The caller does not notice.
func TestJourneyLongerThanItsTokens(t *testing.T) {
	waits(t)
	j := newJourney(t, sandbox.Options{TokenLifetime: 2 * time.Second})
	pdf := pdftest.Plain("Avtale")
	query := j.create(signDoc, pdf)
	eventually(t, func() bool {
		j.stands(signDoc, query, "ORDER_RECEIVED")
		return j.bank.granted("esign") >= 3
	})
	j.drive(query, "SIGN_COMPLETED")
	if documents := j.collect(signDoc, query); len(documents) != 1 || !signedFrom(documents[0], pdf) {
		t.Errorf("the documents are %q", documents)
	}
}
