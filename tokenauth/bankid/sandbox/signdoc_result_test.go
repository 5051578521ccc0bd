package sandbox_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// collected is the response to the download of an order that is complete.
func collected(t *testing.T, s http.Handler, authorization, body string) orderAnswer {
	t.Helper()
	const target = "/v1/signdoc/pades"
	id := decode[map[string]string](t, create(t, s, target, authorization, strings.NewReader(body)), http.StatusCreated)["sign_id"]
	drive(t, s, id, "SIGN_COMPLETED")
	return decode[orderAnswer](t, send(t, s, call{method: "DELETE", target: target + "?sign_id=" + id, authorization: authorization}), http.StatusOK)
}

func TestHashesOfAResult(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	result := collected(t, s, bearer(t, s, "esign"), orderBody(pdf("x"))).SigningResults[0]
	document := result.PAdESSignedPDF
	signed := sha256.Sum256(document)
	unsigned := sha256.Sum256(document[:bytes.Index(document, []byte("\n%SANDBOX"))])
	if !bytes.Equal(result.SignedHash, signed[:]) || !bytes.Equal(result.UnsignedHash, unsigned[:]) || result.PAdESAppendix != nil {
		t.Errorf("result is %+v", result)
	}
}

// What the sandbox hands out can be opened, and uploaded for the next signer.
func TestDocumentOfAResultIsReadable(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	broken := bytes.ReplaceAll(pdftest.Plain("x"), []byte("startxref"), nil)
	for name, document := range map[string]string{"plain": pdf("x"), "signed": signedPDF("x"), "broken": base64.StdEncoding.EncodeToString(broken)} {
		first := collected(t, s, bearer(t, s, "esign"), orderBody(document)).SigningResults[0].PAdESSignedPDF
		text, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		second := collected(t, s, bearer(t, s, "esign"), orderBody(strings.Trim(string(text), `"`))).SigningResults[0].PAdESSignedPDF
		if bytes.Count(second, []byte("%SANDBOX")) != 2 {
			t.Errorf("%s: %q", name, second)
		}
	}
}

func TestDescriptionOfADocument(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	body := strings.Replace(orderBody(pdf("x")), `{"description": "Kjøpekontrakt",`, `{"description":"d","pdf":"`+pdf("y")+`"},{`, 1)
	results := collected(t, s, bearer(t, s, "esign"), body).SigningResults
	if len(results) != 2 || results[0].Description != "d" || results[1].Description != "A contract - 2" {
		t.Errorf("results are %+v", results)
	}
}

func TestSignerInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		for scope, want := range map[string]string{"esign": "", "esign esign/nnin": "14838510036"} {
			token := collected(t, s, bearer(t, s, scope), orderBody(pdf("x"))).SignerInfo
			parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
			if err != nil {
				t.Fatal(err)
			}
			set := decode[jose.JSONWebKeySet](t, send(t, s, call{method: "GET", target: "/v1/signdoc/jwks"}), http.StatusOK)
			others := decode[jose.JSONWebKeySet](t, send(t, s, call{method: "GET", target: "/auth/realms/sandbox/protocol/openid-connect/certs"}), http.StatusOK)
			if parsed.Claims(others, new(jwt.Claims)) == nil {
				t.Error("a key of access tokens has signed it")
			}
			var claims jwt.Claims
			person := make(map[string]any)
			if err := parsed.Claims(set, &claims, &person); err != nil {
				t.Fatal(err)
			}
			if err := claims.ValidateWithLeeway(jwt.Expected{Issuer: "127.0.0.1", Time: time.Now()}, 0); err != nil || claims.Subject == "" {
				t.Errorf("claims are %+v: %v", claims, err)
			}
			for _, claim := range []string{
				"name", "given_name", "family_name", "birthdate", "signature_quality", "cert_issuer",
				"2.16.578.1.61.2.1", "2.16.578.1.61.2.2", "2.16.578.1.61.2.3",
			} {
				if value, _ := person[claim].(string); value == "" {
					t.Errorf("claim %s is %v", claim, person[claim])
				}
			}
			if got, _ := person["2.16.578.1.61.2.4"].(string); got != want {
				t.Errorf("with scope %s, the identity number is %q, want %q", scope, got, want)
			}
		}
		unwanted := strings.Replace(orderBody(pdf("x")), `"requestSignerInfo": true`, `"requestSignerInfo": false`, 1)
		if token := collected(t, s, bearer(t, s, "esign"), unwanted).SignerInfo; token != "" {
			t.Errorf("nobody asked for %s", token)
		}
	})
}
