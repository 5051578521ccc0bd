package sandbox_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// visit sends a request as a browser does, with further header fields.
func visit(t testing.TB, s http.Handler, method, target string, form url.Values, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Host = sandbox.Address
	if method == http.MethodPost {
		r.Header.Set("Content-Type", formType)
	}
	for name, values := range header {
		r.Header[name] = values
		if name == "Host" {
			r.Host = values[0]
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// wantPage checks that a response is a page in a language with a text, and that it is safe.
func wantPage(t testing.TB, w *httptest.ResponseRecorder, status int, lang, text string) {
	t.Helper()
	if w.Code != status || !strings.Contains(w.Body.String(), text) || !strings.Contains(w.Body.String(), `<html lang="`+lang+`">`) {
		t.Errorf("status %d, want %d in %s with %q; body %s", w.Code, status, lang, text, w.Body)
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "script-src 'self'"} {
		if !strings.Contains(policy, directive) {
			t.Errorf("the policy %q lacks %s", policy, directive)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for _, inline := range []string{"<script>", " style=", " onclick=", "<style"} {
		if strings.Contains(w.Body.String(), inline) {
			t.Errorf("the page has %s", inline)
		}
	}
}

// jsonOrder is an order with a name and a redirectUrl, in JSON.
func jsonOrder(name, redirect string) ([]byte, error) {
	return json.Marshal(map[string]any{
		"signProperties":      map[string]string{"orderName": name, "redirectUrl": redirect},
		"padesSignProperties": map[string]bool{"addVisualSeals": false},
		"documents":           []map[string]any{{"description": name, "pdf": pdftest.Plain("x")}},
	})
}

// order creates an order of SignDoc with a name and a redirectUrl.
func order(t testing.TB, s http.Handler, name, redirect string) string {
	t.Helper()
	body, err := jsonOrder(name, redirect)
	if err != nil {
		t.Fatal(err)
	}
	w := send(t, s, call{method: "POST", target: "/v1/signdoc/pades", authorization: bearer(t, s, "esign"), contentType: jsonType, body: bytes.NewReader(body)})
	return decode[map[string]string](t, w, http.StatusCreated)["sign_id"]
}

// stateOf returns the state of an order.
func stateOf(t testing.TB, s http.Handler, id string) string {
	t.Helper()
	w := send(t, s, call{method: "GET", target: "/v1/signdoc/pades?sign_id=" + id, authorization: bearer(t, s, "esign")})
	return decode[orderAnswer](t, w, http.StatusOK).State
}

func TestSigningPage(t *testing.T) {
	for lang, heading := range map[string]string{"nb": "Signer dokumenter", "nn": "Signer dokument", "en": "Sign documents"} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, sandbox.Options{})
			const redirect = "http://localhost:3000/back?a=%41&b=c#d"
			id := order(t, s, "A contract", redirect)
			page := "/" + lang + "/" + id
			w := visit(t, s, "GET", page, nil, nil)
			wantPage(t, w, http.StatusOK, lang, "<h1>"+heading+"</h1>")
			for _, want := range []string{"A contract", page + "/1.pdf", "SANDBOX Nordmann", "14838510036"} {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			time.Sleep(time.Hour)
			if got := stateOf(t, s, id); got != "USER_SIGNING" {
				t.Errorf("while the page is open, the state is %s", got)
			}
			document := visit(t, s, "GET", page+"/1.pdf", nil, nil)
			if got := document.Header(); document.Code != http.StatusOK || got.Get("Content-Type") != "application/pdf" || !strings.Contains(got.Get("Content-Security-Policy"), "frame-ancestors 'self'") || !strings.HasPrefix(document.Body.String(), "%PDF-") {
				t.Errorf("the document: status %d, %v", document.Code, got)
			}
			for _, other := range []string{"/2.pdf", "/0.pdf", "/01.pdf", "/1", "/-1.pdf"} {
				if w := visit(t, s, "GET", page+other, nil, nil); w.Code != http.StatusNotFound {
					t.Errorf("%s: status %d", other, w.Code)
				}
			}
			w = visit(t, s, "POST", page, url.Values{"decision": {"sign"}, "person": {sandbox.Persons()[1].NationalID}}, nil)
			wantPage(t, w, http.StatusOK, lang, `href="http://localhost:3000/back?a=%41&amp;b=c#d"`)
			if got := w.Header().Get("Refresh"); got != "0;url="+redirect {
				t.Errorf("Refresh is %q", got)
			}
			if got := stateOf(t, s, id); got != "SIGN_COMPLETED" {
				t.Errorf("after it, the state is %s", got)
			}
			wantPage(t, visit(t, s, "GET", page, nil, nil), http.StatusOK, lang, "<h1>")
			wantPage(t, visit(t, s, "POST", page, url.Values{"decision": {"reject"}}, nil), http.StatusConflict, lang, "<h1>")
			if got := visit(t, s, "GET", page+"/1.pdf", nil, nil).Code; got != http.StatusNotFound {
				t.Errorf("the document of an ended order: status %d", got)
			}
		})
	}
}

func TestRejection(t *testing.T) {
	s := newServer(t, sandbox.Options{Manual: true})
	id := order(t, s, "A contract", "https://rp.example/ferdig?ø")
	w := visit(t, s, "POST", "/nn/"+id, url.Values{"decision": {"reject"}}, nil)
	wantPage(t, w, http.StatusOK, "nn", "Signeringa er avvist")
	if got := w.Header().Get("Refresh"); got != "0;url=https://rp.example/ferdig?%C3%B8" {
		t.Errorf("Refresh is %q", got)
	}
	if got := stateOf(t, s, id); got != "REJECTED" {
		t.Errorf("the state is %s", got)
	}
}

func TestMistakesOnTheSigningPage(t *testing.T) {
	s := newServer(t, sandbox.Options{Manual: true})
	id := order(t, s, "A contract", "")
	for _, form := range []url.Values{
		{},
		{"decision": {"sign"}},
		{"decision": {"sign"}, "person": {"12345678901"}},
		{"decision": {"other"}, "person": {"14838510036"}},
		{"decision": {"reject"}, "x": {strings.Repeat("x", 100_000)}},
	} {
		wantPage(t, visit(t, s, "POST", "/en/"+id, form, nil), http.StatusBadRequest, "en", "Something is wrong")
	}
	if got := stateOf(t, s, id); got != "USER_SIGNING" {
		t.Errorf("the state is %s", got)
	}
	for _, page := range []string{"/en/sandbox-other", "/en/%3Cb%3E", "/en/%ff"} {
		wantPage(t, visit(t, s, "GET", page, nil, nil), http.StatusNotFound, "en", "This order does not exist")
		wantPage(t, visit(t, s, "POST", page, url.Values{"decision": {"reject"}}, nil), http.StatusNotFound, "en", "This order does not exist")
	}
	wantPage(t, visit(t, s, "POST", "/en/"+id, url.Values{"decision": {"reject"}}, nil), http.StatusOK, "en", "no redirectUrl")
}

// Timestamping has no signer, so there is neither a page nor a wait for one.
func TestTimestampingNeedsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{Manual: true})
		authorization := bearer(t, s, "esign esign/qtsa")
		id := opened(t, s, "/v1/timestamp/pades/lta", authorization)
		wantPage(t, visit(t, s, "GET", "/nb/"+id, nil, nil), http.StatusNotFound, "nb", "finnes ikke")
		signed := opened(t, s, "/v1/signdoc/pades", authorization)
		time.Sleep(time.Minute)
		wantState(t, s, "/v1/timestamp/pades/lta", authorization, id, "SIGN_COMPLETED")
		wantState(t, s, "/v1/signdoc/pades", authorization, signed, "ORDER_RECEIVED")
	})
}

// What an order says is text, wherever it is shown, and a redirectUrl that would run something
// leads nowhere.
func TestHostileOrder(t *testing.T) {
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}`
	for _, redirect := range []string{
		"javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd",
		"//rp.example/", "/back", "http:", "%zz", " javascript:alert(1)", "java\nscript:alert(1)", hostile,
	} {
		s := newServer(t, sandbox.Options{Manual: true})
		id := order(t, s, hostile, redirect)
		for _, w := range []*httptest.ResponseRecorder{
			visit(t, s, "GET", "/en/"+id, nil, nil),
			visit(t, s, "GET", "/", nil, nil),
			visit(t, s, "POST", "/en/"+id, url.Values{"decision": {"reject"}}, nil),
		} {
			wantPage(t, w, http.StatusOK, "en", "")
			body := w.Body.String()
			if strings.Contains(body, "<script>alert") || strings.Contains(body, "<img src=x") || strings.Contains(body, `href="java`) {
				t.Errorf("%q: the page has markup of the order: %s", redirect, body)
			}
			if w.Header().Get("Refresh") != "" || w.Header().Get("Location") != "" {
				t.Errorf("%q: the page leads to %q", redirect, w.Header())
			}
		}
	}
	s := newServer(t, sandbox.Options{Manual: true})
	id := order(t, s, "x", "https://rp.example/\r\nSet-Cookie: a=b")
	if w := visit(t, s, "POST", "/en/"+id, url.Values{"decision": {"reject"}}, nil); strings.ContainsAny(w.Header().Get("Refresh"), "\r\n") {
		t.Errorf("Refresh is %q", w.Header().Get("Refresh"))
	}
	app := order(t, s, "x", "com.example.app:/back")
	if w := visit(t, s, "POST", "/en/"+app, url.Values{"decision": {"reject"}}, nil); w.Header().Get("Refresh") != "0;url=com.example.app:/back" {
		t.Errorf("an app's URL: Refresh is %q", w.Header().Get("Refresh"))
	}
}

// Pages and control are for this machine's names only, and forms for their own pages.
func TestForeignPages(t *testing.T) {
	s := newServer(t, sandbox.Options{Manual: true})
	id := order(t, s, "A contract", "")
	authorize := authorizePath + "?" + authorization(nil).Encode()
	for _, target := range []string{"/", "/nb/" + id, "/nb/" + id + "/1.pdf", authorize, "/sandbox/faults", "/sandbox/page.css", "/sandbox/desk/events", "/sandbox/persons"} {
		for _, host := range []string{"evil.test", "evil.test:9771", "127.0.0.1.evil.test", "localhost.evil.test", "0.0.0.0:9771", "10.0.0.1", ""} {
			if w := visit(t, s, "GET", target, nil, http.Header{"Host": {host}}); w.Code != http.StatusForbidden {
				t.Errorf("%s with the host %q: status %d", target, host, w.Code)
			}
		}
		if target == "/sandbox/desk/events" {
			continue // it would not end
		}
		for _, host := range []string{"localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.2:9771", "[::1]:9771", "[::1]"} {
			if w := visit(t, s, "GET", target, nil, http.Header{"Host": {host}}); w.Code >= 400 {
				t.Errorf("%s with the host %q: status %d", target, host, w.Code)
			}
		}
	}
	own := newServer(t, sandbox.Options{Issuer: "http://sandbox.example:8080/auth/realms/sandbox"})
	if w := visit(t, own, "GET", "/", nil, http.Header{"Host": {"Sandbox.example:8080"}}); w.Code != http.StatusOK {
		t.Errorf("the host of the issuer: status %d", w.Code)
	}

	for _, target := range []string{"/nb/" + id, "/sandbox/consent?" + authorization(nil).Encode(), "/sandbox/desk/order", "/sandbox/desk/fault", "/sandbox/desk/faults", "/sandbox/orders?sign_id=" + id, "/sandbox/faults"} {
		for _, header := range []http.Header{
			{"Sec-Fetch-Site": {"cross-site"}},
			{"Sec-Fetch-Site": {"same-site"}},
			{"Origin": {"http://evil.test"}},
			{"Origin": {"http://127.0.0.1:3000"}},
			{"Origin": {"null"}},
		} {
			form := url.Values{"decision": {"reject"}, "sign_id": {id}, "effect": {"reset"}}
			if w := visit(t, s, "POST", target, form, header); w.Code != http.StatusForbidden {
				t.Errorf("%s with %v: status %d", target, header, w.Code)
			}
		}
	}
	if got := stateOf(t, s, id); got != "USER_SIGNING" { // its page was opened
		t.Errorf("the state is %s", got)
	}
	if faults := s.Faults(); len(faults) > 0 {
		t.Errorf("there are faults: %v", faults)
	}
	header := http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://" + sandbox.Address}}
	if w := visit(t, s, "POST", "/nb/"+id, url.Values{"decision": {"reject"}}, header); w.Code != http.StatusOK {
		t.Errorf("its own form: status %d", w.Code)
	}
	// The APIs are for any host: nothing in a browser can use them without a token.
	if w := visit(t, s, "POST", "/csc/v2/info", nil, http.Header{"Host": {"bankid.test"}, "Content-Type": {jsonType}}); w.Code != http.StatusOK {
		t.Errorf("an API: status %d", w.Code)
	}
}

func TestLongRedirectURL(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	body, err := jsonOrder("x", "https://rp.example/"+strings.Repeat("x", 4096))
	if err != nil {
		t.Fatal(err)
	}
	w := send(t, s, call{method: "POST", target: "/v1/signdoc/pades", authorization: bearer(t, s, "esign"), contentType: jsonType, body: bytes.NewReader(body)})
	if got := decode[string](t, w, http.StatusBadRequest); !strings.Contains(got, "redirectUrl") {
		t.Errorf("the refusal is %q", got)
	}
}
