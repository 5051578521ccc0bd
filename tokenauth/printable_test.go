package tokenauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// evil has characters that control a terminal, or turn the direction of text.
const evil = "\x1b[31m\x07\r\n\u009b2J\u202e\u2066\x7f"

// wantPrintable asserts that text has no character that controls a terminal.
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
	// A URL with a character that turns the direction of text is not valid either.
	server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		document := server.Document()
		document["token_endpoint"] = server.Issuer() + "\u202e"
		tokenauthtest.WriteJSON(w, 200, document)
	})
	if _, err := newTestProvider(t, server).Metadata(t.Context(), server.Client()); err == nil {
		t.Error("a token endpoint that turns text around is used")
	}
	// The owner of a certificate has chosen the names in it.
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

// A provider's list may be as long as its response.
func TestTextOfAProviderIsBounded(t *testing.T) {
	var many []string
	for range 10_000 {
		many = append(many, "words-of-a-provider")
	}
	key := func(t *testing.T) func(*tokenauth.Config) {
		return func(c *tokenauth.Config) {
			c.AuthMethod = tokenauth.PrivateKeyJWT
			withKey(t)(c)
		}
	}
	for name, test := range map[string]struct {
		member string
		value  any
		option func(*tokenauth.Config)
		want   string // of the error and the hint
	}{
		"methods":             {"token_endpoint_auth_methods_supported", many, func(*tokenauth.Config) {}, `it lists ["words-of-a-provider"`},
		"methods, configured": {"token_endpoint_auth_methods_supported", many, func(c *tokenauth.Config) { c.AuthMethod = tokenauth.ClientSecretBasic }, `but ["words-of-a-provider"`},
		"long method":         {"token_endpoint_auth_methods_supported", []string{strings.Join(many, "ø")}, func(*tokenauth.Config) {}, `it lists ["words-of-a-provider`},
		"algorithms":          {"token_endpoint_auth_signing_alg_values_supported", many, key(t), `but ["words-of-a-provider"`},
		"endpoint":            {"token_endpoint", "https://issuer.test/" + strings.Join(many, ""), func(*tokenauth.Config) {}, "token_endpoint has 190020 bytes"},
		"issuer":              {"issuer", "https://issuer.test/" + strings.Join(many, ""), func(*tokenauth.Config) {}, "names the issuer"},
		"base URL":            {"esign-baseurl", "https://issuer.test/" + strings.Join(many, ""), func(*tokenauth.Config) {}, ""},
	} {
		server := tokenauthtest.NewServer()
		server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
			document := server.Document()
			document[test.member] = test.value
			tokenauthtest.WriteJSON(w, 200, document)
		})
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteError(w, 401, "invalid_client") })
		report := check(t, server, test.option)
		if text := fmt.Sprint(report.Err, report.Hint); len(text) > 1000 || !strings.Contains(text, test.want) || !utf8.ValidString(text) {
			t.Errorf("%s: of %d bytes, it says %.400s", name, len(text), text)
		}
		if metadata, err := newTestProvider(t, server).Metadata(t.Context(), server.Client()); err == nil && len(metadata.Text("esign-baseurl")) > 2048 {
			t.Errorf("%s: the base URL has %d bytes", name, len(metadata.Text("esign-baseurl")))
		}
	}

	server := tokenauthtest.NewServer()
	server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": "bearer", "expires_in": 300, "scope": strings.Join(many, " ") + " esign esign/csc"})
	})
	report := check(t, server)
	if shown := strings.Join(report.GrantedScopes, " "); len(shown) > 2100 || !strings.HasSuffix(shown, " …") || report.MissingScopes != nil {
		t.Errorf("granted are %d bytes, missing %q", len(shown), report.MissingScopes)
	}
}
