package caddyesign_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// carry returns a change that puts another credential on a call.
func carry(authorization string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", authorization) }
}

// A tokenCall is a call that carries one of the gateway's tokens.
type tokenCall struct {
	name string
	// do prepares what the call needs, then calls tamper, which changes the bank's
	// requests, then makes the call.
	do func(j *journey, tamper func()) *reply
}

// status is that of the response to the call if its token is good.
func (c tokenCall) status() int {
	if c.name == "POST "+signDoc {
		return http.StatusCreated
	}
	return http.StatusOK
}

// tokenCalls returns a call for each kind of response to a bad token.
func tokenCalls() []tokenCall {
	simple := func(name, method, path, contentType, body string) tokenCall {
		return tokenCall{name, func(j *journey, tamper func()) *reply {
			tamper()
			return j.call(method, path, body, "Content-Type", contentType)
		}}
	}
	const jsonType = "application/json"
	pdf := pdftest.Signed("Avtale")
	hash := hashOf([]byte("document"))
	create := func(path string) tokenCall {
		return tokenCall{"POST " + path, func(j *journey, tamper func()) *reply {
			tamper()
			return j.post(path, orderAt(j.t, path, pdf))
		}}
	}
	status := func(path string) tokenCall {
		return tokenCall{"GET " + path, func(j *journey, tamper func()) *reply {
			query := j.create(path, pdf)
			tamper()
			return j.call("GET", path+query, "")
		}}
	}
	collect := func(path string) tokenCall {
		return tokenCall{"DELETE " + path, func(j *journey, tamper func()) *reply {
			query := j.create(path, pdf)
			j.drive(query, "SIGN_COMPLETED")
			tamper()
			return j.call("DELETE", path+query, "")
		}}
	}
	exchange := tokenCall{"POST " + cscToken, func(j *journey, tamper func()) *reply {
		code := j.consent()
		tamper()
		return j.exchange(code, redirectURI)
	}}
	return []tokenCall{
		create(signDoc), status(signDoc), collect(signDoc),
		simple("POST /v1/signdoc/convert", "POST", "/v1/signdoc/convert", jsonType, `[{"pdfSpec":"PDFA_2B","description":"d","pdf":"`+encoded(pdftest.Plain("Avtale"))+`"}]`),
		simple("GET /v1/signdoc/convert/pdf/specs", "GET", "/v1/signdoc/convert/pdf/specs", "", ""),
		exchange,
		simple("POST "+timestampToken, "POST", timestampToken, jsonType, `{"hash":"`+hash+`","hashAlgo":"`+sha256OID+`"}`),
		simple("POST "+cmsesFromHashes, "POST", cmsesFromHashes, jsonType, `["`+hash+`"]`),
		simple("POST "+b2bCSC+"/signatures/signHash", "POST", b2bCSC+"/signatures/signHash", jsonType,
			`{"credentialID":"sandbox-b2b-credential","hashes":["`+hash+`"],"signAlgo":"`+sha256WithRSA+`"}`),
		// These respond to a bad token with 403, as to a missing right.
		create(signDocV0), status(signDocV0), collect(signDocV0),
		create(lta), status(lta), collect(lta),
	}
}

// A call whose token was revoked is retried with a new token. The caller notices
// nothing: neither a code nor a document is lost. But as long as the token is new, a
// 403 may be about a missing right, and goes to the caller.
func TestJourneyWithARevokedToken(t *testing.T) {
	for _, test := range tokenCalls() {
		t.Run(test.name, func(t *testing.T) {
			j := newJourney(t, sandbox.Options{})
			r := test.do(j, func() { j.bank.tamperOnce(carry("Bearer revoked")) })
			if strings.HasSuffix(test.name, " "+signDocV0) || strings.HasSuffix(test.name, " "+lta) {
				r.passed(1, 403)
				return
			}
			r.passed(2, test.status())
			if code := r.seen[0].response.Code; code != 401 {
				t.Errorf("the first response is %d", code)
			}
		})
	}
}

// A call is sent at most twice. The caller gets the second refusal.
func TestJourneyWithTokensThatAreAlwaysRefused(t *testing.T) {
	for _, test := range tokenCalls() {
		t.Run(test.name, func(t *testing.T) {
			j := newJourney(t, sandbox.Options{})
			r := test.do(j, func() { j.bank.tamper(carry("Bearer revoked")) })
			if strings.HasSuffix(test.name, " "+signDocV0) || strings.HasSuffix(test.name, " "+lta) {
				r.passed(1, 403)
			} else {
				r.passed(2, 401)
			}
		})
	}
}

// A token without the scope is not a reason to obtain another one.
func TestJourneyWithATokenWithoutTheScope(t *testing.T) {
	says := map[string]string{
		"POST " + cscToken:       `"error":"unauthorized_client"`,
		"POST " + timestampToken: `"code":"SIG-TG403"`,
		"POST " + lta:            `"access token lacks scope esign/qtsa"`,
	}
	for _, test := range tokenCalls() {
		if strings.Contains(test.name, "/v0/b2b/") {
			continue // TestJourneyWithATamperedProof tests it
		}
		t.Run(test.name, func(t *testing.T) {
			j := newJourney(t, sandbox.Options{})
			token := j.bank.token(t, "esign/nnin")
			status := 403
			if strings.HasSuffix(test.name, " "+cscToken) {
				status = 400 // BankID's document has no 403 here
			}
			test.do(j, func() { j.bank.tamper(carry("Bearer " + token)) }).passed(1, status).says(says[test.name])
		})
	}
}

// A system between the gateway and B2B must not change the proof. If it does, BankID
// refuses the call, and the caller sees why.
func TestJourneyWithATamperedProof(t *testing.T) {
	hash := hashOf([]byte("document"))
	for _, test := range []struct {
		name   string
		tamper func(*testing.T, *bank) func(*http.Request)
		status int
		says   string
	}{
		{"proof lost", func(*testing.T, *bank) func(*http.Request) {
			return func(r *http.Request) { r.Header.Del("DPoP") }
		}, 401, `"error":"use_dpop_header"`},
		{"another scheme", func(*testing.T, *bank) func(*http.Request) {
			return func(r *http.Request) {
				carry("Bearer " + strings.TrimPrefix(r.Header.Get("Authorization"), "DPoP "))(r)
			}
		}, 401, `"error":"invalid_token"`},
		{"token lost", func(*testing.T, *bank) func(*http.Request) {
			return func(r *http.Request) { r.Header.Del("Authorization") }
		}, 401, `"error":"invalid_token"`},
		{"unbound token", func(t *testing.T, b *bank) func(*http.Request) {
			return carry("DPoP " + b.token(t, "esign"))
		}, 401, `"error_description":"The access token is not bound to a key"`},
		{"bound token without a proof, as bearer token", func(*testing.T, *bank) func(*http.Request) {
			return func(r *http.Request) {
				carry("Bearer " + strings.TrimPrefix(r.Header.Get("Authorization"), "DPoP "))(r)
				r.Header.Del("DPoP")
			}
		}, 401, `"error":"use_dpop_header"`},
		{"proof replayed", func(*testing.T, *bank) func(*http.Request) {
			var first string
			var once sync.Once
			return func(r *http.Request) {
				once.Do(func() { first = r.Header.Get("DPoP") })
				r.Header.Set("DPoP", first)
			}
		}, 401, `"error":"invalid_dpop_proof"`},
		{"proof for another path", func(*testing.T, *bank) func(*http.Request) {
			return func(r *http.Request) {
				r.URL.Path = b2bCSC + "/credentials/list"
				r.RequestURI = r.URL.Path
			}
		}, 401, `"error":"invalid_dpop_proof"`},
		{"proof that is none", func(*testing.T, *bank) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("DPoP", "x") }
		}, 401, `"error":"invalid_dpop_proof"`},
		{"proof twice", func(*testing.T, *bank) func(*http.Request) {
			return func(r *http.Request) { r.Header["Dpop"] = append(r.Header["Dpop"], r.Header["Dpop"]...) }
		}, 401, `"error":"invalid_dpop_proof"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := newJourney(t, sandbox.Options{})
			j.post(cmsesFromHashes, `["`+hash+`"]`).sealed()
			j.bank.tamper(test.tamper(t, j.bank))
			r := j.post(cmsesFromHashes, `["`+hash+`"]`)
			if test.name == "proof replayed" {
				r.sealed() // the first call succeeds
				r = j.post(cmsesFromHashes, `["`+hash+`"]`)
			}
			r.passed(2, test.status).says(test.says, `"error_reference":"`)
			if got := r.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "DPoP ") {
				t.Errorf("WWW-Authenticate is %q", got)
			}
		})
	}
}

// The issuer grants less than it is asked for, so B2B refuses the call.
func TestJourneyWithASealingTokenWithoutTheScope(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	body := `["` + hashOf([]byte("document")) + `"]`
	j.post(cmsesFromHashes, body).sealed()
	j.bank.tamperOnce(carry("DPoP revoked")) // so that the gateway asks for another token
	j.bank.tamperIssuer(func(r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(text))
		form.Del("scope")
		r.Body = io.NopCloser(strings.NewReader(form.Encode()))
	})
	j.post(cmsesFromHashes, body).passed(2, 403).says(`"error":"insufficient_scope -- SIG_BB604"`)
	j.post(cmsesFromHashes, body).passed(1, 403).says(`"error":"insufficient_scope -- SIG_BB604"`)
}
