package caddyesign_test

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// If a caller misuses a service token, that is between the caller and BankID: the bank
// sees the call once, and its response comes back unchanged.
func TestJourneyOfASignatureBroken(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	const credential = "sandbox-credential"
	hash, other := hashOf([]byte("agreed")), hashOf([]byte("other"))
	many := make([]string, 51)
	for i := range many {
		many[i] = hashOf(fmt.Appendf(nil, "%d", i))
	}
	for _, test := range []struct {
		name   string
		do     func(*signing) *reply
		status int
		code   string
		says   string
	}{
		{"token used twice at credentials/list", func(s *signing) *reply {
			s.list()
			return s.at(credentialsList, nil)
		}, 400, "token_already_used", "was used at this endpoint, or at a later one, before"},
		{"token used twice at credentials/info", func(s *signing) *reply {
			body := map[string]any{"credentialID": s.list()}
			s.at(credentialsInfo, body).passed(1, 200)
			return s.at(credentialsInfo, body)
		}, 400, "token_already_used", ""},
		{"token used twice at credentials/authorize", func(s *signing) *reply {
			s.authorize(s.list(), hash)
			return s.at(credentialsAuthorize, authorization(credential, hash))
		}, 400, "token_already_used", ""},
		{"token used twice at signHash", func(s *signing) *reply {
			body := signature(credential, s.authorize(s.list(), hash), hash)
			s.at(signHash, body).passed(1, 200)
			return s.at(signHash, body)
		}, 400, "token_already_used", ""},
		{"step back to credentials/list", func(s *signing) *reply {
			s.authorize(s.list(), hash)
			return s.at(credentialsList, nil)
		}, 400, "token_already_used", ""},
		{"credentials/info after credentials/authorize", func(s *signing) *reply {
			s.authorize(s.list(), hash)
			return s.at(credentialsInfo, map[string]any{"credentialID": credential})
		}, 400, "token_already_used", ""},
		{"credentials/authorize first", func(s *signing) *reply {
			return s.at(credentialsAuthorize, authorization(credential, hash))
		}, 400, "invalid_request", "at an earlier endpoint first"},
		{"signHash without credentials/authorize", func(s *signing) *reply {
			s.list()
			return s.at(signHash, signature(credential, "none", hash))
		}, 400, "invalid_request", "at an earlier endpoint first"},
		{"refused for its content, the token is spent", func(s *signing) *reply {
			s.list()
			s.at(credentialsAuthorize, authorization("another", hash)).passed(1, 400).says("Invalid parameter credentialID")
			return s.at(credentialsAuthorize, authorization(credential, hash))
		}, 400, "token_already_used", ""},
		{"hash that the SAD does not authorize", func(s *signing) *reply {
			return s.at(signHash, signature(credential, s.authorize(s.list(), hash), other))
		}, 400, "hash_mismatch", "Hash is not authorized by the SAD"},
		{"one hash more than authorized", func(s *signing) *reply {
			return s.at(signHash, signature(credential, s.authorize(s.list(), hash), hash, other))
		}, 400, "hash_mismatch", "Hash is not authorized by the SAD"},
		{"SAD of another session", func(s *signing) *reply {
			theirs := s.sign()
			sad := theirs.authorize(theirs.list(), hash)
			s.authorize(s.list(), hash)
			return s.at(signHash, signature(credential, sad, hash))
		}, 400, "invalid_sad", "Invalid parameter SAD"},
		{"more signatures than hashes", func(s *signing) *reply {
			s.list()
			body := authorization(credential, hash)
			body["numSignatures"] = 2
			return s.at(credentialsAuthorize, body)
		}, 400, "hash_mismatch", "numSignatures is not the number of hashes"},
		{"credential that is unknown", func(s *signing) *reply {
			s.list()
			return s.at(credentialsInfo, map[string]any{"credentialID": "another"})
		}, 400, "invalid_credential_id", "Invalid parameter credentialID"},
		{"SHA-512", func(s *signing) *reply {
			s.list()
			body := authorization(credential, encoded(make([]byte, 64)))
			body["hashAlgorithmOID"] = "2.16.840.1.101.3.4.2.3"
			return s.at(credentialsAuthorize, body)
		}, 400, "invalid_hash_algorithm", "SHA-256"},
		{"key type as signAlgo", func(s *signing) *reply {
			body := signature(credential, s.authorize(s.list(), hash), hash)
			body["signAlgo"] = "1.2.840.10045.2.1"
			return s.at(signHash, body)
		}, 400, "invalid_signature_format", "ECDSA"},
		{"no SAD", func(s *signing) *reply {
			s.authorize(s.list(), hash)
			return s.at(signHash, signature(credential, "", hash))
		}, 400, "invalid_request", "parameter SAD"},
		{"51 hashes to authorize", func(s *signing) *reply {
			s.list()
			return s.at(credentialsAuthorize, authorization(credential, many...))
		}, 400, "invalid_request", "Numbers of signatures is too high"},
		{"51 hashes for 50 signatures", func(s *signing) *reply {
			s.list()
			body := authorization(credential, many...)
			body["numSignatures"] = 50
			return s.at(credentialsAuthorize, body)
		}, 400, "invalid_request", "hashes has more than 50 elements"},
		{"51 hashes to sign", func(s *signing) *reply {
			return s.at(signHash, signature(credential, s.authorize(s.list(), hash), many...))
		}, 400, "invalid_request", "hashes has more than 50 elements"},
		{"no hash", func(s *signing) *reply {
			s.list()
			body := authorization(credential)
			body["numSignatures"], body["hashes"] = 1, []string{}
			return s.at(credentialsAuthorize, body)
		}, 400, "invalid_request", "Empty hash array"},
		{"hash that is not base64", func(s *signing) *reply {
			s.list()
			return s.at(credentialsAuthorize, authorization(credential, "!"))
		}, 400, "invalid_request", "Invalid Base64 hash"},
		{"hash of another algorithm", func(s *signing) *reply {
			s.list()
			return s.at(credentialsAuthorize, authorization(credential, encoded(make([]byte, 64))))
		}, 400, "invalid_request", "Invalid digest value length"},
		{"no hashAlgorithmOID", func(s *signing) *reply {
			s.list()
			body := authorization(credential, hash)
			delete(body, "hashAlgorithmOID")
			return s.at(credentialsAuthorize, body)
		}, 400, "invalid_request", "hashAlgorithmOID"},
		{"body over the limit", func(s *signing) *reply {
			return s.at(credentialsList, map[string]any{"clientData": strings.Repeat("x", 64<<10)})
		}, 413, "document_too_large", ""},
		{"service token that is unknown", func(s *signing) *reply {
			s.token = "unknown"
			return s.at(credentialsList, nil)
		}, 401, "invalid_token", "unknown or expired"},
		{"token of BankID OIDC in its place", func(s *signing) *reply {
			return s.post(credentialsList, "{}", "Authorization", "Bearer "+s.bank.token(s.t, "esign/csc"))
		}, 401, "invalid_token", "unknown or expired"},
		{"no service token", func(s *signing) *reply {
			return s.post(credentialsList, "{}").bare()
		}, 401, "authentication_required", "The service token is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			j.in(t)
			test.do(j.sign()).passed(1, test.status).says(`"errorCode":"`+test.code+`"`, `"errorReference":"`, test.says)
		})
	}
	t.Run("no bearer token", func(t *testing.T) {
		j.in(t)
		j.post(credentialsList, "{}", "Authorization", "Basic eDp5").refused(403, "http_request_denied", "must be a single bearer token")
		j.post(credentialsList, "{}", "Authorization", "Bearer a", "Authorization", "Bearer b").
			refused(403, "http_request_denied", "must be a single bearer token")
	})
}

// A code can be used only once, whether the gateway's token is valid or not.
func TestJourneyOfACodeBroken(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	const formType = "application/x-www-form-urlencoded"
	for _, test := range []struct {
		name   string
		do     func(code string) *reply
		status int
		code   string
		says   string
	}{
		{"used twice", func(code string) *reply {
			j.exchange(code, redirectURI).passed(1, 200)
			return j.exchange(code, redirectURI)
		}, 400, "invalid_grant", "used before"},
		{"another redirect_uri", func(code string) *reply {
			return j.exchange(code, "https://rp.example/callback")
		}, 400, "invalid_grant", "bound to another code_verifier, redirect_uri or client"},
		{"lost after another redirect_uri", func(code string) *reply {
			j.exchange(code, "https://other.example").passed(1, 400)
			return j.exchange(code, redirectURI)
		}, 400, "invalid_grant", ""},
		{"unknown", func(string) *reply { return j.exchange("unknown", redirectURI) }, 400, "invalid_grant", ""},
		{"no redirect_uri", func(code string) *reply { return j.exchange(code, "") }, 400, "invalid_request", "redirect_uri is missing"},
		{"another grant", func(string) *reply {
			return j.call("POST", cscToken, "grant_type=client_credentials&code=x&redirect_uri=y", "Content-Type", formType)
		}, 400, "unsupported_grant_type", ""},
		{"another code_verifier", func(code string) *reply {
			j.verifier = oauth2.GenerateVerifier()
			return j.exchange(code, redirectURI)
		}, 400, "invalid_grant", "bound to another code_verifier"},
		{"no code_verifier", func(code string) *reply {
			j.verifier = ""
			return j.exchange(code, redirectURI)
		}, 400, "invalid_request", "code_verifier is missing"},
		{"JSON", func(code string) *reply {
			return j.post(cscToken, `{"grant_type":"authorization_code","code":"`+code+`"}`)
		}, 400, "invalid_request", ""},
		{"no body", func(string) *reply { return j.call("POST", cscToken, "", "Content-Type", formType) }, 400, "invalid_request", "grant_type is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			j.in(t)
			test.do(j.consent()).passed(1, test.status).says(`"error":"`+test.code+`"`, test.says)
		})
	}
}

// If a browser is sent to the bank with a request that the bank refuses, it comes back
// without a code.
func TestJourneyOfAConsentRefused(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	good := url.Values{
		"response_type": {"code"}, "client_id": {sandbox.ClientID}, "redirect_uri": {redirectURI},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())}, "code_challenge_method": {"S256"},
	}
	for name, test := range map[string]struct {
		more url.Values
		code string
	}{
		"good":             {url.Values{"lang": {"sv"}}, ""},
		"without PKCE":     {url.Values{"code_challenge": nil, "code_challenge_method": nil}, "invalid_request"},
		"plain challenge":  {url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		"another scope":    {url.Values{"scope": {"service"}}, "invalid_scope"},
		"another response": {url.Values{"response_type": {"token"}}, "unsupported_response_type"},
	} {
		query := maps.Clone(good)
		maps.Copy(query, test.more)
		location, err := j.visit("GET", "/csc/v2/oauth2/authorize?"+query.Encode(), "").is(302).Location()
		if err != nil {
			t.Fatal(err)
		}
		if back := location.Query(); back.Get("error") != test.code || back.Has("code") != (test.code == "") {
			t.Errorf("%s: the browser is sent to %s", name, location)
		}
	}
}
