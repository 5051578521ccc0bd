package itest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// ask sends a request to a sandbox, and reads the response.
func ask(t *testing.T, s http.Handler, r *http.Request, response any) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), response); err != nil || w.Code >= 300 {
		t.Fatalf("%s %s: %d %.200q: %v", r.Method, r.URL, w.Code, w.Body, err)
	}
}

// signedByTheSandbox has a document signed, and returns what comes back.
func signedByTheSandbox(t *testing.T, pdf []byte) []byte {
	t.Helper()
	s, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"esign"}, "client_id": {sandbox.ClientID}, "client_secret": {sandbox.ClientSecret}}
	r := httptest.NewRequest(http.MethodPost, "/auth/realms/sandbox/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var token struct {
		AccessToken string `json:"access_token"`
	}
	ask(t, s, r, &token)
	order, err := json.Marshal(map[string]any{
		"signProperties":      map[string]any{"orderName": "Contract"},
		"padesSignProperties": map[string]any{"addVisualSeals": false},
		"documents":           []map[string]any{{"pdf": pdf}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var created struct {
		SignID string `json:"sign_id"`
	}
	r = httptest.NewRequest(http.MethodPost, "/v1/signdoc/pades", strings.NewReader(string(order)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	ask(t, s, r, &created)
	r = httptest.NewRequest(http.MethodPost, "http://"+sandbox.Address+"/sandbox/orders?sign_id="+created.SignID, strings.NewReader(`{"status":"SIGN_COMPLETED"}`))
	r.Header.Set("Content-Type", "application/json")
	ask(t, s, r, new(any))
	var result struct {
		Results []struct {
			PDF []byte `json:"padesSignedPdf"`
		} `json:"signingResults"`
	}
	r = httptest.NewRequest(http.MethodDelete, "/v1/signdoc/pades?sign_id="+created.SignID, nil)
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	ask(t, s, r, &result)
	return result.Results[0].PDF
}

// TestDocumentsCanBeOpened has qpdf check the documents that the pages upload, and those
// that the sandbox makes of them.
func TestDocumentsCanBeOpened(t *testing.T) {
	for _, name := range []string{"contract.pdf", "signed-contract.pdf"} {
		example := filepath.Join("..", "examples", name)
		pdf, err := os.ReadFile(example)
		if err != nil {
			t.Fatal(err)
		}
		twice := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(twice, signedByTheSandbox(t, signedByTheSandbox(t, pdf)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{example, twice} {
			if out, err := exec.CommandContext(t.Context(), "qpdf", "--check", file).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", file, err, out)
			}
		}
	}
}
