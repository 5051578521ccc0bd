package sandbox_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// A test serves the sandbox at an address of its own; the issuer has to name
// that address.
func ExampleNew() {
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String() + "/auth/realms/sandbox"
	handler, err := sandbox.New(sandbox.Options{Issuer: issuer})
	if err != nil {
		log.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	defer server.Close()

	answer, err := http.PostForm(issuer+"/protocol/openid-connect/token", url.Values{
		"grant_type":    {"client_credentials"},
		"scope":         {"esign"},
		"client_id":     {sandbox.ClientID},
		"client_secret": {sandbox.ClientSecret},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	// Output: 200 OK
}
