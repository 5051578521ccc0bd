package tokenauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// This program calls an API of any provider. Its tokens are bound to a key, and each call
// carries a proof (DPoP). Without DPoP, the calls carry a bearer token.
func ExampleSource_Client() {
	provider := tokenauthtest.NewHTTPServer()
	defer provider.Close()
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL, strings.HasPrefix(r.Header.Get("Authorization"), "DPoP "), r.Header.Get("DPoP") != "")
	}))
	defer api.Close()

	source, err := tokenauth.NewSource(tokenauth.Config{
		Issuer:      provider.Issuer(),
		Credentials: tokenauth.ClientSecret("app", "secret"),
		Scopes:      []string{"orders"},
		DPoP:        true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	client, err := source.Client(api.URL)
	if err != nil {
		fmt.Println(err)
		return
	}

	res, err := client.Get(api.URL + "/orders/42") //nolint:noctx // an example
	if err != nil {
		fmt.Println(err)
		return
	}
	res.Body.Close()
	_, err = client.Get("https://other.example/orders/42") //nolint:noctx,bodyclose // there is no response
	fmt.Println(strings.Contains(err.Error(), "may go to "+api.URL+" only"))
	// Output:
	// GET /orders/42 true true
	// true
}
