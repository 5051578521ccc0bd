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
)

// pdf is the base64 of a document that looks like a PDF.
func pdf(rest string) string {
	return base64.StdEncoding.EncodeToString([]byte("%PDF-1.7\n" + rest))
}

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

type fetched struct {
	Sandbox        string `json:"sandbox"`
	SigningResults []struct {
		Description    string `json:"description"`
		PAdESSignedPDF string `json:"padesSignedPdf"`
	} `json:"signingResults"`
}

func create(t testing.TB, s http.Handler, target, authorization string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	return send(t, s, call{method: "POST", target: target, authorization: authorization, contentType: jsonType, body: body})
}

// opened returns the sign_id of a new order.
func opened(t testing.TB, s http.Handler, target, authorization string) string {
	t.Helper()
	w := create(t, s, target, authorization, strings.NewReader(orderBody(pdf("x"))))
	id := decode[map[string]string](t, w, http.StatusOK)["sign_id"]
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
				got := decode[map[string]string](t, send(t, s, status), http.StatusOK)
				if got["sign_id"] != id || got["status"] != "ORDER_RECEIVED" {
					t.Errorf("status is %v", got)
				}
				if got := decode[string](t, send(t, s, fetch), http.StatusBadRequest); !strings.Contains(got, "ORDER_RECEIVED") {
					t.Errorf("refusal is %q", got)
				}

				time.Sleep(time.Nanosecond)
				for range 2 {
					got = decode[map[string]string](t, send(t, s, status), http.StatusOK)
					if got["sign_id"] != id || got["status"] != "SIGN_COMPLETED" {
						t.Errorf("status is %v", got)
					}
				}

				w := send(t, s, fetch)
				result := decode[fetched](t, w, http.StatusOK)
				if len(result.SigningResults) != 1 || result.SigningResults[0].Description != "Kjøpekontrakt" ||
					result.SigningResults[0].PAdESSignedPDF != pdf("x") || !strings.Contains(result.Sandbox, "nothing was signed") {
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
			if got := decode[map[string]string](t, send(t, s, status), http.StatusOK)["status"]; got != step.want {
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
	documents := func(n int) string {
		one := `{"description":"d","pdf":"` + pdf("") + `"}`
		return `{"documents":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`
	}
	tests := map[string]struct {
		body string
		want string // reason; "" if accepted
	}{
		"one document":            {documents(1), ""},
		"most documents":          {documents(30), ""},
		"description left out":    {`{"documents":[{"pdf":"` + pdf("") + `"}]}`, ""},
		"too many documents":      {documents(31), "documents has more than 30 elements"},
		"many, many documents":    {`{"documents":[` + strings.Repeat("{},", 1<<20) + `{}]}`, "document 1: pdf is not a PDF file"},
		"no documents":            {documents(0), "documents is empty"},
		"documents left out":      {`{}`, "documents is empty"},
		"documents null":          {`{"documents":null}`, "documents is not an array"},
		"documents an object":     {`{"documents":{"0":{}}}`, "documents is not an array"},
		"last documents count":    {`{"documents":[{"pdf":"` + pdf("") + `"}],"documents":[]}`, "documents is empty"},
		"pdf left out":            {`{"documents":[{"description":"d"}]}`, "document 1: pdf is not a PDF file"},
		"pdf null":                {`{"documents":[{"pdf":null}]}`, "document 1: pdf is not a PDF file"},
		"document null":           {`{"documents":[null]}`, "document 1: pdf is not a PDF file"},
		"pdf not base64":          {`{"documents":[{"pdf":"` + pdf("") + `"},{"pdf":"%PDF-"}]}`, "document 2: pdf is not base64"},
		"pdf base64url":           {`{"documents":[{"pdf":"JVBERi0_"}]}`, "document 1: pdf is not base64"},
		"pdf without padding":     {`{"documents":[{"pdf":"JVBERi0xLg"}]}`, "document 1: pdf is not base64"},
		"pdf of something else":   {`{"documents":[{"pdf":"SGVsbG8="}]}`, "document 1: pdf is not a PDF file"},
		"pdf an array of bytes":   {`{"documents":[{"pdf":[37,80,68,70,45]}]}`, "the body is not the JSON that is documented"},
		"wrong type":              {`{"documents":[{"description":1,"pdf":"` + pdf("") + `"}]}`, "the body is not the JSON that is documented"},
		"timeout of no time":      {`{"signProperties":{"timeoutSeconds":0},"documents":[{"pdf":"` + pdf("") + `"}]}`, ""},
		"timeout beyond all time": {`{"signProperties":{"timeoutSeconds":9223372036854775807},"documents":[{"pdf":"` + pdf("") + `"}]}`, ""},
		"timeout in the past":     {`{"signProperties":{"timeoutSeconds":-1},"documents":[{"pdf":"` + pdf("") + `"}]}`, "timeoutSeconds is negative"},
		"wrong type of a setting": {`{"signProperties":{"timeoutSeconds":"1800"},"documents":[{"pdf":"` + pdf("") + `"}]}`, "the body is not the JSON that is documented"},
		"cut off":                 {`{"documents":[`, "the body is not the JSON that is documented"},
		"empty":                   {``, "the body is not the JSON that is documented"},
		"not an object":           {`[]`, "the body is not an object"},
		"name without value":      {`{"documents"}`, "the body is not the JSON that is documented"},
		"comma at the end":        {documents(1)[:len(documents(1))-1] + `,}`, "the body is not the JSON that is documented"},
		"cut off in a document":   {`{"documents":[{"pdf":"` + pdf("") + `"`, "the body is not the JSON that is documented"},
		"cut off after the array": {`{"documents":[{"pdf":"` + pdf("") + `"}]`, "the body is not the JSON that is documented"},
		"two values":              {documents(1) + `{}`, "the body has more than one JSON value"},
		"garbage after":           {documents(1) + `]`, "the body is not the JSON that is documented"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := create(t, s, "/v1/signdoc/pades", authorization, strings.NewReader(test.body))
			if test.want == "" {
				decode[map[string]string](t, w, http.StatusOK)
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
		decode[string](t, w, http.StatusUnsupportedMediaType)
	}
	w := send(t, s, call{
		method: "POST", target: "/v1/signdoc/pades", authorization: authorization,
		contentType: "application/json; charset=utf-8", body: strings.NewReader(documents(1)),
	})
	decode[map[string]string](t, w, http.StatusOK)
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
					var result fetched
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
		`{"documents":[{"pdf":"` + pdf("") + `"},{"pdf":"` + pdf("y") + `","description":"\u0000"}]}`,
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
	if w.Code != http.StatusOK {
		if decode[any](t, w, http.StatusBadRequest) == "" {
			t.Error("no reason")
		}
		return
	}
	id := decode[map[string]string](t, w, http.StatusOK)["sign_id"]
	time.Sleep(time.Second)
	w = send(t, s, call{method: "DELETE", target: target + "?sign_id=" + id, authorization: authorization})
	result := decode[fetched](t, w, http.StatusOK)
	if n := len(result.SigningResults); n < 1 || n > 30 {
		t.Errorf("%d results", n)
	}
	for _, r := range result.SigningResults {
		if file, err := base64.StdEncoding.DecodeString(r.PAdESSignedPDF); err != nil || !strings.HasPrefix(string(file), "%PDF-") {
			t.Errorf("result %q: %v", r.PAdESSignedPDF, err)
		}
	}
}
