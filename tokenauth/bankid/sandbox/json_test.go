package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// A member in another case is another member: an unknown one.
func TestMembersHaveOneCase(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	b2b, sign := p.bound(t, s, "esign/b2b"), bearer(t, s, "esign esign/qtsa")
	for name, got := range map[string]*httptest.ResponseRecorder{
		"B2B":       p.callB2B(t, s, b2b, "/v0/b2b/sdo_from_text", `{"Text_To_Sign":"x","description":"d"}`),
		"B2B CSC":   p.callB2B(t, s, b2b, "/v0/b2b/csc/v2/credentials/info", `{"credentialid":"sandbox-b2b-credential"}`),
		"CSC":       ask(t, s, credentialsInfo, listed(t, s), body{"credentialid": "sandbox-credential"}),
		"SignDoc":   create(t, s, "/v1/signdoc/pades", sign, strings.NewReader(strings.Replace(orderBody(pdf("x")), "orderName", "OrderName", 1))),
		"document":  create(t, s, "/v1/signdoc/pades", sign, strings.NewReader(strings.Replace(orderBody(pdf("x")), `"pdf"`, `"PDF"`, 1))),
		"timestamp": create(t, s, "/v1/timestamp/token", sign, strings.NewReader(`{"Hash":"`+hashOf("x")+`","hashAlgo":"`+sha256OID+`"}`)),
		"control":   create(t, s, "/sandbox/orders?sign_id=x", "", strings.NewReader(`{"Status":"REJECTED"}`)),
		"faults":    create(t, s, "/sandbox/faults", "", strings.NewReader(`{"Effect":"hang"}`)),
	} {
		if got.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d, %s", name, got.Code, got.Body)
		}
	}
}

func TestTextIsUnicode(t *testing.T) {
	s, p := newServer(t, sandbox.Options{}), newProver(t)
	b2b, sign := p.bound(t, s, "esign/b2b"), bearer(t, s, "esign esign/qtsa")
	for text, want := range map[string]string{"\xe6": "is not UTF-8", `\ud800`: "surrogate"} {
		order := strings.Replace(orderBody(pdf("x")), "Kjøp", text, 1)
		for name, got := range map[string]*httptest.ResponseRecorder{
			"B2B":       p.callB2B(t, s, b2b, "/v0/b2b/sdo_from_text", `{"text_to_sign":"`+text+`","description":"d"}`),
			"B2B CSC":   p.callB2B(t, s, b2b, "/v0/b2b/csc/v2/credentials/list", `{"clientData":"`+text+`"}`),
			"CSC":       send(t, s, call{method: "POST", target: credentialsList, authorization: "Bearer " + serviceToken(t, s, "sandbox-text"), contentType: jsonType, body: strings.NewReader(`{"clientData":"` + text + `"}`)}),
			"SignDoc":   create(t, s, "/v1/signdoc/pades", sign, strings.NewReader(order)),
			"convert":   create(t, s, "/v1/signdoc/convert", sign, strings.NewReader(`[{"description":"`+text+`"}]`)),
			"unknown":   create(t, s, "/v1/signdoc/pades", sign, strings.NewReader(`{"`+text+`":1,`+order[1:])),
			"timestamp": create(t, s, "/v1/timestamp/token", sign, strings.NewReader(`{"nonce":"`+text+`"}`)),
			"control":   create(t, s, "/sandbox/orders?sign_id=x", "", strings.NewReader(`{"status":"`+text+`"}`)),
			"keys":      send(t, s, call{method: "PUT", target: "/sandbox/jwks?client_id=x", contentType: jsonType, body: strings.NewReader(`{"keys":["` + text + `"]}`)}),
		} {
			if got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), want) {
				t.Errorf("%s: status %d, %s", name, got.Code, got.Body)
			}
		}
	}
}
