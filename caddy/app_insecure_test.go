package caddyesign_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// insecure gives the fixture an issuer that is not on a loopback address. A connection
// to 0.0.0.0 reaches the machine itself all the same.
func (f *fixture) insecure() {
	f.issuer.MoveTo("http://" + strings.Replace(f.issuer.Address(), "127.0.0.1", "0.0.0.0", 1))
}

func TestInsecureIssuerOfARehearsal(t *testing.T) {
	f := newFixture(t)
	f.insecure()
	const refusal = "must be https: plain http is for loopback addresses only; for a provider of a rehearsal, write insecure_http_issuer (check: --insecure-http-issuer)"
	if err := caddy.Load(f.json(localSite), true); err == nil || !strings.Contains(err.Error(), refusal) {
		t.Errorf("without the option, the error is %v", err)
	}
	f.app = "insecure_http_issuer"
	const warning = "the issuer is plain http (insecure_http_issuer)"
	for n := range 2 {
		f.start(localSite)
		if got := strings.Count(f.logged(), warning); got != n+1 {
			t.Errorf("after %d loads it warns %d times", n+1, got)
		}
	}
	f.do("GET", path, "").is(200)
	args := []string{"check", "--issuer", f.issuer.Issuer(), "--client-id", "test-client", "--secret-file", f.secret}
	run(t, args...).exits(2).prints(refusal)
	run(t, append(args, "--insecure-http-issuer")...).exits(0).prints("ok esign token of 5m0s", warning)
	run(t, "check", "--environment", "current", "--client-id", "x", "--secret-file", f.secret, "--insecure-http-issuer").exits(2).prints("needs issuer")
	run(t, "check", "--config", f.writeConfig(localSite), "--insecure-http-issuer").exits(2).prints("cannot be combined with it")
}

// json returns the configuration as JSON, even if the adapter would refuse it.
func (f *fixture) json(site string) []byte {
	f.t.Helper()
	loopback := strings.Replace(f.issuer.Issuer(), "0.0.0.0", "127.0.0.1", 1)
	text := strings.Replace(f.caddyfile(site), "issuer "+f.issuer.Issuer(), "issuer "+loopback, 1)
	return []byte(strings.Replace(string(adapt(f.t, text)), loopback, f.issuer.Issuer(), 1))
}

// A reload must not send in the clear a credential that is protected by TLS, or by
// loopback.
func TestInsecureIssuerGetsNoSecureCredential(t *testing.T) {
	for name, test := range map[string]struct {
		credential string // of the other client
		refused    bool
	}{
		"the same file":    {"client_secret {file.SECRET}", true},
		"the same literal": {"client_secret literal", true},
		"another file":     {"client_secret {file.SECRET2}", false},
		"another literal":  {"client_secret another", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			second := "client second {\nclient_id other\nCREDENTIAL\n}\n"
			secure := f.caddyfile(localSite)
			f.insecure()
			f.app = "insecure_http_issuer\n" + strings.Replace(second, "CREDENTIAL", strings.Replace(test.credential, "SECRET", f.secret+".secure", 1), 1)
			insecure := strings.Replace(f.caddyfile(localSite), "{file."+f.secret+"}", "{file."+f.secret+".rehearsal}", 1)
			secure = strings.Replace(secure, "{file."+f.secret+"}", "{file."+f.secret+".secure}\nclient third {\nclient_id third\nclient_secret literal\n}", 1)
			if err := caddy.Load(adapt(t, secure), true); err != nil {
				t.Fatal(err)
			}
			err := caddy.Load(adapt(t, insecure), true)
			if refused := err != nil; refused != test.refused || refused && !strings.Contains(err.Error(), "client 'second': client_secret is also the credential of a client whose issuer is secure") {
				t.Errorf("the error is %v", err)
			}
			// When no other configuration uses the credential any more, it can be used.
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Load(adapt(t, insecure), true); err != nil {
				t.Error(err)
			}
		})
	}
}

// It is the same credential in every spelling, and in any order.
func TestInsecureIssuerGetsNoSecureCredentialByAnotherName(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	file := func(name, text string) string {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	dir := t.TempDir()
	secret, missing := file(dir+"/secret", "a-secret\n"), dir+"/missing"
	keyFile, oldFile := file(dir+"/key", encode("PRIVATE KEY", pkcs8)), file(dir+"/old", encode("EC PRIVATE KEY", sec1))
	link := dir + "/link"
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SAME_SECRET", "a-secret")
	for name, test := range map[string]struct {
		field, secure, insecure string
		allowed                 bool
	}{
		"slashes":             {"client_secret", "{file." + missing + "}", "{file./" + missing + "}", false},
		"dot":                 {"client_secret", "{file." + missing + "}", "{file." + dir + "/./missing}", false},
		"parent":              {"client_secret", "{file." + missing + "}", "{file." + dir + "/x/../missing}", false},
		"written out":         {"client_secret", "{file." + secret + "}", "a-secret", false},
		"environment":         {"client_secret", "{file." + secret + "}", "{env.SAME_SECRET}", false},
		"copy":                {"client_secret", "{file." + secret + "}", "{file." + file(dir+"/copy", "a-secret") + "}", false},
		"link":                {"client_secret", "{file." + secret + "}", "{file." + link + "}", false},
		"key of another form": {"private_key", "{file." + keyFile + "}", "{file." + oldFile + "}", false},
		"another secret":      {"client_secret", "{file." + secret + "}", "another", true},
		"another file":        {"client_secret", "{file." + missing + "}", "{file." + missing + "2}", true},
		"another that lacks":  {"client_secret", "{file." + secret + "}", "{file." + missing + "}", true},
	} {
		config := func(issuer string, insecure bool, credential string) []byte {
			return []byte(fmt.Sprintf(`{"admin": {"disabled": true}, "apps": {"bankid_esign": {"issuer": %q, "insecure_http_issuer": %t, "client_id": "x", %q: %q}}}`,
				issuer, insecure, test.field, credential))
		}
		secure, insecure := config("https://issuer.test", false, test.secure), config("http://mock.test", true, test.insecure)
		for order, configs := range map[string][2][]byte{"secure first": {secure, insecure}, "insecure first": {insecure, secure}} {
			t.Run(name+", "+order, func(t *testing.T) {
				defer caddy.Stop()
				if err := caddy.Load(configs[0], true); err != nil {
					t.Fatal(err)
				}
				err := caddy.Load(configs[1], true)
				if (err == nil) != test.allowed || err != nil && (!strings.Contains(err.Error(), test.field+" is also the credential of a client") || strings.Contains(err.Error(), "a-secret")) {
					t.Errorf("the error is %v", err)
				}
			})
		}
	}
}

func TestInsecureIssuerIsNeverBankIDs(t *testing.T) {
	const plainHost = "a host name has only letters from a to z"
	const credentials = "\nclient_id x\nclient_secret {env.X}\n"
	site := func(upstream string) string {
		return "\n:80 {\nbankid_esign signdoc {\nupstream signdoc " + upstream + "\n}\n}"
	}
	own := func(upstream string) string {
		return "\n:80 {\nreverse_proxy " + upstream + " {\ntransport bankid_esign {\napi signdoc\nupstream " + upstream + "\n}\n}\n}"
	}
	for name, test := range map[string]struct {
		app, site string
		want      string
		line      int // 0 if not known
	}{
		"issuer":                           {"issuer http://auth.current.bankid.no/auth/realms/current\ninsecure_http_issuer", site("https://a.test"), "issuer 'http://auth.current.bankid.no/auth/realms/current' is a host of BankID, where insecure_http_issuer cannot be used", 3},
		"flag first":                       {"insecure_http_issuer\nissuer http://AUTH.bankid.no:8080/x", site("https://a.test"), "issuer 'http://AUTH.bankid.no:8080/x' is a host of BankID", 4},
		"environment":                      {"environment current\ninsecure_http_issuer", site("https://a.test"), "insecure_http_issuer needs issuer", 4},
		"environment, later":               {"insecure_http_issuer\nenvironment production", site("https://a.test"), "insecure_http_issuer needs issuer", 4},
		"sandbox":                          {"environment sandbox\ninsecure_http_issuer", site("https://a.test"), "insecure_http_issuer needs issuer", 0},
		"upstream":                         {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://api.preprod.esign-stoetest.cloud"), "upstream https://api.preprod.esign-stoetest.cloud is a host of BankID", 0},
		"upstream in capitals":             {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://CSC-GW.esign-stoe.cloud:443"), "is a host of BankID", 0},
		"upstream of one's own":            {"issuer http://mock:8080/x\ninsecure_http_issuer", own("https://api.esign-stoe.cloud"), "upstream https://api.esign-stoe.cloud is a host of BankID", 0},
		"plain upstream":                   {"issuer http://mock:8080/x\ninsecure_http_issuer", site("http://mock:8081"), "must be https: plain http is for loopback addresses only", 0},
		"https":                            {"issuer https://mock:8080/x\ninsecure_http_issuer", site("https://a.test"), "issuer 'https://mock:8080/x' is not http, but 'https': leave insecure_http_issuer out", 3},
		"twice":                            {"issuer http://mock:8080/x\ninsecure_http_issuer\ntimeout 5s\ninsecure_http_issuer", site("https://a.test"), "insecure_http_issuer already specified", 6},
		"with a value":                     {"issuer http://mock:8080/x\ninsecure_http_issuer on", site("https://a.test"), "wrong argument count", 4},
		"without it":                       {"issuer http://mock:8080/x", site("https://a.test"), "issuer 'http://mock:8080/x' must be https", 3},
		"fullwidth":                        {"issuer http://auth.ｂankid.no/x\ninsecure_http_issuer", site("https://a.test"), plainHost, 3},
		"ideographic dot":                  {"issuer http://auth.bankid。no/x\ninsecure_http_issuer", site("https://a.test"), plainHost, 3},
		"soft hyphen":                      {"issuer http://auth.bank\u00adid.no/x\ninsecure_http_issuer", site("https://a.test"), plainHost, 3},
		"escaped":                          {"issuer http://auth.%EF%BD%82ankid.no/x\ninsecure_http_issuer", site("https://a.test"), plainHost, 3},
		"two dots at the end":              {"issuer http://auth.bankid.no../x\ninsecure_http_issuer", site("https://a.test"), plainHost, 3},
		"a dot at the end":                 {"issuer http://mock.test./x\ninsecure_http_issuer", site("https://a.test"), plainHost, 3},
		"dots with a port":                 {"issuer http://auth.bankid.no...:8080/x\ninsecure_http_issuer", site("https://a.test"), plainHost, 3},
		"umlaut":                           {"issuer http://bücher.test/x\ninsecure_http_issuer", site("https://a.test"), plainHost, 3},
		"upstream, fullwidth":              {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://ａpi.eｓign-stoe.cloud"), plainHost, 0},
		"upstream, other dot":              {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://api.esign-stoe。cloud"), plainHost, 0},
		"upstream of one's own, other dot": {"issuer http://mock:8080/x\ninsecure_http_issuer", own("https://api.esign-stoe．cloud"), plainHost, 0},
		"upstream, zero width":             {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://api.esign\u200b-stoe.cloud"), plainHost, 0},
		"upstream, dots":                   {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://api.esign-stoe.cloud..:443"), plainHost, 0},
		"good, underscore":                 {"issuer http://mock_oidc-1.test:8080/x\ninsecure_http_issuer", site("https://a.test"), "", 0},
		"good, IPv6":                       {"issuer http://[fd00::1]:8080/x\ninsecure_http_issuer", site("https://[::1]:8443"), "", 0},
		"good":                             {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://a.test"), "", 0},
		"good, on loopback":                {"issuer http://127.0.0.1:8080/x\ninsecure_http_issuer", site("http://127.0.0.1:8081"), "", 0},
		"no host of BankID's":              {"issuer http://notbankid.no/x\ninsecure_http_issuer", own("https://bankid.no.example"), "", 0},
	} {
		err := loadable(t, "{\nbankid_esign {\n"+test.app+credentials+"}\n}"+test.site)
		place := ""
		if test.line > 0 {
			place = fmt.Sprintf("Caddyfile:%d", test.line)
		}
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), place)) {
			t.Errorf("%s: the error is %v, want %q at %q", name, err, test.want, place)
		}
	}
	// The error suggests no way out if there is none.
	for _, issuer := range []string{"http://auth.current.bankid.no/auth", "ftp://mock/x", "http://mock/x?y", "http://user@mock/x"} {
		if err := validate(t, `"bankid_esign": {"issuer": "`+issuer+`", "client_id": "x", "client_secret": "{env.X}"},`, goodHandler); err == nil || strings.Contains(err.Error(), "insecure_http_issuer") {
			t.Errorf("at %s, the error is %v", issuer, err)
		}
	}
	// The refusal also holds in JSON, and if placeholders hide the host.
	t.Setenv("UPSTREAM_OF_BANKID", "https://api.esign-stoe.cloud")
	t.Setenv("ISSUER_OF_BANKID", "http://auth.bankid.no/x")
	const client = `"client_id": "x", "client_secret": "{env.X}"`
	handler := func(upstream string) string {
		return `{"handler": "bankid_esign", "apis": ["signdoc"], "upstreams": {"signdoc": "` + upstream + `"}}`
	}
	for want, test := range map[string][2]string{
		"needs issuer": {`"environment": "current"`, goodHandler},
		"is a host of BankID, where insecure_http_issuer":              {`"issuer": "http://auth.bankid.no/x"`, handler("https://a.test")},
		"issuer '{env.ISSUER_OF_BANKID}' is a host of BankID":          {`"issuer": "{env.ISSUER_OF_BANKID}"`, handler("https://a.test")},
		"upstream https://api.esign-stoe.cloud is a host of BankID":    {`"issuer": "http://mock:8080/x"`, handler("https://api.esign-stoe.cloud")},
		"upstream https://api.esign-stoe.cloud is a host of BankID, w": {`"issuer": "http://mock:8080/x"`, handler("{env.UPSTREAM_OF_BANKID}")},
		"is not http, but": {`"issuer": "https://mock:8080/x"`, handler("https://a.test")},
	} {
		err := validate(t, `"bankid_esign": {"insecure_http_issuer": true, `+test[0]+", "+client+"},", test[1])
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}

// loadable returns the error of adapting or validating a Caddyfile.
func loadable(t *testing.T, text string) error {
	t.Helper()
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(raw, &cfg); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&cfg)
}
