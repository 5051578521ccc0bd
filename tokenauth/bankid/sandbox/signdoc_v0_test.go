package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

func TestSignDocV0Journey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const target = "/signdoc/pades"
		s := newServer(t, sandbox.Options{})
		authorization := bearer(t, s, "signdoc/read_write")
		for _, content := range []string{`["padesSignedPdf"]`, `["padesAppendix"]`, `["documentHash","padesSignedPdf","padesAppendix"]`} {
			body := strings.Replace(orderBody(pdf("x")), `{"requestSignerInfo": true}`, content, 1)
			id := decode[map[string]string](t, create(t, s, target, authorization, strings.NewReader(body)), http.StatusCreated)["sign_id"]
			status := call{method: "GET", target: target + "?sign_id=" + id, authorization: authorization}
			if got := decode[orderAnswer](t, send(t, s, status), http.StatusOK); got.SignID != id || got.State != "ORDER_RECEIVED" || got.Name != "A contract" {
				t.Errorf("status is %+v", got)
			}
			time.Sleep(time.Second)

			elsewhere := call{method: "DELETE", target: "/v1/signdoc/pades?sign_id=" + id, authorization: authorization}
			wantNoBody(t, send(t, s, elsewhere), http.StatusNotFound)

			fetch := status
			fetch.method = "DELETE"
			answer := decode[orderAnswer](t, send(t, s, fetch), http.StatusOK)
			if answer.SignID != id || answer.State != "SIGN_COMPLETED" || answer.Name != "A contract" || answer.SignerInfo != "" || len(answer.SigningResults) != 1 {
				t.Fatalf("answer is %+v", answer)
			}
			result := answer.SigningResults[0]
			if got, want := len(result.PAdESSignedPDF) > 0, strings.Contains(content, "padesSignedPdf"); got != want {
				t.Errorf("%s: there is a document: %v", content, got)
			}
			if got, want := len(result.PAdESAppendix) > 0, strings.Contains(content, "padesAppendix"); got != want {
				t.Errorf("%s: there is an appendix: %v", content, got)
			}
			if got, want := len(result.SignedHash) == 32 && len(result.UnsignedHash) == 32, strings.Contains(content, "documentHash"); got != want {
				t.Errorf("%s: there are hashes: %v", content, got)
			}
			wantNoBody(t, send(t, s, fetch), http.StatusNotFound)
		}
	})
}

func TestSignDocV0KnownValues(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	for _, test := range []struct{ member, content, reason string }{
		{"", `["padesSignedPdf","documentHash"]`, ""},
		{`"documentDisplayMode":"window",`, `["padesSignedPdf"]`, ""},
		{`"documentDisplayMode":"full",`, `["padesSignedPdf"]`, "signProperties: documentDisplayMode is none of interior, window and overlay"},
		{"", `["padesSignedPdf","everything"]`, `resultContent has "everything", which is none of padesSignedPdf, padesAppendix and documentHash`},
	} {
		order := strings.Replace(orderBody(pdf("x")), `{"requestSignerInfo": true}`, test.content, 1)
		order = strings.Replace(order, `"orderName"`, test.member+`"orderName"`, 1)
		w := create(t, s, "/signdoc/pades", authorization, strings.NewReader(order))
		if test.reason == "" {
			decode[map[string]string](t, w, http.StatusCreated)
			continue
		}
		if got := decode[string](t, w, http.StatusBadRequest); got != test.reason {
			t.Errorf("%s %s: reason is %q", test.member, test.content, got)
		}
	}
}

func TestSignDocV0Refusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	for content, want := range map[string]string{
		`[]`:                         "resultContent has neither padesSignedPdf nor padesAppendix",
		`["documentHash"]`:           "resultContent has neither padesSignedPdf nor padesAppendix",
		`null`:                       "resultContent has neither padesSignedPdf nor padesAppendix",
		`{"requestSignerInfo":true}`: "resultContent must be a JSON array",
	} {
		body := strings.Replace(orderBody(pdf("x")), `{"requestSignerInfo": true}`, content, 1)
		if got := decode[string](t, create(t, s, "/signdoc/pades", authorization, strings.NewReader(body)), http.StatusBadRequest); got != want {
			t.Errorf("%s: reason is %q, want %q", content, got, want)
		}
	}
}

func TestSignDocV0Authorization(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, ask := range []call{
		{method: "POST", target: "/signdoc/pades"},
		{method: "GET", target: "/signdoc/pades?sign_id=none"},
		{method: "DELETE", target: "/signdoc/pades?sign_id=none"},
		{method: "POST", target: "/signdoc/convert"},
		{method: "POST", target: "/signdoc/convert/pdf"},
		{method: "GET", target: "/signdoc/convert/pdf/specs"},
	} {
		ask.body = unreadable{t}
		wantNoBody(t, send(t, s, ask), http.StatusForbidden)
		for _, value := range badAuthorizations(t, s, "esign") {
			ask.authorization = value
			wantNoBody(t, send(t, s, ask), http.StatusForbidden)
		}
		ask.authorization = bearer(t, s, "esign/qtsa")
		wantNoBody(t, send(t, s, ask), http.StatusForbidden)
	}
}

func TestSignDocKeys(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	set := decode[jose.JSONWebKeySet](t, send(t, s, call{method: "GET", target: "/v1/signdoc/jwks"}), http.StatusOK)
	if len(set.Keys) != 1 || !set.Keys[0].IsPublic() || !set.Keys[0].Valid() {
		t.Errorf("keys are %+v", set.Keys)
	}
}
