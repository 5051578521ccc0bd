package bankid_test

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// A call is found by its spelling on the wire, and that is the spelling that the API host
// sees. So for every request, the row that decides on the authorization is the route that
// any router behind the gateway takes.
func FuzzLookup(f *testing.F) {
	calls := bankid.Calls(bankid.APIs()...)
	escaped, err := bankid.NewCall(bankid.SignDoc, http.MethodGet, "/v1/signdoc/caf%C3%A9", gateway.None, gateway.Safe)
	if err != nil {
		f.Fatal(err)
	}
	calls = append(calls, escaped)
	table := gateway.NewTable(calls...)
	for _, call := range calls {
		for _, target := range []string{
			call.Path, call.Path + "?sign_id=a%2Fb&x=/../y", call.Path + "/", call.Path + ";x", call.Path + "#x", call.Path + "?#",
			"/" + call.Path, "/." + call.Path, "/x/.." + call.Path, strings.ToUpper(call.Path),
			strings.Replace(call.Path, "o", "%6f", 1), strings.Replace(call.Path[1:], "/", "%2F", 1), strings.Replace(call.Path, "s", "ſ", 1),
			"http://elsewhere.example" + call.Path, "http:" + call.Path, "//elsewhere.example" + call.Path, call.Path + `\..\x`,
		} {
			f.Add(call.Method, target)
			f.Add(strings.ToLower(call.Method), target)
		}
	}
	f.Add("GET", "/v1/signdoc/café")
	f.Add("OPTIONS", "*")
	f.Add("CONNECT", "elsewhere.example:443")
	f.Fuzz(func(t *testing.T, method, target string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: gateway.example\r\n\r\n")))
		if err != nil {
			return
		}
		call := table.Lookup(r)
		if u, err := url.ParseRequestURI(target); err == nil && r.Method != http.MethodConnect {
			// This is how servers for HTTP/2 and HTTP/3 parse the target.
			if other := table.Lookup(&http.Request{Method: method, URL: u}); other != call {
				t.Errorf("%s %q is %v and %v", method, target, call, other)
			}
		}
		if call == nil {
			written, _, _ := strings.Cut(target, "?")
			for _, row := range calls {
				if row.Method == method && row.Path == written {
					t.Errorf("%s %q is not matched", method, target)
				}
			}
			return
		}
		// Send the request as a reverse proxy does.
		r.URL.Scheme, r.URL.Host = "https", "api.example"
		var sent bytes.Buffer
		if err := r.Write(&sent); err != nil {
			t.Fatalf("%s %q: %v", method, target, err)
		}
		line, _, _ := strings.Cut(sent.String(), "\r\n")
		words := strings.Split(line, " ")
		if len(words) != 3 {
			t.Fatalf("%s %q is sent as %q", method, target, line)
		}
		if seen, _, _ := strings.Cut(words[1], "?"); words[0] != call.Method || seen != call.Path {
			t.Errorf("%s %q is sent as %q, but counts as %s %s", method, target, line, call.Method, call.Path)
		}
		if got := lenient(target); method != call.Method || got != lenient(call.Path) {
			t.Errorf("%s %q counts as %s %s, but can be read as %s", method, target, call.Method, call.Path, got)
		}
	})
}

// origin matches the part before the path of a target in absolute-form.
var origin = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:(//[^/?#]*)?`)

// lenient returns the path of a target as a very lenient server may read it.
func lenient(target string) string {
	target = origin.ReplaceAllString(target, "")
	target, _, _ = strings.Cut(target, "?")
	target, _, _ = strings.Cut(target, "#")
	if decoded, err := url.PathUnescape(target); err == nil {
		target = decoded
	}
	target, _, _ = strings.Cut(strings.ReplaceAll(target, `\`, "/"), ";")
	return strings.ToLower(path.Clean("/" + target))
}
