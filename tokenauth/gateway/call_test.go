package gateway_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// A row is found by its spelling on the wire, and not by another spelling.
func TestLookupBySpelling(t *testing.T) {
	spellings := []string{
		"/a/b", "/a%2Fb", "/a%2fb", "/%61/b", "/a%20b", "/a+b", "/a%2Bb", "/a[b]", "/a%5Bb%5D", "/æ", "/%C3%A6", "/%c3%a6", "/a//b", "/a/b/", "/%25",
	}
	for _, row := range spellings {
		call := gateway.Call{Method: http.MethodGet, Path: row, Kind: gateway.None, Retry: gateway.Safe}
		if call.Validate() != nil {
			continue // no row can have it
		}
		table := gateway.NewTable(call)
		for _, spelling := range spellings {
			u, err := url.ParseRequestURI(spelling)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := table.Lookup(&http.Request{Method: http.MethodGet, URL: u}) != nil, spelling == row; got != want {
				t.Errorf("row %s finds %s: %t, want %t", row, spelling, got, want)
			}
			// A handler that rewrites a URL may leave it so.
			u.RawPath = u.EscapedPath()
			if got, want := table.Lookup(&http.Request{Method: http.MethodGet, URL: u}) != nil, u.RawPath == row; got != want {
				t.Errorf("row %s finds %s with a raw path: %t, want %t", row, spelling, got, want)
			}
		}
		// This RawPath is not an encoding of the Path.
		contradiction := &url.URL{Path: "/other", RawPath: row}
		if table.Lookup(&http.Request{Method: http.MethodGet, URL: contradiction}) != nil {
			t.Errorf("row %s finds a URL that contradicts itself", row)
		}
	}
}

// A row with a mistake is not in the table, so that nobody can make the call.
func TestTableLeavesOutWhatIsNotValid(t *testing.T) {
	valid := gateway.Call{Method: http.MethodGet, Path: "/valid", Kind: gateway.Bearer, Retry: gateway.Safe}
	calls := []gateway.Call{valid}
	for name, change := range map[string]func(*gateway.Call){
		"kind":   func(c *gateway.Call) { c.Kind = "basic" },
		"none":   func(c *gateway.Call) { c.Kind = "" },
		"retry":  func(c *gateway.Call) { c.Retry = "always" },
		"pass":   func(c *gateway.Call) { c.Kind = gateway.Pass },
		"method": func(c *gateway.Call) { c.Method = http.MethodTrace },
		"a//b":   func(*gateway.Call) {},
	} {
		call := valid
		call.Path = "/" + name
		change(&call)
		if call.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
		calls = append(calls, call)
	}
	table := gateway.NewTable(calls...)
	for _, call := range calls {
		r := &http.Request{Method: call.Method, URL: &url.URL{Path: call.Path}}
		if got := table.Lookup(r) != nil; got != (call.Path == valid.Path) {
			t.Errorf("%s %s is found: %t", call.Method, call.Path, got)
		}
	}
}
