package tokenauth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// This program seals a document for an organisation. Its client authenticates with a
// private key (private_key_jwt), its tokens are bound to a key, and every call carries a
// proof (DPoP). The example calls the sandbox without a network. To call BankID, use
// bankid.Current or bankid.Production as the environment, and http.DefaultTransport as
// the round tripper.
func Example_dpop() {
	// An organisation stores its key in PEM, with Key.PrivatePEM and ParseKey, and
	// registers the public key.
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		fmt.Println(err)
		return
	}
	public, err := key.Public()
	if err != nil {
		fmt.Println(err)
		return
	}
	registered := sandbox.Client{ID: sandbox.B2BClientID, DPoPRequired: true}
	if err := json.Unmarshal(fmt.Appendf(nil, `{"keys": [%s]}`, public), &registered.Keys); err != nil {
		fmt.Println(err)
		return
	}
	bankID, err := sandbox.New(sandbox.Options{Clients: []sandbox.Client{registered}})
	if err != nil {
		fmt.Println(err)
		return
	}
	base := tokenauthtest.HandlerTransport{Handler: bankID}
	environment := bankid.Sandbox

	provider, err := tokenauth.NewProvider(environment.Issuer, true)
	if err != nil {
		fmt.Println(err)
		return
	}
	source, err := tokenauth.NewSource(tokenauth.Config{
		Provider: provider,
		Scopes:   bankid.Scopes(bankid.B2B, nil),
		DPoP:     true,
		Credentials: func() (tokenauth.Credentials, error) {
			// Without a DPoPKey, tokens are bound to a key that the source generates.
			return tokenauth.Credentials{ClientID: sandbox.B2BClientID, Key: key}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	defer source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: base}})()

	origin, err := url.Parse(environment.Origin(bankid.B2B))
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: &gateway.Transport{
		Base:          base,
		Table:         gateway.NewTable(bankid.Calls(bankid.B2B)...),
		Sources:       map[string]*tokenauth.Source{string(bankid.B2B): source},
		Origin:        origin,
		RequestBuffer: 1 << 20,
	}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, origin.String()+"/v0/b2b/sdo_from_text",
		strings.NewReader(`{"text_to_sign": "Paid in full", "description": "Receipt"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(res.Status, strings.Contains(string(body), "sdo"), err)

	status := source.Status()
	fmt.Println(status.AuthMethod, status.AssertionAlgorithm, status.ProofAlgorithm, status.Thumbprint != "")
	// Output:
	// 200 OK true <nil>
	// private_key_jwt ES256 ES256 true
}
