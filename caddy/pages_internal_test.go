package caddyesign

import (
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// The configuration page names every field of the modules' JSON.
func TestConfigurationPageNamesEveryField(t *testing.T) {
	text := section(t, "docs/configuration.md", "## JSON")
	for _, module := range []any{App{}, Client{}, IssuerTLS{}, Handler{}, Access{}, Call{}, MatchReady{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(module)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && !strings.Contains(text, "`"+name+"`") {
				t.Errorf("%T: it does not name %s", module, name)
			}
		}
	}
}

// The page on the sandbox, and the documentation of the JSON, have every setting.
func TestSandboxPageNamesEverySetting(t *testing.T) {
	page := section(t, "docs/sandbox.md", "## Settings")
	source, err := os.ReadFile("sandboxsettings.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range new(SandboxSettings).all() {
		if !strings.Contains(page, "\n| `"+setting.name+"` | ") {
			t.Errorf("the page does not have %s", setting.name)
		}
		if !strings.Contains(string(source), "\n// `"+setting.name+"` | ") {
			t.Errorf("the documentation of the JSON does not have %s", setting.name)
		}
	}
}

// The page on going live names every host that the gateway must be able to reach
// through a firewall.
func TestGoLivePageNamesEveryHost(t *testing.T) {
	text := section(t, "docs/go-live.md", "## 4. Let it reach BankID")
	for _, environment := range []bankid.Environment{bankid.Production, bankid.Current} {
		for _, origin := range []string{environment.Issuer, environment.CSC, environment.ESign} {
			u, err := url.Parse(origin)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text, "`"+u.Host+"`") {
				t.Errorf("%s: it does not name %s", environment.Name, u.Host)
			}
		}
	}
}

// The page on calls names every call of the table, by its path or by the end of its
// path.
func TestCallsPageNamesEveryCall(t *testing.T) {
	text := section(t, "docs/calls.md", "## Which calls")
	for _, call := range bankid.Calls(bankid.APIs()...) {
		path := strings.TrimPrefix(strings.TrimPrefix(call.Path, "/v0/b2b"), "/csc/v2/credentials")
		if !strings.HasPrefix(call.Path, "/signdoc/") && // "the same without /v1"
			!strings.Contains(text, call.Path+"`") && !strings.Contains(text, "`…"+path+"`") {
			t.Errorf("it does not name %s %s", call.Method, call.Path)
		}
	}
}

// section returns the part of a page below a heading, up to the next heading of the
// same level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", page, heading)
	}
	below, _, _ = strings.Cut(below, "\n## ")
	return below
}
