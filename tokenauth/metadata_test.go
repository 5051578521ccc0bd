package tokenauth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// tokenHost returns the options for a provider whose token endpoint must be on the issuer's
// host if pinned is true.
func tokenHost(pinned bool) []tokenauth.ProviderOption {
	if pinned {
		return nil
	}
	return []tokenauth.ProviderOption{tokenauth.AnyTokenHost}
}

// readDocument has the provider of issuer read document.
func readDocument(t testing.TB, issuer string, pinned bool, document []byte) (*tokenauth.Metadata, error) {
	t.Helper()
	provider, err := tokenauth.NewProvider(issuer, tokenHost(pinned)...)
	if err != nil {
		t.Fatal(err)
	}
	return provider.Metadata(t.Context(), &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(document))), Request: r}, nil
	})})
}

func TestMetadataIsOfTheConfiguredIssuerAndItsEndpointIsSafe(t *testing.T) {
	for _, c := range []struct {
		issuer   string // in the document; https://a.test/realm is configured
		endpoint string
		pinned   bool
		want     string // in the error; empty if there is none
	}{
		{"https://a.test/realm", "https://a.test/realm/token", true, ""},
		{"https://a.test/realm", "https://A.TEST/token?x=y", true, ""},
		{"https://a.test/realm", "https://b.test/token", false, ""},
		{"https://a.test/realm", "http://127.0.0.1:9771/token", false, ""},
		{"https://a.test/realm/", "https://a.test/token", true, "issuer"},
		{"https://a.test/REALM", "https://a.test/token", true, "issuer"},
		{"https://b.test/realm", "https://a.test/token", true, "issuer"},
		{"", "https://a.test/token", true, "issuer"},
		{"https://a.test/realm", "https://b.test/token", true, "host"},
		{"https://a.test/realm", "https://a.test.b.test/token", true, "host"},
		{"https://a.test/realm", "https://a.test:8443/token", true, "host"},
		{"https://a.test/realm", "http://localhost/token", true, "host"},
		{"https://a.test/realm", "http://a.test/token", false, "https"},
		{"https://a.test/realm", "http://127.0.0.1.b.test/token", false, "https"},
		{"https://a.test/realm", "ftp://a.test/token", false, "https"},
		{"https://a.test/realm", "", false, "missing"},
		{"https://a.test/realm", "/token", false, "absolute"},
		{"https://a.test/realm", "https:a.test", false, "absolute"},
		{"https://a.test/realm", "https://a.test:port/", false, "absolute"},
		{"https://a.test/realm", "https://a.test/token#", false, "fragment"},
		{"https://a.test/realm", "https://a.test@b.test/token", false, "user information"},
	} {
		document, _ := json.Marshal(map[string]any{"issuer": c.issuer, "token_endpoint": c.endpoint})
		m, err := readDocument(t, "https://a.test/realm", c.pinned, document)
		if c.want == "" {
			if err != nil || m.TokenEndpoint != c.endpoint {
				t.Errorf("%+v: metadata is %v, error %v", c, m, err)
			}
			continue
		}
		failure, ok := errors.AsType[*tokenauth.Error](err)
		if !ok || failure.Cause != tokenauth.CauseUnusable || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error is %v", c, err)
		}
	}
}

func TestMetadataHasTheMembersOfTheDocument(t *testing.T) {
	m, err := readDocument(t, "https://a.test", true, []byte(`{"issuer":"https://a.test","token_endpoint":"https://a.test/t",
		"esign-baseurl":"https://esign.test","odd":"https://esign.test\u202e\u0007","number":5,"token_endpoint_auth_methods_supported":["client_secret_post","other"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"esign-baseurl": "https://esign.test", "odd": `https://esign.test\u202e\a`, "number": "", "absent": "", "issuer": "https://a.test"} {
		if got := m.Text(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if methods := m.TokenEndpointAuthMethods; len(methods) != 2 || methods[0] != tokenauth.ClientSecretPost {
		t.Errorf("methods are %v", methods)
	}
}

// A member of a wrong type counts as missing, if it is not required.
func TestOddMembersOfTheDocumentCountAsLeftOut(t *testing.T) {
	const needed = `"issuer":"https://a.test","token_endpoint":"https://a.test/t"`
	for name, test := range map[string]struct {
		document    string
		methods     int // -1 for none
		dpop, signs []string
	}{
		"strings for lists": {`{` + needed + `,"dpop_signing_alg_values_supported":"ES256","token_endpoint_auth_methods_supported":"private_key_jwt","token_endpoint_auth_signing_alg_values_supported":"RS256"}`, -1, nil, nil},
		"numbers":           {`{` + needed + `,"dpop_signing_alg_values_supported":5,"token_endpoint_auth_methods_supported":true}`, -1, nil, nil},
		"objects":           {`{` + needed + `,"dpop_signing_alg_values_supported":{"a":"ES256"},"token_endpoint_auth_methods_supported":{}}`, -1, nil, nil},
		"null":              {`{` + needed + `,"dpop_signing_alg_values_supported":null}`, -1, nil, nil},
		"odd elements":      {`{` + needed + `,"dpop_signing_alg_values_supported":[5,"ES256",null,["RS256"]],"token_endpoint_auth_methods_supported":[{},"client_secret_post"]}`, 1, []string{"ES256"}, nil},
		"only odd elements": {`{` + needed + `,"dpop_signing_alg_values_supported":[5,null]}`, -1, nil, nil},
		"an empty list":     {`{` + needed + `,"dpop_signing_alg_values_supported":[]}`, -1, []string{}, nil},
		"nested objects":    {`{"mtls_endpoint_aliases":{"token_endpoint":5},"scopes_supported":{"x":[[]]},` + needed + `}`, -1, nil, nil},
		"byte order mark":   {"\ufeff{" + needed + "}\r\n", -1, nil, nil},
	} {
		m, err := readDocument(t, "https://a.test", true, []byte(test.document))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if methods := m.TokenEndpointAuthMethods; (methods == nil) != (test.methods < 0) || len(methods) != max(test.methods, 0) {
			t.Errorf("%s: methods are %v", name, methods)
		}
		if !reflect.DeepEqual(m.DPoPAlgorithms, test.dpop) || !reflect.DeepEqual(m.AssertionAlgorithms, test.signs) {
			t.Errorf("%s: algorithms are %#v and %#v", name, m.DPoPAlgorithms, m.AssertionAlgorithms)
		}
	}
	for _, document := range []string{
		`{"issuer":["https://a.test"],"token_endpoint":"https://a.test/t"}`,
		`{"issuer":"https://a.test","token_endpoint":{"url":"https://a.test/t"}}`,
		`{"issuer":"https://a.test","token_endpoint":null}`,
		`{` + needed + `}{}`, `[{` + needed + `}]`,
	} {
		if m, err := readDocument(t, "https://a.test", true, []byte(document)); err == nil {
			t.Errorf("%s: accepted, with the endpoint %q", document, m.TokenEndpoint)
		}
	}
}

func TestParseIssuer(t *testing.T) {
	for _, issuer := range []string{"https://a.test", "https://a.test:8443/realm/x", "http://localhost:1/x", "http://127.0.0.9", "http://[::1]:80"} {
		if u, err := tokenauth.ParseIssuer(issuer); err != nil || u.String() != issuer {
			t.Errorf("%q: %v, error %v", issuer, u, err)
		}
	}
	for issuer, want := range map[string]string{
		"": "missing", "a.test": "absolute", "https://": "absolute", "https:a": "absolute", "%": "absolute", "https://a.test?": "query",
		"https://a.test?x": "query", "https://a.test#x": "fragment", "https://u@a.test": "user information",
		"http://a.test": "loopback", "http://localhost.a.test": "loopback", "ws://a.test": "https",
	} {
		if _, err := tokenauth.ParseIssuer(issuer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want one with %q", issuer, err, want)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.255.0.1": true, "::1": true, "[::1]": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.": false, "10.0.0.1": false, "0.0.0.0": false, "::": false, "127.1": false, "127.0.0.1.test": false, "2130706433": false,
	} {
		if got := tokenauth.IsLoopback(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

func TestCanonicalHost(t *testing.T) {
	for raw, want := range map[string]string{
		"https://A.test": "a.test", "https://a.test:443": "a.test", "https://a.test:": "a.test", "http://a.test:80/x": "a.test",
		"https://a.test:80": "a.test:80", "http://a.test:443": "a.test:443", "https://[::1]": "[::1]", "https://[::1]:443": "[::1]",
		"http://[::1]:8080": "[::1]:8080",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := tokenauth.CanonicalHost(u); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		`{"issuer":"https://a.test","token_endpoint":"https://a.test/t"}`,
		`{"issuer":"https://a.test","token_endpoint":"http://a.test/t","token_endpoint_auth_methods_supported":null}`,
		`{"issuer":"https://a.test","token_endpoint":"https://a.test@b.test/t"}`,
		`{"issuer":"https://a.test","ISSUER":5}`, `[]`, `null`, ``, "\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		m, err := readDocument(t, "https://a.test", true, document)
		if err != nil {
			if _, ok := errors.AsType[*tokenauth.Error](err); !ok {
				t.Fatalf("error is %T", err)
			}
			return
		}
		u, err := url.Parse(m.TokenEndpoint)
		if err != nil || m.Issuer != "https://a.test" || u.Scheme != "https" || !strings.EqualFold(u.Host, "a.test") || u.User != nil || u.Fragment != "" {
			t.Fatalf("accepted the issuer %q with the endpoint %q", m.Issuer, m.TokenEndpoint)
		}
		_ = m.Text("esign-baseurl")
	})
}
