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
		// The older service has a list for "resultContent".
		body := strings.Replace(orderBody(pdf("x")), `{"requestSignerInfo": true}`, `["PadesSignedPdf"]`, 1)
		id := decode[map[string]string](t, create(t, s, target, authorization, strings.NewReader(body)), http.StatusOK)["sign_id"]
		status := call{method: "GET", target: target + "?sign_id=" + id, authorization: authorization}
		if got := decode[map[string]string](t, send(t, s, status), http.StatusOK)["status"]; got != "ORDER_RECEIVED" {
			t.Errorf("status is %q", got)
		}
		time.Sleep(time.Second)

		elsewhere := call{method: "DELETE", target: "/v1/signdoc/pades?sign_id=" + id, authorization: authorization}
		wantNoBody(t, send(t, s, elsewhere), http.StatusNotFound)

		fetch := status
		fetch.method = "DELETE"
		result := decode[fetched](t, send(t, s, fetch), http.StatusOK)
		if len(result.SigningResults) != 1 || result.SigningResults[0].PAdESSignedPDF != pdf("x") || !strings.Contains(result.Sandbox, "nothing was signed") {
			t.Errorf("result is %+v", result)
		}
		wantNoBody(t, send(t, s, fetch), http.StatusNotFound)
	})
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
