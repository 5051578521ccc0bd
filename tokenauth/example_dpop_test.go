package tokenauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// This program seals a document for an organisation. Its client authenticates with a
// private key (private_key_jwt), its tokens are bound to a key, and every call carries a
// proof (DPoP). To call BankID, use bankid.Current or bankid.Production as the environment.
func Example_dpop() {
	// An organisation stores its key in PEM, with Key.PrivatePEM and ParseKey, and
	// registers the public key.
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		fmt.Println(err)
		return
	}
	environment, stop := startSandbox(registered(key))
	defer stop()

	source, err := tokenauth.NewSource(tokenauth.Config{
		Issuer:      environment.Issuer,
		Credentials: tokenauth.PrivateKey(sandbox.B2BClientID, key),
		Scopes:      bankid.Scopes(bankid.B2B, nil),
		DPoP:        true, // the source generates the key that the tokens are bound to
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	client, err := bankid.Client(environment, bankid.B2B, source)
	if err != nil {
		fmt.Println(err)
		return
	}

	//nolint:noctx // an example
	res, err := client.Post(environment.ESign+"/v0/b2b/sdo_from_text", "application/json",
		strings.NewReader(`{"text_to_sign": "Paid in full", "description": "Receipt"}`))
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

// registered returns the client of an organisation with the public part of key, as it is
// registered at the OpenID provider.
func registered(key *tokenauth.Key) sandbox.Client {
	client := sandbox.Client{ID: sandbox.B2BClientID, DPoPRequired: true}
	public, err := key.Public()
	if err == nil {
		err = json.Unmarshal(fmt.Appendf(nil, `{"keys": [%s]}`, public), &client.Keys)
	}
	if err != nil {
		panic(err)
	}
	return client
}
