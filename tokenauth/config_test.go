package tokenauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A program needs an issuer and credentials, and nothing else.
func TestSourceOfAnIssuerNeedsNoProviderAndNoRuntime(t *testing.T) {
	server := tokenauthtest.NewHTTPServer()
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	source, err := tokenauth.NewSource(tokenauth.Config{
		Issuer:      server.Issuer(),
		Credentials: tokenauth.ClientSecret(testClientID, testClientSecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	wantBearer(t, getToken(t, source), "token-1")
	if got := server.TokenRequests()[0].Username; got != "client%3Aone" {
		t.Errorf("the client is %q", got)
	}
}

// After the last runtime is detached, http.DefaultClient does not stand in for it: it might
// trust other servers.
func TestDefaultClientDoesNotReturnWhenTheLastRuntimeIsDetached(t *testing.T) {
	server := tokenauthtest.NewHTTPServer()
	defer server.Close()
	source, err := tokenauth.NewSource(tokenauth.Config{Issuer: server.Issuer(), Credentials: testCredentials})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	source.Attach(tokenauth.Runtime{Client: server.Client()})()
	_, err = source.Token(t.Context())
	wantMisconfigured(t, "Token", err)
	if n := len(server.TokenRequests()); n != 0 || !strings.Contains(err.Error(), "no runtime is attached") {
		t.Errorf("%d token requests, and the error is %v", n, err)
	}
}

func TestPrivateKeyAuthenticates(t *testing.T) {
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
			document := server.Document()
			document["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
			tokenauthtest.WriteJSON(w, http.StatusOK, document)
		})
		source := newTestSource(t, server, func(c *tokenauth.Config) { c.Credentials = tokenauth.PrivateKey("app", key) })
		getToken(t, source)
		if form := server.TokenRequests()[0].Form; form.Get("client_id") != "app" || form.Get("client_assertion") == "" {
			t.Errorf("the token request has the members %v", form)
		}
	})
}

func TestConfigSaysWhatIsMissing(t *testing.T) {
	provider, err := tokenauth.NewProvider("https://a.test")
	if err != nil {
		t.Fatal(err)
	}
	credentials := tokenauth.ClientSecret("app", testClientSecret)
	for want, config := range map[string]tokenauth.Config{
		"needs an issuer or a provider": {Credentials: credentials},
		"and not both":                  {Credentials: credentials, Issuer: "https://a.test", Provider: provider},
		"needs credentials":             {Issuer: "https://a.test"},
		"must be https":                 {Issuer: "http://a.test", Credentials: credentials},
		"was not made by NewProvider":   {Provider: new(tokenauth.Provider), Credentials: credentials},
	} {
		_, err := tokenauth.NewSource(config)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
		if _, checkErr := tokenauth.Check(t.Context(), config, nil); fmt.Sprint(checkErr) != fmt.Sprint(err) {
			t.Errorf("the error of Check is %v, that of NewSource is %v", checkErr, err)
		}
		wantNoSecret(t, fmt.Sprintf("%v %#v", err, config))
	}
}

// Check tries each scope by itself if they are refused together, and reads the provider's
// configuration once.
func TestCheckReadsTheConfigurationOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondError(http.StatusBadRequest, "invalid_scope"))
		config := tokenauth.Config{Issuer: server.Issuer(), Credentials: testCredentials, Scopes: []string{"a", "b"}}
		report, err := tokenauth.Check(t.Context(), config, server.Client())
		if err != nil || len(report.MissingScopes) != 2 {
			t.Fatalf("the report is %+v, error %v", report, err)
		}
		if n := server.Discoveries(); n != 1 {
			t.Errorf("%d discovery requests, want 1", n)
		}
	})
}
