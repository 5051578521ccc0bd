package itest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// TestBrowser has pages of other origins that attack a gateway on their visitor's machine,
// whose `callers local` admits the browser like any local program. Each request gets 403 and
// does not reach the API, and the browser does not let the page read the response.
func TestBrowser(t *testing.T) {
	var calls atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, `{"status":"ORDER_RECEIVED"}`)
	}))
	t.Cleanup(api.Close)
	g := startGateway(t, strings.NewReplacer("ISSUER", startIssuer(t)).Replace(`
		issuer ISSUER
		client_id browser
		client_secret not-a-secret
		auth_method client_secret_basic
`), strings.NewReplacer("API", api.URL).Replace(`
	bankid_esign signdoc {
		callers local
		upstream signdoc API
	}
`))
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	// A local program is admitted: the gateway works, and has a token.
	target := g.url + "/v1/signdoc/pades?sign_id=x"
	if status, header := request(t, http.MethodGet, target, nil); status != http.StatusOK {
		t.Fatalf("a local program gets %d, Proxy-Status %q", status, header.Get("Proxy-Status"))
	}
	if n := calls.Swap(0); n != 1 {
		t.Fatalf("%d calls reached the API, want 1", n)
	}

	site := startPages(t, target)
	for origin, fetchSite := range map[string]string{
		"http://127.0.0.1:" + site.port: "same-site", // the port does not matter
		"http://evil.test:" + site.port: "cross-site",
	} {
		t.Run(fetchSite, func(t *testing.T) {
			site.visit(t, origin+"/scripts?from="+fetchSite)
			outcomes := site.outcomes(t)
			for _, probe := range []string{"cors-get", "cors-post", "cors-json", "cors-delete"} {
				if got := outcomes[probe]; got != "TypeError" {
					t.Errorf("%s: the page got %q, want nothing but a TypeError", probe, got)
				}
			}
			for _, probe := range []string{"no-cors-get", "no-cors-post"} {
				if got := outcomes[probe]; got != "opaque 0" {
					t.Errorf("%s: the page got %q, want an opaque response", probe, got)
				}
			}
			site.visit(t, origin+"/link?from="+fetchSite)
			site.visit(t, origin+"/form?from="+fetchSite)
		})
	}

	// If the page's own name resolves to this machine, the page has the gateway's origin.
	// Only Host shows the attack.
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(g.url, "http://"))
	rebound := "evil.test:" + port
	site.visit(t, "http://"+rebound+"/v1/signdoc/pades?sign_id=x&from=rebound&probe=get")
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		status, header := request(t, method, target, http.Header{
			"Host":           {rebound},
			"Origin":         {"http://" + rebound},
			"Sec-Fetch-Site": {"same-origin"},
		})
		if status != http.StatusForbidden {
			t.Errorf("%s with the Host %s gets %d, want 403", method, rebound, status)
		}
		if header.Get("Proxy-Status") == "" {
			t.Errorf("%s with the Host %s gets no Proxy-Status", method, rebound)
		}
	}

	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls of foreign pages reached the API", n)
	}
	g.stop(t)
	checkRefused(t, g.accesses(t))
}

// request sends a request as a program that is not a browser.
func request(t *testing.T, method, target string, header http.Header) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header, req.Host = header, header.Get("Host")
	}
	status, header, _ := do(t, req)
	return status, header
}

// checkRefused checks with the gateway's log that every request came from the right page and
// was refused.
func checkRefused(t *testing.T, log []access) {
	t.Helper()
	want := map[string]string{ // Sec-Fetch-Site by from/probe
		// Browsers send this field only to trustworthy hosts, which evil.test is not, and
		// not when they open a WebSocket.
		"rebound/get":          "",
		"same-site/websocket":  "",
		"cross-site/websocket": "",
	}
	for _, from := range []string{"same-site", "cross-site"} {
		for _, probe := range []string{
			"cors-get", "cors-post", "cors-json", "cors-delete", "no-cors-get", "no-cors-post",
			"image", "script", "frame", "frame-form", "link", "form",
		} {
			want[from+"/"+probe] = from
		}
	}
	came := make(map[string]bool)
	for _, line := range log {
		uri, err := url.Parse(line.Request.URI)
		if err != nil {
			t.Fatal(err)
		}
		probe := uri.Query().Get("from") + "/" + uri.Query().Get("probe")
		if _, known := want[probe]; !known {
			continue
		}
		came[probe] = true
		if got := line.Request.Headers.Get("Sec-Fetch-Site"); got != want[probe] {
			t.Errorf("%s: Sec-Fetch-Site is %q, want %q", probe, got, want[probe])
		}
		if line.Status != http.StatusForbidden {
			t.Errorf("%s: %s gets %d, want 403", probe, line.Request.Method, line.Status)
		}
		for name := range line.RespHeaders {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: the response has %s", probe, name)
			}
		}
	}
	for probe := range want {
		if !came[probe] {
			t.Errorf("%s: the browser did not send it", probe)
		}
	}
}

// startIssuer serves an OpenID provider that gives every client the same token.
func startIssuer(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	respond := func(members map[string]any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(members)
		}
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", respond(map[string]any{
		"issuer":         server.URL,
		"token_endpoint": server.URL + "/token",
	}))
	mux.HandleFunc("POST /token", respond(map[string]any{
		"access_token": "token",
		"token_type":   "Bearer",
		"expires_in":   300,
	}))
	return server.URL
}
