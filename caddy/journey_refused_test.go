package caddyesign_test

import (
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// BankID does not see a call that the gateway itself refuses.
func TestJourneyThatTheGatewayRefuses(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	pdf := pdftest.Plain("Avtale")
	query := j.create(signDoc, pdf)
	j.drive(query, "SIGN_COMPLETED")
	const unknown = "not in the call table"
	for _, test := range []struct {
		name, method, path string
		header             []string
		status             int
		kind, details      string
	}{
		{"the browser's endpoint", "GET", "/csc/v2/oauth2/authorize", nil, 404, "http_request_denied", "for the user's browser"},
		{"unknown path", "POST", "/v1/signdoc/xades", nil, 404, "http_request_denied", unknown},
		{"unknown version", "DELETE", "/v2/signdoc/pades", nil, 404, "http_request_denied", unknown},
		{"unknown seal", "POST", "/v0/b2b/seal", nil, 404, "http_request_denied", unknown},
		{"the signer's part", "POST", "/sandbox/orders", nil, 404, "http_request_denied", unknown},
		{"the issuer", "POST", realm + "/protocol/openid-connect/token", nil, 404, "http_request_denied", unknown},
		{"escaped letter", "DELETE", "/v1/signdoc/%70ades", nil, 404, "http_request_denied", unknown},
		{"escaped slash", "DELETE", "/v1/signdoc%2Fpades", nil, 404, "http_request_denied", unknown},
		{"slash at the end", "DELETE", "/v1/signdoc/pades/", nil, 404, "http_request_denied", unknown},
		{"slash twice", "DELETE", "/v1//signdoc/pades", nil, 404, "http_request_denied", unknown},
		{"dot segment", "DELETE", "/v1/./signdoc/pades", nil, 404, "http_request_denied", unknown},
		{"way up", "DELETE", "/v1/timestamp/../signdoc/pades", nil, 404, "http_request_denied", unknown},
		{"upper case", "DELETE", "/V1/signdoc/pades", nil, 404, "http_request_denied", unknown},
		{"escaped letter of b2b", "POST", "/v0/b2b/%63mses_from_hashes", nil, 404, "http_request_denied", unknown},
		{"PUT", "PUT", signDoc, nil, 404, "http_request_denied", "not with PUT"},
		{"HEAD", "HEAD", signDoc, nil, 404, "http_request_denied", "not with HEAD"},
		{"GET in place of POST", "GET", cscToken, nil, 404, "http_request_denied", "with POST, not with GET"},
		{"GET of a seal", "GET", cmsesFromHashes, nil, 404, "http_request_denied", "with POST, not with GET"},
		{"page of another site", "DELETE", signDoc, []string{"Origin", "https://evil.example"}, 403, "http_request_denied", "for another site"},
		{"page in a frame", "DELETE", signDoc, []string{"Sec-Fetch-Site", "cross-site"}, 403, "http_request_denied", "for another site"},
		{"forwarded for", "DELETE", signDoc, []string{"X-Forwarded-For", "127.0.0.1"}, 403, "http_request_denied", "comes through a proxy"},
		{"forwarded", "POST", cmsesFromHashes, []string{"Forwarded", "for=127.0.0.1"}, 403, "http_request_denied", "comes through a proxy"},
		{"early data", "DELETE", signDoc, []string{"Early-Data", "1"}, 425, "http_request_denied", "can be replayed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			j.in(t)
			j.call(test.method, test.path+query, "", test.header...).refused(test.status, test.kind, test.details)
		})
	}
	// None of these calls has changed the order.
	if documents := j.collect(signDoc, query); len(documents) != 1 || !signedFrom(documents[0], pdf) {
		t.Errorf("the documents are %q", documents)
	}
}

// A client that was granted no scope of an API gets no token for it. The caller reads
// why.
func TestJourneyOfAClientWithoutTheScope(t *testing.T) {
	j := newJourney(t, sandbox.Options{Clients: []sandbox.Client{
		{ID: sandbox.ClientID, Secret: sandbox.ClientSecret, Scopes: []string{"esign"}},
		{ID: "seal-client", Secret: "another credential than the gateway's", DPoPRequired: true},
	}})
	const kind = "proxy_configuration_error"
	j.create(signDoc, pdftest.Plain("Avtale"))
	j.create(signDocV0, pdftest.Plain("Avtale"))
	j.exchange(j.consent(), redirectURI).refused(502, kind, "(invalid_scope)")
	for _, path := range []string{lta, timestampToken} {
		j.post(path, "{}").refused(502, kind, "(invalid_scope)")
	}
	// The client's key is not registered.
	j.post(cmsesFromHashes, "[]").refused(502, kind, "(invalid_client)")
	// A call that needs no token is served.
	j.post("/csc/v2/info", "{}").passed(1, 200)
	j.call("GET", b2bCSC+"/info", "").passed(1, 200)
	j.call("GET", "/v1/signdoc/jwks", "").passed(1, 200)
}

func TestJourneyOfAClientWithAnotherSecret(t *testing.T) {
	j := newJourney(t, sandbox.Options{ClientSecret: "another"})
	const kind = "proxy_configuration_error"
	for _, path := range []string{signDoc, lta, timestampToken, cscToken} {
		j.post(path, "{}").refused(502, kind, "(unauthorized_client)")
	}
	j.post(cmsesFromHashes, `["`+hashOf(nil)+`"]`).sealed()
}

// A caller cannot seal with its own credential, even if that is valid.
func TestJourneyOfASealWithTheCallersCredential(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	body := `["` + hashOf([]byte("document")) + `"]`
	own := "Bearer " + j.bank.token(t, "esign")
	r := j.post(cmsesFromHashes, body, "Authorization", own, "DPoP", "callers").sealed()
	if e := r.seen[0]; e.authorization[0] == own || e.proof == "callers" {
		t.Errorf("the caller's credentials reached BankID: %q", e.authorization)
	}
	j.call("DELETE", signDoc+"?sign_id=x", "", "Authorization", own).passed(1, 404)
}

// An operator whose call table differs from BankID's rules gets BankID's refusal.
func TestJourneyOfAnotherCallTable(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	body := `["` + hashOf([]byte("document")) + `"]`
	own := "Bearer " + j.bank.token(t, "esign")
	j.load("call csc POST "+credentialsList+" bearer rejected", "call b2b POST "+cmsesFromHashes+" none never")
	j.post(cmsesFromHashes, body).passed(1, 401).says(`"error":"use_dpop_header"`)
	j.post(credentialsList, "{}").passed(2, 401).says(`"errorCode":"invalid_token"`)
	j.load("call csc POST "+cscToken+" none never", "call b2b POST "+cmsesFromHashes+" pass never")
	j.post(cmsesFromHashes, body, "Authorization", own, "DPoP", "callers").passed(1, 401).says(`"error":"use_dpop_header"`)
	code := j.consent()
	j.exchange(code, redirectURI).passed(1, 401).says(`"error":"invalid_client"`)
	j.load("", "")
	j.exchange(code, redirectURI).passed(1, 200) // the code is still valid
	j.post(cmsesFromHashes, body).sealed()
}
