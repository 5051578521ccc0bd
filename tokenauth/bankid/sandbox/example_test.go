package sandbox_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2/clientcredentials"

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

// A test without a browser exchanges a code that starts with "sandbox-" for a service token
// of CSC. The code is good once, with the verifier of these codes.
func ExampleServer_codeWithoutBrowser() {
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String() + "/auth/realms/sandbox"
	handler, err := sandbox.New(sandbox.Options{Issuer: issuer})
	if err != nil {
		log.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	defer server.Close()

	bankID := clientcredentials.Config{
		ClientID: sandbox.ClientID, ClientSecret: sandbox.ClientSecret,
		TokenURL: issuer + "/protocol/openid-connect/token", Scopes: []string{"esign/csc"},
	}
	answer, err := bankID.Client(context.Background()).PostForm(server.URL+"/csc/v2/oauth2/token", url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {"sandbox-1"},
		"redirect_uri":  {"https://app.example/callback"},
		"code_verifier": {sandbox.CodeVerifier},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	// Output: 200 OK
}

// A test injects what it wants the client under test to cope with. Here BankID
// has too many calls, once.
func ExampleServer_Inject() {
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String() + "/auth/realms/sandbox"
	bankID, err := sandbox.New(sandbox.Options{Issuer: issuer}) // what gets tokens reads it, too
	if err != nil {
		log.Fatal(err)
	}
	server.Config.Handler = bankID
	server.Start()
	defer server.Close()

	err = bankID.Inject(sandbox.Fault{
		Path: "/csc/v2/info", Count: 1,
		Effect: sandbox.Status, Status: http.StatusTooManyRequests, RetryAfter: 30 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		answer, err := http.Post(server.URL+"/csc/v2/info", "application/json", strings.NewReader("{}"))
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		fmt.Printf("%s, Retry-After: %q\n", answer.Status, answer.Header.Get("Retry-After"))
	}
	// Output:
	// 429 Too Many Requests, Retry-After: "30"
	// 200 OK, Retry-After: ""
}
