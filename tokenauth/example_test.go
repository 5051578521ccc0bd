package tokenauth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// This program calls SignDoc with an http.Client. Each call of the table carries the token
// that it needs, and other calls are refused. To call BankID, use the issuer and the origin
// of bankid.Current or bankid.Production.
func Example() {
	server, stop := startSandbox()
	defer stop()

	provider, err := tokenauth.NewProvider(server+"/auth/realms/sandbox", true)
	if err != nil {
		fmt.Println(err)
		return
	}
	source, err := tokenauth.NewSource(tokenauth.Config{
		Provider: provider,
		Scopes:   []string{bankid.ScopeESign},
		// This is called for every attempt. Read the credentials from a place where
		// they can be replaced.
		Credentials: func() (tokenauth.Credentials, error) {
			return tokenauth.Credentials{
				ClientID:     sandbox.ClientID,
				ClientSecret: tokenauth.NewSecret(sandbox.ClientSecret),
			}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	defer source.Attach(tokenauth.Runtime{Client: http.DefaultClient})()

	origin, err := url.Parse(server)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: &gateway.Transport{
		Base:          http.DefaultTransport,
		Table:         gateway.NewTable(bankid.Calls(bankid.SignDoc)...),
		Sources:       map[string]*tokenauth.Source{string(bankid.SignDoc): source},
		Origin:        origin,
		RequestBuffer: 1 << 20,
	}}

	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server+"/v1/signdoc/pades", strings.NewReader(
		`{"signProperties": {"orderName": "Contract", "redirectUrl": "https://app.example/signed"},
		  "documents": [{"description": "Contract", "pdf": "JVBERi0xLjcKJSVFT0YK"}]}`))
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
	fmt.Println(res.Status, strings.HasPrefix(string(body), `{"sign_id":"sandbox-`), err)

	_, err = client.Get(server + "/v1/signdoc/../timestamp/token") //nolint:noctx,bodyclose // there is no response
	fmt.Println(strings.HasSuffix(err.Error(), "no such call: the method and path are not in the call table"))
	// Output:
	// 200 OK true <nil>
	// true
}

// startSandbox serves a simulated BankID and returns its origin.
func startSandbox() (origin string, stop func()) {
	server := httptest.NewUnstartedServer(nil)
	origin = "http://" + server.Listener.Addr().String()
	handler, err := sandbox.New(sandbox.Options{Issuer: origin + "/auth/realms/sandbox"})
	if err != nil {
		panic(err)
	}
	server.Config.Handler = handler
	server.Start()
	return origin, server.Close
}
