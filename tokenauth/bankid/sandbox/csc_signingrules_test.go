package sandbox_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// wantDescription checks a refusal of a request for its content. The description
// stands behind the error code, if that is another than invalid_request.
func wantDescription(t testing.TB, name string, w *httptest.ResponseRecorder, description string) {
	t.Helper()
	code, rest, other := strings.Cut(description, ": ")
	if other {
		description = rest
	} else {
		code = "invalid_request"
	}
	wantCSCError(t, w, http.StatusBadRequest, code)
	if got := decode[map[string]string](t, w, http.StatusBadRequest)["errorDescription"]; got != description {
		t.Errorf("%s: description is %q, want %q", name, got, description)
	}
}

func TestServiceTokenIsSingleUsePerEndpoint(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	token := listed(t, s)
	content := map[string]body{
		credentialsList:      {},
		credentialsInfo:      {"credentialID": "sandbox-credential"},
		credentialsAuthorize: toAuthorize(sum("a")),
		signHash:             {},
	}
	used := []string{credentialsList}
	references := make(map[string]bool)
	for _, target := range []string{credentialsInfo, credentialsAuthorize, signHash} {
		w := ask(t, s, target, token, content[target])
		if target == signHash {
			// It is used up even though the call is refused for its content.
			wantCSCError(t, w, http.StatusBadRequest, "invalid_request")
		} else {
			decode[map[string]any](t, w, http.StatusOK)
		}
		used = append(used, target)
		for _, earlier := range used {
			w := ask(t, s, earlier, token, content[earlier])
			wantCSCError(t, w, http.StatusBadRequest, "token_already_used")
			references[decode[map[string]string](t, w, http.StatusBadRequest)["errorReference"]] = true
		}
	}
	if len(references) != 9 {
		t.Errorf("%d references of 9 errors", len(references))
	}
}

func TestServiceTokenOutOfOrder(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	const description = "The service token has to be used at an earlier endpoint first"
	token := serviceToken(t, s, "sandbox-order")
	for _, target := range []string{credentialsInfo, credentialsAuthorize, signHash} {
		wantDescription(t, target, ask(t, s, target, token, body{}), description)
	}
	// None of the refusals has used up the token.
	decode[map[string][]string](t, ask(t, s, credentialsList, token, body{}), http.StatusOK)
	wantDescription(t, signHash, ask(t, s, signHash, token, body{}), description)
	decode[map[string]any](t, ask(t, s, credentialsAuthorize, token, toAuthorize(sum("a"))), http.StatusOK)
	// credentials/info was left out, and that is final.
	wantCSCError(t, ask(t, s, credentialsInfo, token, body{}), http.StatusBadRequest, "token_already_used")
}

func TestCredentialsRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	wantDescription(t, "user", ask(t, s, credentialsList, serviceToken(t, s, "sandbox-1"), body{"userID": "x"}), "userID parameter MUST be null")
	wantDescription(t, "list", ask(t, s, credentialsList, serviceToken(t, s, "sandbox-2"), body{"certificates": "all"}), "Invalid parameter certificates")
	for name, test := range map[string]struct {
		content     body
		description string
	}{
		"no credential":      {body{}, "Missing (or invalid type) string parameter credentialID"},
		"unknown credential": {body{"credentialID": "x"}, "invalid_credential_id: Invalid parameter credentialID"},
		"wrong type":         {body{"credentialID": 1}, "Missing (or invalid type) parameter credentialID"},
		"certificates":       {body{"credentialID": "sandbox-credential", "certificates": "all"}, "Invalid parameter certificates"},
	} {
		wantDescription(t, name, ask(t, s, credentialsInfo, listed(t, s), test.content), test.description)
	}
	info := decode[described](t, ask(t, s, credentialsInfo, listed(t, s), body{"credentialID": "sandbox-credential"}), http.StatusOK)
	if len(info.Cert.Certificates) != 1 || info.Cert.SubjectDN != "" || info.Auth.Mode != "explicit" {
		t.Errorf("by default, info is %+v", info)
	}
}

func TestAuthorizeCredentialRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	many := make([][]byte, 51)
	for i := range many {
		many[i] = sum("x")
	}
	text := base64.StdEncoding.EncodeToString(sum("a"))
	for name, test := range map[string]struct {
		change      body
		description string
	}{
		"no credential":          {body{"credentialID": nil}, "Missing (or invalid type) string parameter credentialID"},
		"unknown credential":     {body{"credentialID": "x"}, "invalid_credential_id: Invalid parameter credentialID"},
		"no number":              {body{"numSignatures": nil}, "Missing (or invalid type) integer parameter numSignatures"},
		"number of wrong type":   {body{"numSignatures": "1"}, "Missing (or invalid type) parameter numSignatures"},
		"fraction":               {body{"numSignatures": 1.5}, "Missing (or invalid type) parameter numSignatures"},
		"none":                   {body{"numSignatures": 0}, "Invalid value for parameter numSignatures"},
		"too many":               {body{"numSignatures": 51}, "Numbers of signatures is too high"},
		"more than hashes":       {body{"numSignatures": 2}, "hash_mismatch: numSignatures is not the number of hashes"},
		"fewer than hashes":      {body{"hashes": [][]byte{sum("a"), sum("b")}}, "hash_mismatch: numSignatures is not the number of hashes"},
		"no algorithm":           {body{"hashAlgorithmOID": nil}, "Missing (or invalid type) string parameter hashAlgorithmOID"},
		"SHA-1":                  {body{"hashAlgorithmOID": "1.3.14.3.2.26"}, "invalid_hash_algorithm: hashAlgorithmOID is not that of SHA-256, " + sha256OID},
		"no hashes":              {body{"hashes": nil}, "Missing (or invalid type) array parameter hashes"},
		"a string of hashes":     {body{"hashes": text}, "Missing (or invalid type) parameter hashes"},
		"empty array":            {body{"hashes": []string{}}, "Empty hash array"},
		"too many hashes":        {body{"hashes": many}, "The array hashes has more than 50 elements"},
		"not base64":             {body{"hashes": []string{"%"}}, "Invalid Base64 hash string parameter"},
		"base64url":              {body{"hashes": []string{strings.Repeat("_", 43) + "="}}, "Invalid Base64 hash string parameter"},
		"no padding":             {body{"hashes": []string{strings.TrimRight(text, "=")}}, "Invalid Base64 hash string parameter"},
		"loose bits":             {body{"hashes": []string{strings.Repeat("A", 42) + "B="}}, "Invalid Base64 hash string parameter"},
		"line break":             {body{"hashes": []string{text + "\n"}}, "Invalid digest value length"},
		"too short":              {body{"hashes": [][]byte{sum("a")[1:]}}, "Invalid digest value length"},
		"of another algorithm":   {body{"hashAlgorithmOID": sha384OID}, "invalid_hash_algorithm: hashAlgorithmOID is not that of SHA-256, " + sha256OID},
		"null among the hashes":  {body{"hashes": []any{nil}}, "Invalid digest value length"},
		"number among the other": {body{"hashes": []any{1}}, "Missing (or invalid type) parameter hashes"},
	} {
		wantDescription(t, name, ask(t, s, credentialsAuthorize, listed(t, s), toAuthorize(sum("a")).with(test.change)), test.description)
	}
}

func TestSignHashRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	_, another := authorized(t, s, sum("a"), sum("b"))
	for name, test := range map[string]struct {
		change      body
		description string
	}{
		"no credential":          {body{"credentialID": nil}, "Missing (or invalid type) string parameter credentialID"},
		"unknown credential":     {body{"credentialID": "x"}, "invalid_credential_id: Invalid parameter credentialID"},
		"no SAD":                 {body{"SAD": nil}, "Missing (or invalid type) string parameter SAD"},
		"unknown SAD":            {body{"SAD": "x"}, "invalid_sad: Invalid parameter SAD"},
		"SAD of another token":   {body{"SAD": another["SAD"]}, "invalid_sad: Invalid parameter SAD"},
		"no algorithm":           {body{"signAlgo": nil}, "Missing (or invalid type) string parameter signAlgo"},
		"RSA":                    {body{"signAlgo": "1.2.840.113549.1.1.11"}, "invalid_signature_format: signAlgo is not that of ECDSA with SHA-256, " + ecdsaWithSHA256},
		"with another algorithm": {body{"signAlgo": ecdsaWithSHA384}, "invalid_signature_format: signAlgo is not that of ECDSA with SHA-256, " + ecdsaWithSHA256},
		"SHA-384":                {body{"hashAlgorithmOID": sha384OID}, "invalid_hash_algorithm: hashAlgorithmOID is not that of SHA-256, " + sha256OID},
		"no hash algorithm":      {body{"hashAlgorithmOID": nil}, "Missing (or invalid type) string parameter hashAlgorithmOID"},
		"parameters of no text":  {body{"signAlgoParams": 1}, "Missing (or invalid type) parameter signAlgoParams"},
		"asynchronous":           {body{"operationMode": "A"}, "Invalid parameter operationMode"},
		"no hashes":              {body{"hashes": nil}, "Missing (or invalid type) array parameter hashes"},
		"other hashes":           {body{"hashes": [][]byte{sum("a"), sum("c")}}, "hash_mismatch: Hash is not authorized by the SAD"},
		"one hash twice":         {body{"hashes": [][]byte{sum("a"), sum("a")}}, "hash_mismatch: Hash is not authorized by the SAD"},
		"one hash left out":      {body{"hashes": [][]byte{sum("a")}}, "hash_mismatch: Hash is not authorized by the SAD"},
		"one hash more":          {body{"hashes": [][]byte{sum("a"), sum("b"), sum("c")}}, "hash_mismatch: Hash is not authorized by the SAD"},
	} {
		token, good := authorized(t, s, sum("a"), sum("b"))
		wantDescription(t, name, ask(t, s, signHash, token, good.with(test.change)), test.description)
		wantCSCError(t, ask(t, s, signHash, token, good), http.StatusBadRequest, "token_already_used")
	}
}

func TestCSCBodies(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, test := range []struct {
		contentType, content string
		status               int
		code                 string
	}{
		{jsonType, "", 200, ""},
		{"", "", 200, ""},
		{jsonType, " {}\n", 200, ""},
		{jsonType + "; charset=utf-8", `{"clientData":"x"}`, 200, ""},
		{formType, "{}", 400, "invalid_request"},
		{"", "{}", 400, "invalid_request"},
		{jsonType, "[]", 400, "invalid_request"},
		{jsonType, "{", 400, "invalid_request"},
		{jsonType, "x", 400, "invalid_request"},
		{jsonType, "{}{}", 400, "invalid_request"},
		{jsonType, `{"certInfo":"true"}`, 400, "invalid_request"},
		{jsonType, `{"clientData":"` + strings.Repeat("x", 64<<10) + `"}`, 413, "document_too_large"},
	} {
		w := send(t, s, call{
			method: "POST", target: credentialsList, authorization: "Bearer " + serviceToken(t, s, "sandbox-body"),
			contentType: test.contentType, body: strings.NewReader(test.content),
		})
		if test.status == http.StatusOK {
			decode[map[string][]string](t, w, test.status)
			continue
		}
		wantCSCError(t, w, test.status, test.code)
	}
}

func TestOneOfManyUsesWins(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign/csc")
	issued := authorizationCode(t, s)
	fresh, early := serviceToken(t, s, "sandbox-many"), listed(t, s)
	ready, good := authorized(t, s, sum("a"))
	for name, use := range map[string]func() *httptest.ResponseRecorder{
		"shortcut": func() *httptest.ResponseRecorder { return exchange(t, s, authorization, "sandbox-race") },
		"code":     func() *httptest.ResponseRecorder { return exchange(t, s, authorization, issued) },
		"list":     func() *httptest.ResponseRecorder { return ask(t, s, credentialsList, fresh, body{}) },
		"authorize": func() *httptest.ResponseRecorder {
			return ask(t, s, credentialsAuthorize, early, toAuthorize(sum("a")))
		},
		"signHash": func() *httptest.ResponseRecorder { return ask(t, s, signHash, ready, good) },
	} {
		var won, lost atomic.Int32
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				switch w := use(); w.Code {
				case http.StatusOK:
					won.Add(1)
				case http.StatusBadRequest:
					lost.Add(1)
				default:
					t.Errorf("%s: status %d", name, w.Code)
				}
			})
		}
		callers.Wait()
		if won.Load() != 1 || lost.Load() != 49 {
			t.Errorf("%s: %d uses won, %d lost", name, won.Load(), lost.Load())
		}
	}
}
