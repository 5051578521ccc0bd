package caddyesign_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Errors of handlers before the gateway are not BankID's, and are marked, wherever the
// gateway is in its site.
func TestErrorsBeforeTheGatewayAreMarked(t *testing.T) {
	const limit = "request_body {\nmax_size 1KB\n}\n"
	large := strings.Repeat("x", 2<<20)
	for name, test := range map[string]struct {
		site   string
		body   string
		status int
		kind   string
	}{
		"limit":                   {limit + localSite, large, 413, "http_request_error"},
		"limit, of a small body":  {limit + localSite, large[:2000], 413, "http_request_error"},
		"limit in a route":        {"route {\n" + limit + localSite + "\n}", large, 413, "http_request_error"},
		"limit before a route":    {limit + "route {\n" + localSite + "\n}", large, 413, "http_request_error"},
		"limit before a handle":   {limit + "handle /v1/* {\n" + localSite + "\n}", large, 413, "http_request_error"},
		"limit, and error routes": {limit + localSite + "\nhandle_errors {\nrespond {http.error.status_code}\n}", large, 413, "http_request_error"},
		"no password":             {"basic_auth {\napp $2a$04$dTKXBHYbWxqE3zYcUAWVP.u1Yjd1dBIGUTPZBGBuhLxGvWRTjHLvG\n}\n" + localSite, "", 401, "http_request_denied"},
		"teapot":                  {"error 418\n" + localSite, "", 418, "http_request_error"},
		"maintenance":             {"error 503\n" + localSite, "", 503, "proxy_internal_error"},
	} {
		for _, site := range []string{"", "http://127.0.0.1:", "http://127.0.0.1:PORT, http://other.example:"} {
			for kind, length := range map[string]int64{"length": int64(len(test.body)), "chunked": -1} {
				t.Run(name+" "+site+" "+kind, func(t *testing.T) {
					f := newFixture(t)
					port := strings.TrimPrefix(f.addr, "127.0.0.1:")
					if site != "" {
						f.site = strings.ReplaceAll(site, "PORT", port) + port
					}
					f.start(test.site)
					req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+path, io.LimitReader(strings.NewReader(test.body), 1<<30))
					if req.ContentLength = length; length == 0 {
						req.Body = nil
					}
					roundTrip(t, req).is(test.status).byGateway(test.kind)
				})
			}
		}
	}
}

// A response of a site without a gateway is not marked, even on the same server.
func TestErrorsOfOtherSitesAreNotMarked(t *testing.T) {
	f := newFixture(t)
	port := strings.TrimPrefix(f.addr, "127.0.0.1:")
	f.site = "http://localhost:" + port
	f.start(localSite + "\n}\nhttp://127.0.0.1:" + port + " {\nbind 127.0.0.1\nerror 403\n")
	if a := f.do("GET", path, "").is(403); a.Header.Get("Proxy-Status") != "" {
		t.Errorf("Proxy-Status is %q", a.Header.Get("Proxy-Status"))
	}
}

// A gateway in a place that only JSON allows works, and its refusals say so.
func TestGatewayWithoutASite(t *testing.T) {
	f := newFixture(t)
	f.global = "auto_https off"
	var config map[string]any
	if err := json.Unmarshal(adapt(t, f.caddyfile(localSite)), &config); err != nil {
		t.Fatal(err)
	}
	for _, server := range config["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any) {
		for _, route := range server.(map[string]any)["routes"].([]any) {
			route.(map[string]any)["match"] = []any{map[string]any{"host": []string{"127.0.0.1"}}}
		}
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	f.load(raw)
	f.do("GET", path, "").is(200)
	f.do("POST", "/nowhere", strings.Repeat("x", 8<<20)).is(404).byGateway("http_request_denied")
}

// If error routes send the body of a refused call elsewhere, they send all of it, or
// nothing.
func TestErrorRoutesGetTheBodyOfARefusedCall(t *testing.T) {
	for _, size := range []int{1, 9, 60_000, 70_000, 2 << 20} {
		for kind, length := range map[string]int64{"length": int64(size), "chunked": -1} {
			for _, target := range []string{path, "/nowhere"} {
				t.Run(fmt.Sprintf("%s %d %s", kind, size, target), func(t *testing.T) {
					f := newFixture(t)
					f.start("@pades path /v1/signdoc/pades\nbankid_esign @pades signdoc {\nupstream signdoc http://127.0.0.1:9\n}\n" + localSite + "\nhandle_errors {\nreverse_proxy " + f.upstream.URL + "\n}")
					body := strings.Repeat("x", size)
					req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+target, io.LimitReader(strings.NewReader(body), 4<<20))
					req.ContentLength = length
					roundTrip(t, req)
					calls := f.upstream.seen()
					if size < 64<<10 && len(calls) != 1 {
						t.Errorf("the error route sent %d calls, want one with the body", len(calls))
					}
					for _, call := range calls {
						if string(call.body) != body {
							t.Errorf("a body of %d bytes was sent as one of %d", size, len(call.body))
						}
					}
				})
			}
		}
	}
}

// A body that is too large gets the same response in both cases: its length was declared,
// and request_body refuses it; or it was not, and the transport does. The error routes
// respond, with the same Proxy-Status and placeholder.
func TestBodyThatIsTooLargeIsOneError(t *testing.T) {
	for name, routes := range map[string]string{
		"error routes": "\nhandle_errors 413 {\nheader X-Routes yes\nrespond {http.bankid_esign.error}\n}",
		"none":         "",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t).start("request_body {\nmax_size 1KB\n}\n" + localSite + routes)
			seen := make(map[string]bool)
			for _, size := range []int{1500, 2 << 20} {
				for _, length := range []int64{int64(size), -1} {
					for _, path := range []string{"/v1/signdoc/pades", "/csc/v2/credentials/list"} {
						req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+path, io.LimitReader(strings.NewReader(strings.Repeat("x", size)), 1<<30))
						if err != nil {
							t.Fatal(err)
						}
						req.ContentLength = length
						a := roundTrip(t, req).is(413).byGateway("http_request_error")
						seen[fmt.Sprintf("%s, %q, %s", a.Header.Get("Proxy-Status"), a.body, a.Header.Get("X-Routes"))] = true
					}
				}
			}
			if len(seen) != 1 {
				t.Errorf("the responses differ: %v", seen)
			}
		})
	}
}
