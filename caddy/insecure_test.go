package caddyesign_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// insecure makes the issuer of the fixture one that is not on a loopback address: a
// system that is asked for 0.0.0.0 connects to itself, all the same.
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
	run(t, "check", "--environment", "current", "--client-id", "x", "--secret-file", f.secret, "--insecure-http-issuer").exits(2).prints("goes with issuer")
	run(t, "check", "--config", f.writeConfig(localSite), "--insecure-http-issuer").exits(2).prints("do not go with it")
}

// json returns the configuration, also one that the adapter would refuse.
func (f *fixture) json(site string) []byte {
	f.t.Helper()
	loopback := strings.Replace(f.issuer.Issuer(), "0.0.0.0", "127.0.0.1", 1)
	text := strings.Replace(f.caddyfile(site), "issuer "+f.issuer.Issuer(), "issuer "+loopback, 1)
	return []byte(strings.Replace(string(adapt(f.t, text)), loopback, f.issuer.Issuer(), 1))
}

// A reload must not send in the clear what is protected by TLS, or on this machine.
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
			// Where no configuration uses it any more, it is one as any.
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Load(adapt(t, insecure), true); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInsecureIssuerIsNeverBankIDs(t *testing.T) {
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
		line      int // 0 if it is not known
	}{
		"issuer":                {"issuer http://auth.current.bankid.no/auth/realms/current\ninsecure_http_issuer", site("https://a.test"), "issuer 'http://auth.current.bankid.no/auth/realms/current' is a host of BankID, which insecure_http_issuer is never for", 3},
		"flag first":            {"insecure_http_issuer\nissuer http://AUTH.bankid.no.:8080/x", site("https://a.test"), "issuer 'http://AUTH.bankid.no.:8080/x' is a host of BankID", 4},
		"environment":           {"environment current\ninsecure_http_issuer", site("https://a.test"), "insecure_http_issuer goes with issuer", 4},
		"environment, later":    {"insecure_http_issuer\nenvironment production", site("https://a.test"), "insecure_http_issuer goes with issuer", 4},
		"sandbox":               {"environment sandbox\ninsecure_http_issuer", site("https://a.test"), "insecure_http_issuer goes with issuer", 0},
		"upstream":              {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://api.preprod.esign-stoetest.cloud"), "upstream https://api.preprod.esign-stoetest.cloud is a host of BankID", 0},
		"upstream in capitals":  {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://CSC-GW.esign-stoe.cloud:443"), "is a host of BankID", 0},
		"upstream of one's own": {"issuer http://mock:8080/x\ninsecure_http_issuer", own("https://api.esign-stoe.cloud"), "upstream https://api.esign-stoe.cloud is a host of BankID", 0},
		"plain upstream":        {"issuer http://mock:8080/x\ninsecure_http_issuer", site("http://mock:8081"), "must be https: plain http is for loopback addresses only", 0},
		"https":                 {"issuer https://mock:8080/x\ninsecure_http_issuer", site("https://a.test"), "issuer 'https://mock:8080/x' is not http, but 'https': leave insecure_http_issuer out", 3},
		"twice":                 {"issuer http://mock:8080/x\ninsecure_http_issuer\ntimeout 5s\ninsecure_http_issuer", site("https://a.test"), "insecure_http_issuer already specified", 6},
		"with a value":          {"issuer http://mock:8080/x\ninsecure_http_issuer on", site("https://a.test"), "wrong argument count", 4},
		"without it":            {"issuer http://mock:8080/x", site("https://a.test"), "issuer 'http://mock:8080/x' must be https", 3},
		"good":                  {"issuer http://mock:8080/x\ninsecure_http_issuer", site("https://a.test"), "", 0},
		"good, on loopback":     {"issuer http://127.0.0.1:8080/x\ninsecure_http_issuer", site("http://127.0.0.1:8081"), "", 0},
		"no host of BankID's":   {"issuer http://notbankid.no/x\ninsecure_http_issuer", own("https://bankid.no.example"), "", 0},
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
	// No way out is named where there is none.
	for _, issuer := range []string{"http://auth.current.bankid.no/auth", "ftp://mock/x", "http://mock/x?y", "http://user@mock/x"} {
		if err := validate(t, `"bankid_esign": {"issuer": "`+issuer+`", "client_id": "x", "client_secret": "{env.X}"},`, goodHandler); err == nil || strings.Contains(err.Error(), "insecure_http_issuer") {
			t.Errorf("at %s, the error is %v", issuer, err)
		}
	}
	// In JSON too, and where placeholders hide it.
	t.Setenv("UPSTREAM_OF_BANKID", "https://api.esign-stoe.cloud")
	t.Setenv("ISSUER_OF_BANKID", "http://auth.bankid.no/x")
	const client = `"client_id": "x", "client_secret": "{env.X}"`
	handler := func(upstream string) string {
		return `{"handler": "bankid_esign", "apis": ["signdoc"], "upstreams": {"signdoc": "` + upstream + `"}}`
	}
	for want, test := range map[string][2]string{
		"goes with issuer": {`"environment": "current"`, goodHandler},
		"is a host of BankID, which insecure_http_issuer":              {`"issuer": "http://auth.bankid.no/x"`, handler("https://a.test")},
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

// loadable reports why a Caddyfile cannot be adapted or validated.
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
