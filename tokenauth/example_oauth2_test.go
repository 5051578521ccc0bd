package tokenauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"golang.org/x/oauth2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// This program gives its token to a library that takes an oauth2.TokenSource. All calls share
// one token, which is renewed before it expires.
func ExampleSource_OAuth2() {
	server := tokenauthtest.NewHTTPServer()
	defer server.Close()
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL, strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "))
	}))
	defer api.Close()

	source, err := tokenauth.NewSource(tokenauth.Config{
		Issuer:      server.Issuer(),
		Credentials: tokenauth.ClientSecret("app", "secret"),
		Scopes:      []string{"orders"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()

	ctx := context.Background()
	client := oauth2.NewClient(ctx, source.OAuth2(ctx))
	for range 2 {
		res, err := client.Get(api.URL + "/orders") //nolint:noctx // an example
		if err != nil {
			fmt.Println(err)
			return
		}
		res.Body.Close()
	}
	fmt.Println(len(server.TokenRequests()), "token request for", source.Status().GrantedScopes)
	// Output:
	// GET /orders true
	// GET /orders true
	// 1 token request for [orders]
}
