package caddyesign_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// What the configuration or a template reads of Caddy's reverse_proxy is there, although
// no option of it is configured.
func TestPlaceholdersOfTheReverseProxyAreThere(t *testing.T) {
	dead := ports.Address(t)
	dir := t.TempDir()
	page := `failed: {{placeholder "http.reverse_proxy.upstream.hostport"}}`
	if err := os.WriteFile(filepath.Join(dir, "error.html"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, route := range map[string]string{
		"placeholder": "respond \"failed: {rp.upstream.hostport}\"",
		"template":    "root * " + dir + "\nrewrite * /error.html\ntemplates\nfile_server",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t).start(gatewayTo("http://"+dead, "", "") + "\nhandle_errors {\n" + route + "\n}")
			if a := f.do("GET", path, "").is(502); !strings.HasSuffix(strings.TrimSpace(string(a.body)), dead) {
				t.Errorf("the error page is %q", a.body)
			}
		})
	}
}
