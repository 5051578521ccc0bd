package caddyesign_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A caller that is still sending when its response comes gets the response, not a reset
// connection, with every handler.
func TestResponseToAnUploadThatIsUnderWay(t *testing.T) {
	early := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
	}))
	defer early.Close()
	for name, test := range map[string]struct {
		site, path string
		token      http.HandlerFunc
		status     int
	}{
		"no such call":     {"callers local", "/nowhere", nil, 404},
		"caller refused":   {"callers authenticated", "/v1/signdoc/pades", nil, 403},
		"no token":         {"callers local", "/v1/signdoc/pades", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 503},
		"client refused":   {"callers local", "/v1/signdoc/pades", func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteError(w, 401, "invalid_client") }, 502},
		"API refuses":      {"callers local\nupstream signdoc " + early.URL, "/v1/signdoc/pades", nil, 413},
		"API is not there": {"callers local\nupstream signdoc http://" + ports.Address(t), "/v1/signdoc/pades", nil, 502},
	} {
		for kind, length := range map[string]int64{"length": 8 << 20, "chunked": -1} {
			t.Run(name+" "+kind, func(t *testing.T) {
				f := newFixture(t)
				f.issuer.HandleToken(test.token)
				if !strings.Contains(test.site, "upstream") {
					test.site += "\nupstream signdoc " + f.upstream.URL
				}
				f.start("bankid_esign signdoc {\n" + test.site + "\n}")
				transport := &http.Transport{}
				defer transport.CloseIdleConnections()
				for range 3 { // all on the same connection
					req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+test.path, io.LimitReader(rand.NewChaCha8([32]byte{}), 8<<20))
					req.ContentLength = length
					res, err := transport.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(res.Body)
					res.Body.Close()
					if res.StatusCode != test.status || err != nil {
						t.Errorf("status is %d, want %d; body: %q, %v", res.StatusCode, test.status, body, err)
					}
				}
			})
		}
	}
}

// A caller that waits to be asked for its body is not asked if no handler wants the
// body.
func TestRefusedUploadIsNotAskedFor(t *testing.T) {
	f := newFixture(t).start(localSite)
	body := strings.NewReader("never sent")
	req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+"/nowhere", body)
	req.Header.Set("Expect", "100-continue")
	transport := &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 404 {
		t.Errorf("status is %d, want 404", res.StatusCode)
	}
	if body.Len() != len("never sent") {
		t.Error("the body was asked for")
	}
}

// If error routes send the body elsewhere, they send all of it, or nothing.
func TestErrorRoutesGetTheBody(t *testing.T) {
	large := strings.Repeat("x", 2<<20)
	for name, test := range map[string]struct {
		directive string
		token     http.HandlerFunc
	}{
		"no token":                    {"bankid_esign signdoc {\ncallers local\nupstream signdoc UPSTREAM_URL\n}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }},
		"API is not there":            {"bankid_esign signdoc {\ncallers local\nupstream signdoc http://" + ports.Address(t) + "\n}", nil},
		"no token, own proxy":         {ownProxy("UPSTREAM_URL", "", ""), noToken},
		"API is not there, own proxy": {ownProxy("http://"+ports.Address(t), "", ""), nil},
	} {
		for kind, length := range map[string]int64{"length": 0, "chunked": -1} {
			for _, body := range []string{"important", large} {
				t.Run(fmt.Sprintf("%s %s %d", name, kind, len(body)), func(t *testing.T) {
					f := newFixture(t)
					f.issuer.HandleToken(test.token)
					f.start(strings.ReplaceAll(test.directive, "UPSTREAM_URL", f.upstream.URL) + "\nhandle_errors {\nreverse_proxy " + f.upstream.URL + "\n}")
					req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+"/v1/signdoc/pades", io.LimitReader(strings.NewReader(body), 4<<20))
					if req.ContentLength = length; length == 0 {
						req.ContentLength = int64(len(body))
					}
					roundTrip(t, req)
					calls := f.upstream.seen()
					switch {
					case body == large:
						for _, call := range calls {
							if len(call.body) < len(body) {
								t.Errorf("a body of %d bytes was sent as one of %d", len(body), len(call.body))
							}
						}
					case len(calls) != 1 || string(calls[0].body) != body:
						t.Errorf("the error route sent %d calls, want one with the body", len(calls))
					}
				})
			}
		}
	}
}

// A caller that sends slowly learns at once that there is no token.
func TestErrorDoesNotWaitForTheBody(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	f.start(localSite)
	f.do("GET", path, "").is(503)
	body, rest := io.Pipe()
	defer rest.Close()
	go func() { _, _ = io.WriteString(rest, strings.Repeat("begun", 1000)) }() // and no more than that
	ctx, cancel := context.WithTimeout(t.Context(), drainTime/2)
	defer cancel()
	context.AfterFunc(ctx, func() { rest.Close() })
	req, _ := http.NewRequestWithContext(ctx, "POST", f.url+path, body)
	transport := new(http.Transport) // the connection is to be kept
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if rest, err := io.ReadAll(res.Body); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || len(rest) > 0 || err != nil {
		t.Errorf("status is %d, want 503 with Retry-After; body: %q, %v", res.StatusCode, rest, err)
	}
}

// drainTime is how long the gateway drains a body after a call has failed.
const drainTime = 30 * time.Second

// A body that breaks off ends its connection. The response announces that.
func TestBrokenBodyEndsItsConnection(t *testing.T) {
	for name, token := range map[string]http.HandlerFunc{"no token": noToken, "a token": nil} {
		for _, buffer := range []string{"1KiB", "1MiB"} {
			t.Run(name+" "+buffer, func(t *testing.T) {
				f := newFixture(t)
				f.issuer.HandleToken(token)
				f.start("bankid_esign signdoc {\ncallers local\nrequest_buffer " + buffer + "\nupstream signdoc " + f.upstream.URL + "\n}")
				f.do("GET", path, "")
				conn := f.dial(t, "POST "+path+" HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n"+
					"1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n1000\r\nnot all")
				_ = conn.(*net.TCPConn).CloseWrite()
				responses, _ := io.ReadAll(conn) // until the gateway closes the connection
				if n := strings.Count(string(responses), "HTTP/1.1 "); n != 1 || !strings.Contains(string(responses), "Connection: close\r\n") {
					t.Errorf("%d responses: %q", n, responses)
				}
			})
		}
	}
}

// Error routes do not get a body if Caddy has already taken a part of it.
func TestErrorRoutesGetNoPartOfABufferedBody(t *testing.T) {
	for _, size := range []int{9, 100_000} {
		f := newFixture(t)
		f.start("bankid_esign signdoc {\ncallers local\nrequest_buffers 64KiB\nfail_duration 1m\nupstream signdoc http://" + ports.Address(t) +
			"\n}\nhandle_errors {\nreverse_proxy " + f.upstream.URL + "\n}")
		f.do("GET", path, "") // from now on, the host counts as down
		body := strings.Repeat("x", size)
		req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+path, io.LimitReader(strings.NewReader(body), 4<<20))
		req.ContentLength = -1
		roundTrip(t, req)
		for _, call := range f.upstream.seen() {
			if call.Method == "POST" && string(call.body) != body {
				t.Errorf("a body of %d bytes was sent as one of %d", len(body), len(call.body))
			}
		}
	}
}

// A subroute, in JSON only, can have error routes. They can respond in any way.
func TestErrorRoutesOfASubrouteRespond(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	var config map[string]any
	if err := json.Unmarshal(adapt(t, f.caddyfile(localSite)), &config); err != nil {
		t.Fatal(err)
	}
	for _, server := range config["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any) {
		server := server.(map[string]any)
		server["routes"] = []any{map[string]any{"handle": []any{map[string]any{
			"handler": "subroute", "routes": server["routes"],
			"errors": map[string]any{"routes": []any{map[string]any{"handle": []any{map[string]any{
				"handler": "static_response", "status_code": 418, "body": "our own page",
			}}}}},
		}}}}
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	f.load(raw)
	for _, size := range []int{0, 9, 2 << 20} {
		f.do("POST", path, strings.Repeat("x", size)).is(418)
	}
}
