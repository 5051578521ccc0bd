package tokenauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// evil is what a terminal would obey, and what turns text around.
const evil = "\x1b[31m\x07\r\n\u009b2J\u202e\u2066\x7f"

// wantPrintable asserts that text does nothing to a terminal.
func wantPrintable(t *testing.T, what, text string) {
	t.Helper()
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%s is %q", what, text)
	}
}

func TestNothingOfAProviderControlsATerminal(t *testing.T) {
	server := tokenauthtest.NewServer()
	server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": "bearer", "expires_in": 300, "scope": "esign " + evil + "x"})
	})
	report := check(t, server)
	if len(report.GrantedScopes) < 2 || report.GrantedScopes[0] != "esign" || len(report.MissingScopes) != 1 {
		t.Errorf("granted are %q", report.GrantedScopes)
	}
	wantPrintable(t, "the scopes", strings.Join(report.GrantedScopes, " "))

	for _, status := range []int{200, 400, 404} {
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			tokenauthtest.WriteJSON(w, status, map[string]any{"error": "invalid" + evil, "error_description": evil})
		})
		report = check(t, server)
		wantPrintable(t, "the error", fmt.Sprint(report.Err, report.Err.Code, report.Hint))
	}
	for name, value := range map[string]any{
		"issuer": evil, "token_endpoint": server.Issuer() + evil, "esign-baseurl": "https://api.test/" + evil,
		"token_endpoint_auth_methods_supported": []string{evil},
	} {
		server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
			document := server.Document()
			document[name] = value
			tokenauthtest.WriteJSON(w, 200, document)
		})
		report = check(t, server)
		wantPrintable(t, name, fmt.Sprint(report.Err, report.Hint))
		if metadata, err := newTestProvider(t, server).Metadata(t.Context(), server.Client()); err == nil {
			wantPrintable(t, name, metadata.TokenEndpoint+metadata.Text("esign-baseurl"))
		} else {
			wantPrintable(t, name, err.Error())
		}
	}
	// One that only reads from right to left is no URL either.
	server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		document := server.Document()
		document["token_endpoint"] = server.Issuer() + "\u202e"
		tokenauthtest.WriteJSON(w, 200, document)
	})
	if _, err := newTestProvider(t, server).Metadata(t.Context(), server.Client()); err == nil {
		t.Error("a token endpoint that turns text around is used")
	}
	// The names in a certificate are those that its owner chose.
	client := &http.Client{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("x509: certificate is valid for " + evil + ", not issuer.test")
	})}
	_, err := newTestProvider(t, server).Metadata(t.Context(), client)
	if failure, ok := errors.AsType[*tokenauth.Error](err); !ok {
		t.Errorf("the error is %v", err)
	} else {
		wantPrintable(t, "the error", failure.Error())
	}
}
