package caddyesign_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// validate returns the error from provisioning a JSON configuration with the given app
// and handlers.
func validate(t *testing.T, app, handlers string) error {
	t.Helper()
	raw := fmt.Sprintf(`{"apps": {%s "http": {"servers": {"s": {"listen": [":0"], "routes": [{"handle": [%s]}]}}}}}`, app, handlers)
	var cfg caddy.Config
	if err := json.Unmarshal([]byte(raw), &cfg); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return caddy.Validate(&cfg)
}

const (
	goodApp     = `"bankid_esign": {"environment": "current", "client_id": "x", "client_secret": "{env.X}"},`
	goodHandler = `{"handler": "bankid_esign", "apis": ["signdoc"]}`
)

// matched wraps a handler in a route that takes only the calls of b2b.
func matched(handler string) string {
	return `{"handler": "subroute", "routes": [{"match": [{"path": ["/v0/b2b/*"]}], "handle": [` + handler + `]}]}`
}

func TestBadJSON(t *testing.T) {
	handler := func(rest string) string { return `{"handler": "bankid_esign", "apis": ["signdoc"], ` + rest + `}` }
	proxy := func(rest string) string { return handler(`"proxy": {` + rest + `}`) }
	reverseProxy := func(rest, transport string) string {
		return `{"handler": "reverse_proxy", "upstreams": [{"dial": "api.preprod.esign-stoetest.cloud:443"}], ` + rest +
			`"transport": {"protocol": "bankid_esign", "apis": ["signdoc"]` + transport + `}}`
	}
	app := func(rest string) string { return `"bankid_esign": {` + rest + `},` }
	if err := validate(t, goodApp, goodHandler); err != nil {
		t.Fatalf("the good configuration: %v", err)
	}
	for _, test := range []struct{ name, app, handler, want string }{
		{"no app", "", goodHandler, "add the bankid_esign global option"},
		{"no environment", app(`"client_id": "x"`), goodHandler, "neither environment nor issuer"},
		{"environment and issuer", app(`"environment": "current", "issuer": "https://x.example"`), goodHandler, "exclude each other"},
		{"unknown environment", app(`"environment": "preprod"`), goodHandler, "'current' in BankID OIDC"},
		{"plain http issuer", app(`"issuer": "http://x.example"`), goodHandler, "must be https"},
		{"issuer without upstream", app(`"issuer": "https://x.example", "client_id": "x", "client_secret": "{env.X}"`), goodHandler, "no upstream is given for 'signdoc'"},
		{"request placeholder in the issuer", app(`"issuer": "https://{http.request.host}"`), goodHandler, "{http.request.host} cannot be used here"},
		{"request placeholder in the secret", app(`"environment": "current", "client_id": "x", "client_secret": "{http.request.header.X}"`), goodHandler, "client_secret: placeholder"},
		{"no credential", app(`"environment": "current", "client_id": "x"`), goodHandler, "either client_secret or private_key"},
		{"two credentials", app(`"environment": "current", "client_id": "x", "client_secret": "{env.X}", "private_key": "{env.Y}"`), goodHandler, "and not both"},
		{"auth_method without its credential", app(`"environment": "current", "client_id": "x", "client_secret": "{env.X}", "auth_method": "private_key_jwt"`), goodHandler, "does not fit"},
		{"b2b without a client", goodApp, `{"handler": "bankid_esign", "apis": ["b2b"]}`, "needs a client of its own"},
		{"b2b and others with one client", app(`"environment": "current", "clients": {"x": {"client_id": "x", "private_key": "{env.X}"}}`), matched(`{"handler": "bankid_esign", "apis": ["b2b"], "client": "x"}`) + `, {"handler": "bankid_esign", "apis": ["csc"], "client": "x"}`, "is used for b2b and for another API"},
		{"b2b and others with one client by two names", app(`"environment": "current", "clients": {"x": {"client_id": "id", "private_key": "{env.X}"}, "y": {"client_id": "id", "private_key": "{env.X}"}}`), matched(`{"handler": "bankid_esign", "apis": ["b2b"], "client": "x"}`) + `, {"handler": "bankid_esign", "apis": ["csc"], "client": "y"}`, "is used for b2b and for another API"},
		{"bearer call of b2b", app(`"environment": "current", "clients": {"x": {"client_id": "x", "private_key": "{env.X}"}}`), `{"handler": "bankid_esign", "apis": ["b2b"], "client": "x", "calls": [{"api": "b2b", "method": "POST", "path": "/x", "kind": "bearer"}]}`, "are not of kind bearer"},
		{"b2b with a secret in production", app(`"environment": "production", "clients": {"x": {"client_id": "x", "client_secret": "{env.X}"}}`), `{"handler": "bankid_esign", "apis": ["b2b"], "client": "x"}`, "does not let a client with a secret seal"},
		{"no client id", app(`"environment": "current", "client_secret": "{env.X}"`), goodHandler, "client_id is missing"},
		{"no client", app(`"environment": "current"`), goodHandler, "no default client is configured"},
		{"null client", app(`"environment": "current", "clients": {"x": null}`), goodHandler, "client 'x': client_id is missing"},
		{"unknown auth_method", app(`"environment": "current", "client_id": "x", "client_secret": "{env.X}", "auth_method": "none"`), goodHandler, "unknown auth_method"},
		{"audience with a secret", app(`"environment": "current", "client_id": "x", "client_secret": "{env.X}", "audience": "https://x.example"`), goodHandler, "audience needs private_key"},
		{"audience that is no URL", app(`"environment": "current", "client_id": "x", "private_key": "{env.X}", "audience": "://x.example"`), goodHandler, "audience: '://x.example' is not a URI"},
		{"negative timeout", app(`"environment": "current", "timeout": -1`), goodHandler, "must not be negative"},
		{"timeout without a unit", app(`"environment": "current", "timeout": 10`), goodHandler, `timeout 10ns is too short to be meant: write it with a unit, as in "10s"`},
		{"refresh_before without a unit", app(`"environment": "current", "refresh_before": 60`), goodHandler, `refresh_before 60ns is too short to be meant`},
		{"private_key that is a path", app(`"environment": "current", "client_id": "x", "private_key": "/run/secrets/seal.pem"`), goodHandler, "private_key: the value is not a private key (it is neither PEM nor a JWK); if it is the name of a file"},
		{"dpop_key that is not a key", app(`"environment": "current", "client_id": "x", "client_secret": "{env.X}", "dpop_key": "x"`), goodHandler, "dpop_key: the value is not a private key"},
		{"unknown app field", app(`"environment": "current", "secret": "x"`), goodHandler, "unknown field"},
		{"no APIs", goodApp, `{"handler": "bankid_esign"}`, "no API is given"},
		{"unknown API", goodApp, `{"handler": "bankid_esign", "apis": ["x"]}`, "unknown API 'x'"},
		{"b2b with others", goodApp, `{"handler": "bankid_esign", "apis": ["b2b", "csc"]}`, "b2b cannot be combined with another API: its tokens are bound to a key and its client has no other scopes; give it a directive or route in a site of its own, or with a matcher"},
		{"unknown client", goodApp, handler(`"client": "x"`), "no client 'x'"},
		{"unknown callers", goodApp, handler(`"callers": "all"`), "unknown callers"},
		{"scope with a comma", goodApp, handler(`"scopes": ["a,b"]`), "comma"},
		{"scope with a placeholder", goodApp, handler(`"scopes": ["{http.request.host}"]`), "plain word"},
		{"upstream of another API", goodApp, handler(`"upstreams": {"csc": "https://x.example"}`), "not among those"},
		{"plain http upstream", goodApp, handler(`"upstreams": {"signdoc": "http://x.example"}`), "must be https"},
		{"upstream with a path", goodApp, handler(`"upstreams": {"signdoc": "https://x.example/y"}`), "can only have"},
		{"bad call", goodApp, handler(`"calls": [{"api": "signdoc", "method": "GET", "path": "x", "kind": "none"}]`), "path 'x'"},
		{"huge request_buffer", goodApp, handler(`"request_buffer": 1073741824`), "request_buffer"},
		{"proxy is not an object", goodApp, handler(`"proxy": []`), "decoding proxy"},
		{"proxy.transport is not an object", goodApp, proxy(`"transport": 1`), "proxy.transport"},
		{"unknown proxy field", goodApp, proxy(`"x": 1`), "unknown field"},
		{"proxy.upstreams", goodApp, proxy(`"upstreams": [{"dial": "x:1"}]`), "proxy.upstreams cannot be used"},
		{"proxy.dynamic_upstreams", goodApp, proxy(`"dynamic_upstreams": {"source": "a"}`), "dynamic_upstreams cannot be used"},
		{"proxy.rewrite", goodApp, proxy(`"rewrite": {"uri": "/x"}`), "rewrite cannot be used"},
		{"proxy.load_balancing.retry_match", goodApp, proxy(`"load_balancing": {"retry_match": [{"method": ["POST"]}]}`), "retry_match cannot be used"},
		{"another protocol", goodApp, proxy(`"transport": {"protocol": "fastcgi"}`), "protocol must be"},
		{"insecure", goodApp, proxy(`"transport": {"protocol": "http", "tls": {"insecure_skip_verify": true}}`), "tls_insecure_skip_verify cannot be used"},
		{"except_ports", goodApp, proxy(`"transport": {"tls": {"except_ports": ["443"]}}`), "tls_except_ports cannot be used"},
		{"proxy_protocol", goodApp, proxy(`"transport": {"proxy_protocol": "v1"}`), "proxy_protocol cannot be used"},
		{"compression", goodApp, proxy(`"transport": {"compression": true}`), "compression cannot be used"},
		{"transport field of another case", goodApp, proxy(`"tran\u017fport": {"protocol": "fastcgi"}`), "protocol must be"},
		{"scopes by the transport", goodApp, proxy(`"transport": {"protocol": "http", "scopes": ["esign/nnin"]}`), "unknown field"},
		{"HTTP/3", goodApp, proxy(`"transport": {"versions": ["3"]}`), "versions 3 cannot be used"},
		{"server name of a request", goodApp, proxy(`"transport": {"tls": {"server_name": "{http.request.header.X}"}}`), "tls_server_name: placeholder"},
		{"network proxy of a request", goodApp, proxy(`"transport": {"network_proxy": {"from": "url", "url": "{http.request.header.X}"}}`), "must not choose the proxy"},
		{"network proxy whose host is a request's", goodApp, proxy(`"transport": {"network_proxy": {"from": "url", "url": "http:{http.request.header.X}"}}`), "must not choose the proxy"},
		{"network proxy of a map", goodApp, proxy(`"transport": {"network_proxy": {"from": "url", "url": "http://\u007bproxy}:3128"}}`), "must not choose the proxy"},
		{"network proxy in plain http", goodApp, handler(`"upstreams": {"signdoc": "http://127.0.0.1:1"}, "proxy": {"transport": {"network_proxy": {"from": "url", "url": "http://p.example"}}}`), "network_proxy cannot be used"},
		{"active health checks", goodApp, proxy(`"health_checks": {"active": {"uri": "/"}}`), "health_checks.active cannot be used"},
		{"header of any name", goodApp, proxy(`"headers": {"request": {"replace": {"*": [{"search": "x"}]}}}`), "written out"},
		{"b2b with an unknown client", goodApp, `{"handler": "bankid_esign", "apis": ["b2b"], "client": "x"}`, "no client 'x'"},
		{"header set", goodApp, proxy(`"headers": {"request": {"set": {"authorization": ["x"]}}}`), "header_up authorization cannot be used"},
		{"header added", goodApp, proxy(`"headers": {"request": {"add": {"DPoP": ["x"]}}}`), "header_up DPoP cannot be used"},
		{"header deleted", goodApp, proxy(`"headers": {"request": {"delete": ["Host"]}}`), "header_up Host cannot be used"},
		{"header replaced", goodApp, proxy(`"headers": {"request": {"replace": {"Authorization": [{"search": "x"}]}}}`), "header_up Authorization cannot be used"},
		{"bare transport, rewrite", goodApp, reverseProxy(`"rewrite": {"method": "POST"},`, ""), "rewrite cannot be used"},
		{"bare transport, header", goodApp, reverseProxy(`"headers": {"request": {"set": {"Authorization": ["x"]}}},`, ""), "header_up Authorization cannot be used"},
		{"bare transport, other upstream", goodApp, reverseProxy("", `, "upstream": "https://other.example"`), "where the calls go"},
		{"bare transport, two hosts", goodApp, reverseProxy("", `, "apis": ["csc", "signdoc"]`), "different hosts"},
		{"bare transport, TLS on plain http", goodApp, strings.Replace(reverseProxy("", `, "upstream": "http://127.0.0.1:1", "tls": {}`), "api.preprod.esign-stoetest.cloud:443", "127.0.0.1:1", 1), "TLS is configured"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := validate(t, test.app, test.handler)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

// The value of a placeholder may be a secret that was put in the wrong place.
func TestErrorsShowPlaceholdersAsTyped(t *testing.T) {
	t.Setenv("MISPLACED", "s3cret value")
	for field, app := range map[string]string{
		"environment": `"environment": "{env.MISPLACED}"`,
		"issuer":      `"issuer": "https://{env.MISPLACED}"`,
		"audience":    `"environment": "current", "client_id": "x", "private_key": "{env.X}", "audience": "{env.MISPLACED}"`,
	} {
		err := validate(t, `"bankid_esign": {`+app+`},`, goodHandler)
		if err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "{env.MISPLACED}'") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: error is %v", field, err)
		}
	}
	for _, handler := range []string{
		`{"handler": "bankid_esign", "apis": ["signdoc"], "upstreams": {"signdoc": "{env.MISPLACED}"}}`,
		`{"handler": "reverse_proxy", "upstreams": [{"dial": "127.0.0.1:1"}], "transport": {"protocol": "bankid_esign", "apis": ["signdoc"], "upstream": "{env.MISPLACED}"}}`,
	} {
		err := validate(t, goodApp, handler)
		if err == nil || !strings.Contains(err.Error(), "upstream '{env.MISPLACED}' is not a URL") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error is %v", err)
		}
	}
}

// The sandbox brings the default client. Of the others, a misspelt name would be found only
// in another environment if it were no error in the sandbox.
func TestSandboxHasTheClientsThatAreConfigured(t *testing.T) {
	const app = `"bankid_esign": {"environment": "sandbox", "clients": {"seal": {"client_id": "x", "private_key": "{env.X}"}}},`
	b2b := func(client string) string {
		return `{"handler": "bankid_esign", "apis": ["b2b"], "client": "` + client + `"}`
	}
	for handlers, want := range map[string]string{
		b2b("seal"):  "",
		b2b("seall"): "no client 'seall' is configured: those with a name are [seal]",
		matched(b2b("seal")) + `, {"handler": "bankid_esign", "apis": ["csc"]}`: "",
	} {
		err := validate(t, app, handlers)
		if got := fmt.Sprint(err); (want == "") != (err == nil) || !strings.Contains(got, want) {
			t.Errorf("%s: error is %v, want %q", handlers, err, want)
		}
	}
	if err := validate(t, `"bankid_esign": {"environment": "sandbox"},`, b2b("seal")); err != nil {
		t.Errorf("without any: %v", err)
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "absent"): "no such file or directory",
		dir:                          "is a directory",
		filepath.Join(file, "below"): "not a directory",
		file:                         "is empty",
	} {
		err := validate(t, fmt.Sprintf(`"bankid_esign": {"environment": "{file.%s}"},`, path), goodHandler)
		if err == nil || !strings.Contains(err.Error(), "environment: placeholder {file."+path+"}") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want one with %q", path, err, want)
		}
	}
}

// A key that is written out works, as PEM and as a JWK with escaped braces. A value
// that is not a key is not shown.
func TestKeyThatIsWrittenOut(t *testing.T) {
	generated, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	private, err := generated.PrivatePEM()
	if err != nil {
		t.Fatal(err)
	}
	jwk := `\{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"\}`
	for key, want := range map[string]string{
		private.Reveal(): "",
		jwk:              "",
		strings.Replace(private.Reveal(), "M", "N", 1): "its PRIVATE KEY block cannot be read",
		strings.Replace(jwk, "870MB6", "planted", 1):   "not a private key (it is not a valid JWK)",
		"planted-secret": "it is neither PEM nor a JWK",
	} {
		quoted, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		err = validate(t, `"bankid_esign": {"environment": "current", "client_id": "x", "private_key": `+string(quoted)+`},`, goodHandler)
		if got := fmt.Sprint(err); (want == "") != (err == nil) || !strings.Contains(got, want) || strings.Contains(got, "planted") {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}
