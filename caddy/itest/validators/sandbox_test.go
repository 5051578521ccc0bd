package validators

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// A bankID is a sandbox in which orders are signed.
type bankID struct {
	*testing.T
	sandbox *sandbox.Server
	token   string
}

func newBankID(t *testing.T, options sandbox.Options) *bankID {
	t.Helper()
	s, err := sandbox.New(options)
	if err != nil {
		t.Fatal(err)
	}
	b := &bankID{T: t, sandbox: s}
	form := url.Values{
		"grant_type": {"client_credentials"}, "scope": {"esign esign/qtsa"},
		"client_id": {sandbox.ClientID}, "client_secret": {sandbox.ClientSecret},
	}
	r := httptest.NewRequest(http.MethodPost, "/auth/realms/sandbox/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var token struct {
		AccessToken string `json:"access_token"`
	}
	b.ask(r, &token)
	b.token = token.AccessToken
	return b
}

// ask sends a request, and reads the response.
func (b *bankID) ask(r *http.Request, response any) {
	b.Helper()
	w := httptest.NewRecorder()
	b.sandbox.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), response); err != nil || w.Code >= 300 {
		b.Fatalf("%s %s: %d %.200q: %v", r.Method, r.URL, w.Code, w.Body, err)
	}
}

// root writes the certificate to trust into a file.
func (b *bankID) root() string {
	b.Helper()
	w := httptest.NewRecorder()
	b.sandbox.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/sandbox/ca.pem", nil))
	path := filepath.Join(b.TempDir(), "root.pem")
	if err := os.WriteFile(path, w.Body.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// sign has a person sign documents, and returns what becomes of them.
func (b *bankID) sign(signer sandbox.Person, properties map[string]any, documents ...[]byte) [][]byte {
	b.Helper()
	return b.order("/v1/signdoc/pades", signer, map[string]any{
		"signProperties":      map[string]any{"orderName": "Contract"},
		"padesSignProperties": properties,
	}, documents)
}

// extend has documents brought to level LTA, and returns what becomes of them.
func (b *bankID) extend(documents ...[]byte) [][]byte {
	b.Helper()
	return b.order("/v1/timestamp/pades/lta", sandbox.Persons()[0], map[string]any{}, documents)
}

func (b *bankID) order(path string, signer sandbox.Person, members map[string]any, documents [][]byte) [][]byte {
	b.Helper()
	var list []map[string][]byte
	for _, d := range documents {
		list = append(list, map[string][]byte{"pdf": d})
	}
	members["documents"] = list
	body, err := json.Marshal(members)
	if err != nil {
		b.Fatal(err)
	}
	var created struct {
		SignID string `json:"sign_id"`
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+b.token)
	b.ask(r, &created)
	if err := b.sandbox.SignOrder(created.SignID, signer); err != nil {
		b.Fatal(err)
	}
	var result struct {
		Results []struct {
			PDF []byte `json:"padesSignedPdf"`
		} `json:"signingResults"`
	}
	r = httptest.NewRequest(http.MethodDelete, path+"?sign_id="+created.SignID, nil)
	r.Header.Set("Authorization", "Bearer "+b.token)
	b.ask(r, &result)
	var signed [][]byte
	for _, document := range result.Results {
		signed = append(signed, document.PDF)
	}
	return signed
}
