package sandbox_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// pdf is the base64 of a document that shows a text.
func pdf(text string) string { return base64.StdEncoding.EncodeToString(pdftest.Plain(text)) }

// signedPDF is the base64 of a document that is signed.
func signedPDF(text string) string { return base64.StdEncoding.EncodeToString(pdftest.Signed(text)) }

// orderBody is an order of one document in the shape that integrators send.
func orderBody(document string) string {
	return `{
		"signProperties": {"orderName": "A contract", "timeoutSeconds": 1800, "redirectUrl": "https://rp.example/done"},
		"padesSignProperties": {"addVisualSeals": true, "extendToLTA": false, "useConversion": false},
		"documents": [{"description": "Kjøpekontrakt", "pdf": "` + document + `"}],
		"resultContent": {"requestSignerInfo": true},
		"somethingNew": {"a": [1, null]}
	}`
}

// orderAt is orderBody as the API at target takes it.
func orderAt(target, document string) string {
	body := orderBody(document)
	if target == "/signdoc/pades" {
		body = strings.Replace(body, `{"requestSignerInfo": true}`, `["padesSignedPdf", "padesAppendix", "documentHash"]`, 1)
	}
	return body
}

// An orderAnswer is an answer about an order.
type orderAnswer struct {
	SignID         string `json:"signId"`
	State          string `json:"orderState"`
	Name           string `json:"orderName"`
	SigningResults []struct {
		Description    string `json:"description"`
		PAdESSignedPDF []byte `json:"padesSignedPdf"`
		PAdESAppendix  []byte `json:"padesAppendix"`
		SignedHash     []byte `json:"signedDocumentSha256"`
		UnsignedHash   []byte `json:"unsignedDocumentSha256"`
	} `json:"signingResults"`
	SignerInfo string `json:"signerInfo"`
}

// comesFrom reports whether a document is the one that was uploaded, with a signature or
// a time-stamp after it.
func comesFrom(document []byte, uploaded string) bool {
	before, err := base64.StdEncoding.DecodeString(uploaded)
	rest, ok := bytes.CutPrefix(document, before)
	return err == nil && ok && bytes.Contains(rest, []byte("/ByteRange [0 0"))
}

func create(t testing.TB, s http.Handler, target, authorization string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	return send(t, s, call{method: "POST", target: target, authorization: authorization, contentType: jsonType, body: body})
}

// opened returns the sign_id of a new order.
func opened(t testing.TB, s http.Handler, target, authorization string) string {
	t.Helper()
	w := create(t, s, target, authorization, strings.NewReader(orderAt(target, signedPDF("x"))))
	id := decode[map[string]string](t, w, http.StatusCreated)["sign_id"]
	if id == "" {
		t.Fatalf("no sign_id in %q", w.Body)
	}
	return id
}

func TestOrderJourney(t *testing.T) {
	for target, scope := range map[string]string{"/v1/signdoc/pades": "esign", "/v1/timestamp/pades/lta": "esign/qtsa"} {
		t.Run(target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, sandbox.Options{SigningDelay: 5 * time.Second})
				authorization := bearer(t, s, scope)
				id := opened(t, s, target, authorization)
				status := call{method: "GET", target: target + "?sign_id=" + id, authorization: authorization}
				fetch := status
				fetch.method = "DELETE"

				time.Sleep(5*time.Second - 1)
				got := decode[orderAnswer](t, send(t, s, status), http.StatusOK)
				if got.SignID != id || got.State != "ORDER_RECEIVED" || got.Name != "A contract" {
					t.Errorf("status is %v", got)
				}
				if got := decode[string](t, send(t, s, fetch), http.StatusBadRequest); !strings.Contains(got, "ORDER_RECEIVED") {
					t.Errorf("refusal is %q", got)
				}

				time.Sleep(time.Nanosecond)
				for range 2 {
					got = decode[orderAnswer](t, send(t, s, status), http.StatusOK)
					if got.SignID != id || got.State != "SIGN_COMPLETED" {
						t.Errorf("status is %v", got)
					}
				}

				w := send(t, s, fetch)
				result := decode[orderAnswer](t, w, http.StatusOK)
				if len(result.SigningResults) != 1 || result.SigningResults[0].Description != "Kjøpekontrakt" ||
					!comesFrom(result.SigningResults[0].PAdESSignedPDF, signedPDF("x")) || result.SignID != id || result.State != "SIGN_COMPLETED" {
					t.Errorf("result is %s", w.Body)
				}
				if got := w.Header().Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control is %q", got)
				}
				wantNoBody(t, send(t, s, fetch), http.StatusNotFound)
				wantNoBody(t, send(t, s, status), http.StatusNotFound)
			})
		})
	}
}

func TestOrderDefaultsAndLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const target = "/v1/signdoc/pades"
		s := newServer(t, sandbox.Options{TokenLifetime: 24 * time.Hour})
		authorization := bearer(t, s, "esign")
		status := call{method: "GET", target: target + "?sign_id=" + opened(t, s, target, authorization), authorization: authorization}
		for _, step := range []struct {
			wait time.Duration
			want string
		}{{time.Second - 1, "ORDER_RECEIVED"}, {1, "SIGN_COMPLETED"}, {2*time.Hour - time.Second - 1, "SIGN_COMPLETED"}} {
			time.Sleep(step.wait)
			if got := decode[orderAnswer](t, send(t, s, status), http.StatusOK).State; got != step.want {
				t.Errorf("status is %q, want %q", got, step.want)
			}
		}
		time.Sleep(time.Nanosecond)
		wantNoBody(t, send(t, s, status), http.StatusNotFound)
	})
}

func TestSignIDBelongsToItsAPI(t *testing.T) {
	s := newServer(t, sandbox.Options{SigningDelay: 1})
	authorization := bearer(t, s, "esign esign/qtsa")
	id := opened(t, s, "/v1/signdoc/pades", authorization)
	for _, method := range []string{"GET", "DELETE"} {
		w := send(t, s, call{method: method, target: "/v1/timestamp/pades/lta?sign_id=" + id, authorization: authorization})
		wantNoBody(t, w, http.StatusNotFound)
	}
}

func TestSignIDParameter(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	for _, query := range []string{"", "?sign_id=", "?sign_id=a&sign_id=b", "?id=a"} {
		for _, method := range []string{"GET", "DELETE"} {
			decode[string](t, send(t, s, call{method: method, target: "/v1/signdoc/pades" + query, authorization: authorization}), http.StatusBadRequest)
		}
	}
}

func TestOrderRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	const settings = `"signProperties":{"orderName":"n"},"padesSignProperties":{"addVisualSeals":false}`
	with := func(members string) string { return `{` + settings + `,` + members + `}` }
	documents := func(n int) string {
		one := `{"description":"d","pdf":"` + pdf("") + `"}`
		return with(`"documents":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]`)
	}
	one := `"documents":[{"pdf":"` + pdf("") + `"}]`
	const undocumented = "the body is not the JSON that is documented"
	tests := map[string]struct {
		body string
		want string // reason; "" if accepted
	}{
		"one document":            {documents(1), ""},
		"most documents":          {documents(30), ""},
		"description left out":    {with(one), ""},
		"too many documents":      {documents(31), "documents has more than 30 elements"},
		"many, many documents":    {`{"documents":[` + strings.Repeat("{},", 1<<20) + `{}]}`, "document 1: pdf is missing"},
		"no documents":            {documents(0), "documents is empty"},
		"documents left out":      {`{}`, "documents is empty"},
		"documents null":          {`{"documents":null}`, "documents is not an array"},
		"documents an object":     {`{"documents":{"0":{}}}`, "documents is not an array"},
		"last documents count":    {with(one + `,"documents":[]`), "documents is empty"},
		"pdf left out":            {with(`"documents":[{"description":"d"}]`), "document 1: pdf is missing"},
		"pdf null":                {with(`"documents":[{"pdf":null}]`), "document 1: pdf is missing"},
		"document null":           {with(`"documents":[null]`), "document 1: pdf is missing"},
		"pdf not base64":          {with(`"documents":[{"pdf":"` + pdf("") + `"},{"pdf":"%PDF-"}]`), "document 2: pdf is not base64"},
		"pdf base64url":           {with(`"documents":[{"pdf":"JVBERi0_"}]`), "document 1: pdf is not base64"},
		"pdf without padding":     {with(`"documents":[{"pdf":"JVBERi0xLg"}]`), "document 1: pdf is not base64"},
		"pdf an array of bytes":   {with(`"documents":[{"pdf":[37,80,68,70,45]}]`), "document 1: pdf must be a string"},
		"wrong type":              {with(`"documents":[{"description":1,"pdf":"` + pdf("") + `"}]`), "document 1: description must be a string"},
		"signProperties left out": {`{"padesSignProperties":{"addVisualSeals":false},` + one + `}`, "signProperties is missing"},
		"signProperties null":     {`{"signProperties":null,` + one + `}`, "signProperties is missing"},
		"orderName left out":      {`{"signProperties":{},"padesSignProperties":{"addVisualSeals":false},` + one + `}`, "signProperties: orderName is missing"},
		"longest orderName":       {with(one + `,"signProperties":{"orderName":"` + strings.Repeat("n", 4096) + `"}`), ""},
		"orderName too long":      {with(one + `,"signProperties":{"orderName":"` + strings.Repeat("n", 4097) + `"}`), "signProperties: orderName is longer than 4096 bytes"},
		"padesSignProperties out": {`{"signProperties":{"orderName":"n"},` + one + `}`, "padesSignProperties is missing"},
		"addVisualSeals left out": {`{"signProperties":{"orderName":"n"},"padesSignProperties":{},` + one + `}`, "padesSignProperties: addVisualSeals is missing"},
		"resultContent a list":    {with(one + `,"resultContent":["padesSignedPdf"]`), "resultContent must be a JSON object"},
		"timeout of no time":      {with(one + `,"signProperties":{"orderName":"n","timeoutSeconds":0}`), ""},
		"timeout beyond all time": {with(one + `,"signProperties":{"orderName":"n","timeoutSeconds":9223372036854775807}`), ""},
		"timeout in the past":     {with(one + `,"signProperties":{"orderName":"n","timeoutSeconds":-1}`), "timeoutSeconds is negative"},
		"wrong type of a setting": {with(one + `,"signProperties":{"timeoutSeconds":"1800"}`), "signProperties.timeoutSeconds must be an integer"},
		"cut off":                 {`{"documents":[`, undocumented},
		"empty":                   {``, undocumented},
		"not an object":           {`[]`, "the body is not an object"},
		"name without value":      {`{"documents"}`, undocumented},
		"comma at the end":        {documents(1)[:len(documents(1))-1] + `,}`, undocumented},
		"cut off in a document":   {`{"documents":[{"pdf":"` + pdf("") + `"`, undocumented},
		"cut off after the array": {`{"documents":[{"pdf":"` + pdf("") + `"}]`, undocumented},
		"two values":              {documents(1) + `{}`, "the body has more than one JSON value"},
		"garbage after":           {documents(1) + `]`, undocumented},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := create(t, s, "/v1/signdoc/pades", authorization, strings.NewReader(test.body))
			if test.want == "" {
				decode[map[string]string](t, w, http.StatusCreated)
				return
			}
			if got := decode[string](t, w, http.StatusBadRequest); got != test.want {
				t.Errorf("reason is %q, want %q", got, test.want)
			}
		})
	}
	for _, contentType := range []string{"", formType, "text/json"} {
		w := send(t, s, call{
			method: "POST", target: "/v1/signdoc/pades", authorization: authorization,
			contentType: contentType, body: strings.NewReader(documents(1)),
		})
		decode[string](t, w, http.StatusBadRequest)
	}
	w := send(t, s, call{
		method: "POST", target: "/v1/signdoc/pades", authorization: authorization,
		contentType: "application/json; charset=utf-8", body: strings.NewReader(documents(1)),
	})
	decode[map[string]string](t, w, http.StatusCreated)
}

func TestDeclaredTooLarge(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	declared := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ContentLength = 64<<20 + 1
		s.ServeHTTP(w, r)
	})
	decode[string](t, create(t, declared, "/v1/signdoc/pades", authorization, unreadable{t}), http.StatusRequestEntityTooLarge)
}

// unreadable is a body that must not be touched.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestBodyIsNotReadWithoutToken(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, target := range []string{
		"/v1/signdoc/pades", "/v1/timestamp/pades/lta", "/csc/v2/oauth2/token",
		"/csc/v2/credentials/list", "/csc/v2/credentials/info", "/csc/v2/credentials/authorize", "/csc/v2/signatures/signHash",
	} {
		create(t, s, target, "Bearer x", unreadable{t})
	}
}

func TestOneOfManyDownloadsWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const target = "/v1/signdoc/pades"
		s := newServer(t, sandbox.Options{})
		authorization := bearer(t, s, "esign")
		id := opened(t, s, target, authorization)
		time.Sleep(time.Second)
		var won, lost atomic.Int32
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				w := send(t, s, call{method: "DELETE", target: target + "?sign_id=" + id, authorization: authorization})
				switch w.Code {
				case http.StatusOK:
					var result orderAnswer
					if err := json.Unmarshal(w.Body.Bytes(), &result); err != nil || len(result.SigningResults) != 1 {
						t.Errorf("body %q: %v", w.Body, err)
					}
					won.Add(1)
				case http.StatusNotFound:
					lost.Add(1)
				default:
					t.Errorf("status %d", w.Code)
				}
			})
		}
		callers.Wait()
		if won.Load() != 1 || lost.Load() != 49 {
			t.Errorf("%d downloads won, %d lost", won.Load(), lost.Load())
		}
	})
}

func FuzzCreateOrder(f *testing.F) {
	for _, body := range []string{
		orderBody(pdf("x")),
		`{"signProperties":{"orderName":"n"},"padesSignProperties":{"addVisualSeals":true},` +
			`"documents":[{"pdf":"` + pdf("") + `"},{"pdf":"` + signedPDF("y") + `","description":"\u0000"}]}`,
		`{"documents":[{"pdf":"JVBERi0=\n"}]}`,
		`{"DOCUMENTS":[{"PDF":"JVBERi0="}]}`,
		`{"documents":[]} x`, `{"documents":[{}`, `null`, `"`, ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		synctest.Test(t, func(t *testing.T) { createAnything(t, body) })
	})
}

// createAnything makes an order of any body: it is refused with a reason, or
// its documents come back.
func createAnything(t *testing.T, body []byte) {
	const target = "/v1/signdoc/pades"
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	w := create(t, s, target, authorization, bytes.NewReader(body))
	if w.Code != http.StatusCreated {
		if decode[any](t, w, http.StatusBadRequest) == "" {
			t.Error("no reason")
		}
		return
	}
	id := decode[map[string]string](t, w, http.StatusCreated)["sign_id"]
	time.Sleep(time.Second)
	w = send(t, s, call{method: "DELETE", target: target + "?sign_id=" + id, authorization: authorization})
	result := decode[orderAnswer](t, w, http.StatusOK)
	if n := len(result.SigningResults); n < 1 || n > 30 {
		t.Errorf("%d results", n)
	}
	for _, r := range result.SigningResults {
		if !bytes.Contains(r.PAdESSignedPDF[:min(1024, len(r.PAdESSignedPDF))], []byte("%PDF-")) {
			t.Errorf("result %q", r.PAdESSignedPDF)
		}
	}
}
