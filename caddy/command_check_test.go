package caddyesign_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// prints asserts that the output contains all the texts, ignoring white space.
func (o *output) prints(texts ...string) *output {
	o.t.Helper()
	printed := strings.Join(strings.Fields(o.stdout+o.stderr), " ")
	for _, text := range texts {
		if !strings.Contains(printed, text) {
			o.t.Errorf("it does not print %q:\n%s%s", text, o.stdout, o.stderr)
		}
	}
	return o
}

// A checked has the compared members of what check prints with --json.
type checked struct {
	OK      bool
	Issuer  string
	Clients []struct {
		Name        string
		Credentials *struct {
			OK    bool
			Error *struct{ Cause string }
		}
		Tokens []struct {
			OK, Skipped, Bound bool
			Scopes             []string
			Missing            []string `json:"missing_scopes"`
			KeyID              string   `json:"assertion_kid"`
			Error              *struct{ Cause, Code string }
			Hint               string
		}
	}
}

// checked parses the JSON.
func (o *output) checked() (c checked) {
	o.t.Helper()
	if err := json.Unmarshal([]byte(o.stdout), &c); err != nil {
		o.t.Errorf("it prints %s: %v", o.stdout, err)
	}
	return c
}

// writeConfig writes a configuration to a file.
func (f *fixture) writeConfig(site string) string {
	f.t.Helper()
	file := filepath.Join(f.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(f.caddyfile(site)), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return file
}

func TestCheckOfAClient(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	args := []string{"check", "--issuer", f.issuer.Issuer(), "--client-id", "test-client", "--secret-file", f.secret}
	out := run(t, args...).exits(0).prints(
		"issuer "+f.issuer.Issuer(),
		"ok discovery token endpoint "+f.issuer.Issuer()+"/protocol/openid-connect/token",
		"ok clock agrees",
		"client default",
		"ok authentication test-client by client_secret_basic",
		"ok esign token of 5m0s", "ok esign/csc token of 5m0s", "ok esign/qtsa token of 5m0s",
	)
	if out.stderr != "" || strings.Contains(out.stdout, "\x1b") {
		t.Errorf("it prints more than the table: %q %q", out.stdout, out.stderr)
	}
	if n := f.issuer.Discoveries(); n != 1 {
		t.Errorf("%d discovery requests, want 1", n)
	}
	c := run(t, append(args, "--scope", "esign/nnin", "--auth-method", "client_secret_post", "--json")...).exits(0).checked()
	if !c.OK || c.Issuer != f.issuer.Issuer() || len(c.Clients) != 1 || len(c.Clients[0].Tokens) != 1 ||
		!slices.Equal(c.Clients[0].Tokens[0].Scopes, []string{"esign/nnin"}) {
		t.Errorf("the report is %+v", c)
	}
	requests := f.issuer.TokenRequests()
	if last := requests[len(requests)-1]; last.Form.Get("client_secret") != clientSecret || last.Form.Get("scope") != "esign/nnin" {
		t.Error("the flags are not followed")
	}
}

func TestCheckOfABoundClient(t *testing.T) {
	t.Parallel()
	f := newB2B(t)
	args := []string{"check", "--issuer", f.issuer.Issuer(), "--client-id", "b2b-client", "--key-file", f.keyFile()}
	run(t, append(args, "--key-id", "kid", "--dpop")...).exits(0).
		prints("ok authentication b2b-client by private_key_jwt (ES256, kid kid), with DPoP (ES256)", "ok esign/b2b token of 5m0s")
	kid := f.writeKey(t).ID()
	if c := run(t, append(args, "--dpop", "--json")...).exits(0).checked().Clients; len(c) != 1 || c[0].Tokens[0].KeyID != kid {
		t.Errorf("the clients are %+v, want the kid %s", c, kid)
	}
	f.issuer.HandleToken(respondWith(400, "invalid_request"))
	run(t, append(args, "--scope", "esign/b2b")...).exits(1).prints("hint the provider may demand DPoP for this client", "is registered; the flag for DPoP is --dpop")
	if out := run(t, append(args, "--dpop")...).exits(1); strings.Contains(out.stdout, "the flag for DPoP") {
		t.Errorf("it prints %s", out.stdout)
	}
}

// The tokens that check finds in a configuration are the tokens that the running server
// gets.
func TestCheckOfAConfigurationTriesWhatTheServerUses(t *testing.T) {
	f := newB2B(t)
	f.app += `
	client second {
		client_id second-client
		client_secret {file.` + f.secret + `}
	}
	client idle {
		client_id idle-client
		client_secret {file.` + f.secret + `}
	}`
	site := `handle /own/* {
		uri strip_prefix /own
		reverse_proxy ` + f.upstream.URL + ` {
			transport bankid_esign {
				api timestamp
				client second
				upstream ` + f.upstream.URL + `
			}
		}
	}
	handle /v1/* {
		bankid_esign signdoc {
			callers local
			client second
			scope signdoc/read_write esign/nnin
			upstream signdoc ` + f.upstream.URL + `
		}
	}
	handle /v0/* {
		` + f.b2bSite("") + `
	}
	handle {
		` + localSite + `
	}`
	a := f.startAdmin(site)
	used := make(map[string][]string)
	for _, c := range decode[[]shownClient](a.ask("GET", "/bankid_esign/clients").is(200)) {
		used[c.Name] = nil
		for _, token := range c.Tokens {
			used[c.Name] = append(used[c.Name], fmt.Sprint(token.Scopes, token.Bound))
		}
	}
	before := len(f.issuer.TokenRequests())
	tried := make(map[string][]string)
	for _, c := range run(t, "check", "--config", f.writeConfig(site), "--json").exits(0).checked().Clients {
		tried[c.Name] = nil
		for _, token := range c.Tokens {
			tried[c.Name] = append(tried[c.Name], fmt.Sprint(token.Scopes, token.Bound))
		}
	}
	if fmt.Sprint(tried) != fmt.Sprint(used) || len(used) != 4 || len(used["second"]) != 2 {
		t.Errorf("it tries\n%v, and the server uses\n%v", tried, used)
	}
	eventually(t, func() bool { return len(f.issuer.TokenRequests())-before >= 6 })
	run(t, "check", "-c", f.writeConfig(site)).exits(0).
		prints("client b2b", "client idle", "warn tokens no handler or transport uses this client", "esign/nnin signdoc/read_write token of 5m0s")
}

func TestCheckReadsConfigurations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	raw := filepath.Join(f.dir, "caddy.json")
	if err := os.WriteFile(raw, adapt(t, f.caddyfile(localSite)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "check", "--config", raw).exits(0)
	other := filepath.Join(f.dir, "gateway.conf")
	if err := os.WriteFile(other, []byte(f.caddyfile(localSite)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "check", "--config", other, "--adapter", "caddyfile").exits(0)
	run(t, "check", "--config", other).exits(2).prints("decoding the configuration", "if it is not JSON, name its adapter by --adapter")
	run(t, "check", "--config", other, "--adapter", "nginx!").exits(2).prints("unrecognized config adapter: nginx!")
	run(t, "check", "--config", "absent.json").exits(2).prints("no such file")
	if err := os.WriteFile(other, []byte("{\nbankid_esign {\nenvironment nowhere\n}\n}"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "check", "--config", other, "--adapter", "caddyfile").exits(2).prints("unknown environment 'nowhere'", "gateway.conf:3")
	if err := os.WriteFile(other, []byte(":80 {\nrespond ok\n}"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "check", "--config", other, "--adapter", "caddyfile").exits(2).prints("the bankid_esign app is not configured")
	f.app = "client unused {\nclient_id x\nclient_secret {file." + f.secret + "}\n}"
	run(t, "check", "--config", f.writeConfig(strings.Replace(localSite, "callers local", "callers local\nclient nobody", 1))).
		exits(2).prints("no client 'nobody' is configured")
}

func TestCheckOfWrongUsage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"nothing to check: there is no Caddyfile":                   {},
		"unknown flag: --nothing":                                   {"--nothing"},
		"unexpected argument 'x'":                                   {"x"},
		"--environment or --issuer is missing":                      {"--client-id", "x"},
		"--client-id is missing":                                    {"--environment", "current"},
		"--secret-file or --key-file is missing":                    {"--environment", "current", "--client-id", "x"},
		"leave out the flags that describe a client":                {"--environment", "sandbox", "--client-id", "x", "--secret-file", "a"},
		"cannot be combined with it":                                {"--config", "x", "--dpop"},
		"exclude each other":                                        {"--environment", "current", "--client-id", "x", "--secret-file", "a", "--key-file", "b"},
		"must not have braces":                                      {"--environment", "current", "--client-id", "x", "--secret-file", "{a}"},
		"unknown environment 'preprod'":                             {"--environment", "preprod", "--client-id", "x", "--secret-file", "a"},
		"must be https: plain http":                                 {"--issuer", "http://bankid.example", "--client-id", "x", "--secret-file", "a"},
		"has a comma or a space: these are several scopes":          {"--environment", "sandbox", "--scope", "a,b"},
		"unknown auth_method 'x'":                                   {"--environment", "current", "--client-id", "x", "--secret-file", "a", "--auth-method", "x"},
		"environment and issuer exclude each other":                 {"--environment", "current", "--issuer", "https://x", "--client-id", "x", "--secret-file", "a"},
		"in production, BankID does not let a client with a secret": {"--environment", "production", "--client-id", "x", "--secret-file", "a", "--dpop"},
	} {
		run(t, append([]string{"check"}, args...)...).exits(2).prints(want)
	}
}

func TestCheckHints(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	accept := func(w http.ResponseWriter, r *http.Request) {
		requests := f.issuer.TokenRequests()
		last := requests[len(requests)-1]
		switch user, password, _ := r.BasicAuth(); {
		case user != "test-client" || password != url.QueryEscape(clientSecret):
			tokenauthtest.WriteJSON(w, 401, map[string]string{"error": "invalid_client", "error_description": clientSecret + plantedToken})
		case last.Form.Get("scope") == "esign/qtsa":
			tokenauthtest.WriteError(w, 400, "invalid_scope")
		default:
			tokenauthtest.WriteToken(w, plantedToken, 300)
		}
	}
	f.issuer.HandleToken(accept)
	args := func(issuer, id string, more ...string) []string {
		return append([]string{"check", "--issuer", issuer, "--client-id", id, "--secret-file", f.secret}, more...)
	}
	issuer := f.issuer.Issuer()
	run(t, args(issuer, "test-client", "--scope", "esign", "--scope", "esign/qtsa")...).exits(1).prints(
		"ok authentication test-client", "ok esign token of 5m0s",
		"FAIL esign/qtsa token request failed: HTTP status 400: invalid_scope hint the client has not been given this scope: look at its spelling, order it")
	before := len(f.issuer.TokenRequests())
	run(t, args(issuer, "other-client")...).exits(1).prints(
		"FAIL authentication other-client by client_secret_basic",
		"FAIL esign token request failed: HTTP status 401: invalid_client",
		"hint the issuer does not know this client, or not with this credential",
		"esign/csc not tried, since the client was refused")
	if n := len(f.issuer.TokenRequests()) - before; n != 1 {
		t.Errorf("%d failed logins, want 1", n)
	}
	f.writeSecret(clientSecret + "\n")
	run(t, args(issuer, "test-client")...).exits(1).prints("hint the client secret ends with a line break")
	f.writeSecret(clientSecret + " ")
	run(t, args(issuer, "test-client")...).exits(1).prints("hint the client secret begins or ends with white space")
	written := strings.Replace(f.caddyfile(localSite), "{file."+f.secret+"}", f.secret, 1)
	config := filepath.Join(f.dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(written), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "check", "--config", config).exits(1).prints("hint the client secret looks like the path of a file"); strings.Contains(out.stdout+out.stderr, f.secret) {
		t.Errorf("it shows the secret: %s%s", out.stdout, out.stderr)
	}
	if err := os.Remove(f.secret); err != nil {
		t.Fatal(err)
	}
	run(t, args(issuer, "test-client")...).exits(1).prints("FAIL authentication not tried", "reading client credentials failed: client_secret", f.secret)
	f.writeSecret(clientSecret)
	run(t, args(strings.Replace(issuer, "/realms/test", "/realms/other", 1), "test-client")...).exits(1).
		prints("FAIL discovery", "hint the server at the issuer's URL is not the provider of that name")
	f.issuer.HandleDiscovery(http.NotFound)
	run(t, args(issuer, "test-client")...).exits(1).prints("hint there is no OpenID provider at the issuer's URL")
	f.issuer.HandleDiscovery(nil)
	run(t, args("http://"+ports.Address(t), "test-client")...).exits(1).prints("hint nothing listens")
	run(t, args("https"+strings.TrimPrefix(issuer, "http"), "test-client")...).exits(1).prints("hint the server at the issuer's address does not speak TLS")
	run(t, "check", "--environment", "sandbox").exits(1).prints("hint nothing serves the sandbox at 127.0.0.1:9771: start it by 'caddy bankid-esign sandbox'")
	f.issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		accept(w, r)
	})
	run(t, args(issuer, "test-client", "--scope", "esign")...).exits(0).prints("warn clock the provider's is ahead of this machine's by 1h0m0s")
}

func TestCheckComparesWhereTheAPIsAre(t *testing.T) {
	f := newFixture(t)
	config := `{
		admin off
		persist_config off
		bankid_esign {
			environment sandbox
		}
	}
	` + f.site + ` {
		bind 127.0.0.1
		bankid_esign csc signdoc timestamp {
			callers local
		}
	}`
	file := filepath.Join(f.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	f.load(adapt(t, config))
	run(t, "check", "--config", file).exits(0).prints(
		"(environment sandbox)", "ok esign-baseurl http://127.0.0.1:9771", "ok esign/csc token of 5m0s")
	run(t, "check", "--environment", "sandbox", "--dpop").exits(0).prints("with DPoP", "ok esign/b2b token of 5m0s")
}

// check reads a configuration with the same environment files as `caddy run --envfile`.
func TestCheckWithEnvironmentFiles(t *testing.T) {
	f := newFixture(t)
	config := strings.NewReplacer(f.issuer.Issuer(), "{$TEST_ISSUER}", "client_id test-client", "client_id {env.TEST_CLIENT}",
		"{file."+f.secret+"}", "{env.TEST_SECRET}").Replace(f.caddyfile(localSite))
	for _, part := range []string{"{$TEST_ISSUER}", "{env.TEST_CLIENT}", "{env.TEST_SECRET}"} {
		if !strings.Contains(config, part) {
			t.Fatalf("the configuration lacks %s:\n%s", part, config)
		}
	}
	file := filepath.Join(f.dir, "Caddyfile")
	write := func(name, content string) string {
		name = filepath.Join(f.dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("Caddyfile", config)
	first := write("first.env", "# of the gateway\nexport TEST_ISSUER="+f.issuer.Issuer()+"\nTEST_CLIENT='test-client'\n")
	second := write("second.env", "TEST_CLIENT=another\nTEST_SECRET=\""+clientSecret+"\"\n")
	run(t, "check", "--config", file).exits(2)
	run(t, "check", "--config", file, "--envfile", first, "--envfile", second).exits(0).prints("ok authentication test-client by client_secret_basic")
	run(t, "check", "--config", file, "--envfile", first+","+second).exits(0).prints("ok authentication test-client")
	t.Setenv("TEST_CLIENT", "of-the-environment") // takes precedence over all files
	run(t, "check", "--config", file, "--envfile", first, "--envfile", second).prints("of-the-environment by client_secret_basic")
	// A file can set the egress proxy, which the check of a single client needs as
	// well.
	proxy := write("proxy.env", "HTTP_PROXY=http://"+ports.Address(t)+"\nHTTPS_PROXY=http://"+ports.Address(t))
	run(t, "check", "--issuer", "https://bankid.example", "--client-id", "test-client", "--secret-file", f.secret, "--envfile", proxy).
		exits(1).prints("hint the egress proxy cannot be reached")
}

// An environment file that cannot be read is reported, and nothing is tried.
func TestEnvironmentFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	file := f.writeConfig(localSite)
	odd := filepath.Join(f.dir, "odd.env")
	if err := os.WriteFile(odd, []byte("A=1\nTEST_SECRET= "+clientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "status", "refresh default"} {
		args := append(strings.Fields(command), "--config", file, "--envfile")
		run(t, append(args, "absent.env")...).exits(2).prints("Error: loading additional environment variables: reading the environment file: open absent.env: no such file")
		run(t, append(args, odd)...).exits(2).prints("parsing the environment file " + odd + ": line 2 has white space after the equals sign")
		run(t, append(args, f.dir)...).exits(2).prints("is a directory")
	}
	if n := f.issuer.Discoveries(); n != 0 {
		t.Errorf("%d discovery requests, want none", n)
	}
}
