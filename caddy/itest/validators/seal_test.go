package validators

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// newBankIDServer is newBankID with an address, which tokens that are bound to a key need.
func newBankIDServer(t *testing.T) (*bankID, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	origin := "http://" + server.Listener.Addr().String()
	b := newBankID(t, sandbox.Options{Issuer: origin + "/auth/realms/sandbox"})
	server.Config.Handler = b.sandbox
	server.Start()
	t.Cleanup(server.Close)
	return b, origin
}

// seal has B2B seal a document at a level.
func (b *bankID) seal(origin, level string, document []byte) []byte {
	b.Helper()
	source, err := tokenauth.NewSource(tokenauth.Config{
		Issuer:      origin + "/auth/realms/sandbox",
		Credentials: tokenauth.ClientSecret(sandbox.B2BClientID, sandbox.B2BClientSecret),
		Scopes:      []string{"esign/b2b"},
		DPoP:        true,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	client, err := source.Client(origin)
	if err != nil {
		b.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{
		"pdfBytesB64": document, "padesType": level, "reason": "Approved",
		"hashAlgorithmOID": "2.16.840.1.101.3.4.2.1", "signAlgo": "1.2.840.113549.1.1.11",
	})
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, origin+"/v0/b2b/ades/pades", strings.NewReader(string(body)))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	var sealed struct {
		PDF []byte `json:"padesB64"`
	}
	if err := json.NewDecoder(response.Body).Decode(&sealed); err != nil || response.StatusCode != http.StatusOK {
		b.Fatalf("%s: %v", response.Status, err)
	}
	return sealed.PDF
}
