package tokenauth_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// This program calls SignDoc with an http.Client. Each call of the table carries the token
// that it needs, and other calls are refused. To call BankID, use bankid.Current or
// bankid.Production as the environment.
func Example() {
	environment, stop := startSandbox()
	defer stop()

	source, err := tokenauth.NewSource(tokenauth.Config{
		Issuer:      environment.Issuer,
		Credentials: tokenauth.ClientSecret(sandbox.ClientID, sandbox.ClientSecret),
		Scopes:      bankid.Scopes(bankid.SignDoc, nil),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	client, err := bankid.Client(environment, bankid.SignDoc, source)
	if err != nil {
		fmt.Println(err)
		return
	}

	contract, err := os.ReadFile("../caddy/examples/contract.pdf")
	if err != nil {
		fmt.Println(err)
		return
	}
	//nolint:noctx // an example
	res, err := client.Post(environment.ESign+"/v1/signdoc/pades", "application/json", strings.NewReader(
		`{"signProperties": {"orderName": "Contract", "redirectUrl": "https://app.example/signed"},
		  "padesSignProperties": {"addVisualSeals": false},
		  "documents": [{"description": "Contract", "pdf": "`+base64.StdEncoding.EncodeToString(contract)+`"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(res.Status, strings.HasPrefix(string(body), `{"sign_id":"sandbox-`), err)

	_, err = client.Get(environment.ESign + "/v1/signdoc/../timestamp/token") //nolint:noctx,bodyclose // there is no response
	fmt.Println(strings.HasSuffix(err.Error(), "no such call: the method and path are not in the call table"))
	// Output:
	// 201 Created true <nil>
	// true
}

// startSandbox serves a simulated BankID, with further clients of its OpenID provider.
func startSandbox(clients ...sandbox.Client) (environment bankid.Environment, stop func()) {
	server := httptest.NewUnstartedServer(nil)
	origin := "http://" + server.Listener.Addr().String()
	environment = bankid.Environment{Issuer: origin + "/auth/realms/sandbox", CSC: origin, ESign: origin}
	handler, err := sandbox.New(sandbox.Options{Issuer: environment.Issuer, Clients: clients})
	if err != nil {
		panic(err)
	}
	server.Config.Handler = handler
	server.Start()
	return environment, server.Close
}
