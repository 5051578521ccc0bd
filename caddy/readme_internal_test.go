package caddyesign

import (
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// The README names every field of the modules' JSON.
func TestReadmeNamesEveryField(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(readme)
	start := strings.Index(text, "In JSON, the same by module")
	if start < 0 {
		t.Fatal("it has no section on JSON")
	}
	text = text[start:]
	for _, module := range []any{App{}, Client{}, IssuerTLS{}, Handler{}, Access{}, Call{}, MatchReady{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(module)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && !strings.Contains(text, "`"+name+"`") {
				t.Errorf("%T: it does not name %s", module, name)
			}
		}
	}
}

// Whoever opens a firewall for the gateway finds in the README for what.
func TestReadmeNamesEveryHost(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, environment := range []bankid.Environment{bankid.Production, bankid.Current} {
		for _, origin := range []string{environment.Issuer, environment.CSC, environment.ESign} {
			u, err := url.Parse(origin)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(readme), "`"+u.Host+"`") {
				t.Errorf("%s: it does not name %s", environment.Name, u.Host)
			}
		}
	}
}

// The README names every call of the table, by its path or the end of it.
func TestReadmeNamesEveryCall(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Which calls\n")
	section, _, found := strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("it has no section on calls")
	}
	for _, call := range bankid.Calls(bankid.APIs()...) {
		path := strings.TrimPrefix(strings.TrimPrefix(call.Path, "/v0/b2b"), "/csc/v2/credentials")
		if !strings.HasPrefix(call.Path, "/signdoc/") && // "the same without /v1"
			!strings.Contains(section, call.Path+"`") && !strings.Contains(section, "`…"+path+"`") {
			t.Errorf("it does not name %s %s", call.Method, call.Path)
		}
	}
}
