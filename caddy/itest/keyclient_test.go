package itest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// testKeyClient makes a SignDoc call with a client that authenticates with a key
// (private_key_jwt, RFC 7523) in PEM.
func testKeyClient(t *testing.T, issuer, client string, key jose.JSONWebKey, authMethod string) {
	t.Helper()
	api := startAPI(t, issuer, client)
	g := startGateway(t, strings.NewReplacer(
		"ISSUER", issuer, "CLIENT", client, "KEY", writePEM(t, key), "METHOD", authMethod,
	).Replace(`
		issuer ISSUER
		client_id CLIENT
		private_key {file.KEY}
		METHOD
`), strings.NewReplacer("API", api.url).Replace(`
	bankid_esign signdoc {
		callers local
		upstream signdoc API
	}
`))
	sent := received{
		Method: http.MethodPost, URI: "/signdoc/pades",
		ContentType: "application/json", Body: `{"documents":[]}`, Scopes: "esign",
	}
	checkArrives(t, g, sent)
	g.stop(t)
	checkLogLacks(t, g, sent.URI, append(privateForms(t, key), api.tokensSeen()...))
}

// testB2BClient makes B2B calls with a client whose tokens are bound to a key (DPoP, RFC
// 9449), and that authenticates with a JWK. It returns the proofs that the API received. If
// dpopKey is nil, the gateway generates a key.
func testB2BClient(t *testing.T, issuer, client string, key jose.JSONWebKey, dpopKey *jose.JSONWebKey) []proof {
	t.Helper()
	secrets, useKey := privateForms(t, key), ""
	if dpopKey != nil {
		secrets = append(secrets, privateForms(t, *dpopKey)...)
		useKey = "dpop_key {file." + writePEM(t, *dpopKey) + "}"
	}
	api := startB2B(t, newTokenVerifier(t, issuer, client))
	g := startGateway(t, strings.NewReplacer(
		"ISSUER", issuer, "CLIENT", client, "FILE", writeJWK(t, key), "DPOP", useKey,
	).Replace(`
		issuer ISSUER
		client b2b {
			client_id CLIENT
			private_key {file.FILE}
			auth_method private_key_jwt
			DPOP
		}
`), strings.NewReplacer("API", api.url).Replace(`
	bankid_esign b2b {
		client b2b
		callers local
		upstream b2b API
	}
`))

	// These are the calls of all rows.
	for _, path := range []string{
		"sdo_from_hash", "sdos_from_hashes", "cmses_from_hashes", "pades/cmses_from_hashes", "sdo_from_text",
		"sdos_from_docs", "sdo_from_cmses", "ades/xades", "ades/pades?with=query",
		"csc/v2/credentials/list", "csc/v2/credentials/info", "csc/v2/signatures/signHash",
	} {
		checkArrives(t, g, b2bCall("/v0/b2b/"+path))
	}
	checkCounts(t, api, 12, 0)
	info := b2bCall("/v0/b2b/csc/v2/info")
	info.Scopes = ""
	checkArrives(t, g, info)
	checkCounts(t, api, 0, 0)

	// The API demands a nonce: there is one retry, and none after the gateway knows the
	// nonce, from a refusal or from a successful response.
	pades := b2bCall("/v0/b2b/ades/pades")
	pades.Body = `{"documents":["` + strings.Repeat("JVBERi0x", 1<<12) + `"]}`
	api.demand("first")
	checkArrives(t, g, pades)
	checkCounts(t, api, 2, 1)
	checkArrives(t, g, pades)
	checkCounts(t, api, 1, 0)
	api.announce("second")
	checkArrives(t, g, pades)
	checkArrives(t, g, pades)
	checkCounts(t, api, 2, 0)

	// The API demands another nonce while calls are in flight.
	const parallel = 20
	api.demand("third")
	var callers sync.WaitGroup
	for i := range parallel {
		callers.Go(func() { checkArrives(t, g, b2bCall(fmt.Sprintf("/v0/b2b/ades/pades?call=%d", i))) })
	}
	callers.Wait()
	if calls, asked := api.counts(); calls != parallel+asked || asked == 0 {
		t.Errorf("%d calls came, %d of them were asked for the nonce", calls, asked)
	}

	g.stop(t)
	for _, problem := range api.problems {
		t.Error(problem)
	}
	checkLogLacks(t, g, pades.URI, append(secrets, api.secrets...))
	return api.proofs
}

// b2bCall is a call that should reach the B2B API.
func b2bCall(uri string) received {
	return received{
		Method: http.MethodPost, URI: uri,
		ContentType: "application/json", Body: `{"hash":"x"}`, Scopes: "esign/b2b",
	}
}

// checkArrives makes a call that should reach the API unchanged, except for the token.
func checkArrives(t *testing.T, g *gateway, call received) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), call.Method, g.url+call.URI, strings.NewReader(call.Body))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Content-Type", call.ContentType)
	status, header, body := do(t, req)
	if status != http.StatusOK {
		t.Errorf("%s %s: %d %s, Proxy-Status %q", call.Method, call.URI, status, body, header.Get("Proxy-Status"))
		return
	}
	var got received
	if err := json.Unmarshal(body, &got); err != nil {
		t.Errorf("%s %s: %v in %s", call.Method, call.URI, err, body)
	} else if got != call {
		t.Errorf("%s %s: the API received\n%+v, want\n%+v", call.Method, call.URI, got, call)
	}
}

// checkCounts checks how many calls came since the last time, and how many of
// them were refused for their nonce.
func checkCounts(t *testing.T, api *b2bAPI, wantCalls, wantAsked int) {
	t.Helper()
	if calls, asked := api.counts(); calls != wantCalls || asked != wantAsked {
		t.Errorf("%d calls came and %d were asked for a nonce, want %d and %d", calls, asked, wantCalls, wantAsked)
	}
}
