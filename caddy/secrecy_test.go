package caddyesign_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// plantedToken is a token that must not be shown anywhere.
const plantedToken = "planted-access-token"

// secrets returns the forms in which the planted secrets could be shown.
func secrets() []string {
	encoded := url.QueryEscape(clientSecret)
	return []string{
		plantedToken, clientSecret, encoded, url.PathEscape(clientSecret), "s3cr3t",
		base64.StdEncoding.EncodeToString([]byte("test-client:" + encoded)),
		base64.StdEncoding.EncodeToString([]byte(plantedToken))[:20],
	}
}

// showsNone asserts that text contains none of the secrets.
func showsNone(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range secrets() {
		if strings.Contains(text, secret) {
			at := strings.Index(text, secret)
			t.Errorf("%s shows a secret after %q", where, text[max(0, at-200):at])
		}
	}
}

func TestF34SecretsDoNotShow(t *testing.T) {
	f := newFixture(t)
	admin := ports.Address(t)
	errorPage := newUpstream(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, plantedToken, 300) })
	site := `bankid_esign signdoc csc timestamp {
		callers any
		header_up X-Echo {http.request.header.Authorization}
		header_down X-Token {http.request.header.Authorization}
		@teapot status 418
		handle_response @teapot {
			header X-Seen {http.request.header.Authorization}
			copy_response
		}
		UPSTREAM
	}
	handle_errors {
		header X-Message "{err.message} {err.trace} {http.bankid_esign.error}"
		reverse_proxy ` + strings.TrimPrefix(errorPage.URL, "http://") + `
	}`
	config := strings.Replace(f.caddyfile(site), "admin off", "admin "+admin, 1)
	config = strings.Replace(config, "log {", "debug\nlog {", 1)
	adapted := adapt(t, config)
	showsNone(t, "the adapted configuration", string(adapted))
	f.load(adapted)

	var shown strings.Builder
	ask := func(method, path string, header ...string) {
		response := f.do(method, path, "{}", header...)
		fmt.Fprintln(&shown, response.Header, string(response.body))
	}
	ask("POST", "/v1/signdoc/pades")
	ask("POST", "/csc/v2/oauth2/token", "Connection", "Authorization")
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) })
	ask("GET", "/v1/signdoc/pades")
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	ask("GET", "/v1/signdoc/pades")
	f.upstream.handle(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	ask("POST", "/v1/signdoc/pades")
	ask("GET", "/nowhere")

	// This issuer echoes the request in its response, as an error and as a success.
	for _, echo := range []func(w http.ResponseWriter, text string){
		func(w http.ResponseWriter, text string) { http.Error(w, text, http.StatusInternalServerError) },
		func(w http.ResponseWriter, text string) {
			tokenauthtest.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": text, "error_description": text})
		},
		func(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) },
		func(w http.ResponseWriter, text string) {
			tokenauthtest.WriteJSON(w, http.StatusOK, map[string]string{"access_token": text + "\n", "token_type": "bearer"})
		},
	} {
		f.issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
			requests := f.issuer.TokenRequests()
			last := requests[len(requests)-1]
			echo(w, fmt.Sprint(last.Form, last.Header, clientSecret, plantedToken))
		})
		f.app = fmt.Sprintf("timeout %ds", 3+len(shown.String())%7) // the changed option makes another source
		config = strings.Replace(f.caddyfile(site), "admin off", "admin "+admin, 1)
		f.load(adapt(t, config))
		ask("POST", "/v1/signdoc/pades")
	}
	showsNone(t, "a response", shown.String())
	showsNone(t, "the log", f.logged())
	for _, call := range errorPage.seen() {
		showsNone(t, "what the error page's backend saw", fmt.Sprint(call.Header, call.RequestURI, string(call.body)))
	}
	for _, path := range []string{"/config/", "/reverse_proxy/upstreams", "/metrics", "/debug/vars", "/debug/pprof/goroutine?debug=2", "/bankid_esign/clients", "/bankid_esign/clients/default"} {
		res, err := http.Get("http://" + admin + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		showsNone(t, "admin "+path, string(body))
	}
}

// An API's host may show the token in its response, outside of the body. Then neither
// the caller nor the log shows it.
func TestEchoedTokenShowsNowhere(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, plantedToken, 300) })
	refused := fmt.Sprintf(`{"error": %q, "error_reference": %q}`, plantedToken[:18], plantedToken)
	referred := fmt.Sprintf(`{"errorCode": %q, "errorReference": "support-1"}`, plantedToken)
	var shown strings.Builder
	for kind, site := range map[string]string{
		"gateway":   gatewayTo("UPSTREAM_URL", "header_down X-Echoed {http.reverse_proxy.header.X-Echo}", ""),
		"own proxy": ownProxy("UPSTREAM_URL", "header_down X-Status {http.reverse_proxy.status_text}", ""),
	} {
		for _, response := range []string{
			"HTTP/1.1 103 Early Hints\r\nX-Echo: TOKEN\r\n\r\nHTTP/1.1 200 TOKEN\r\nX-Echo: Bearer TOKEN\r\nContent-Length: 2\r\n\r\nok",
			"HTTP/1.1 302 Found\r\nLocation: /?token=TOKEN\r\nTransfer-Encoding: chunked\r\nTrailer: X-Echo\r\n\r\n2\r\nok\r\n0\r\nX-Echo: TOKEN\r\n\r\n",
			"HTTP/1.1 TOKEN\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: TOKEN\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: TOKEN\r\n\r\n",
			"HTTP/1.1 200 OK\r\nno field but TOKEN\r\n\r\n",
			fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s", len(refused), refused),
			fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s", len(referred), referred),
		} {
			f.start(strings.ReplaceAll(site, "UPSTREAM_URL", newRawAPI(t, strings.ReplaceAll(response, "TOKEN", plantedToken))))
			res := f.do("GET", path, "")
			fmt.Fprintln(&shown, kind, res.Status, res.Header, res.Trailer)
			if strings.HasPrefix(response, "HTTP/1.1 400") && !strings.Contains(string(res.body), plantedToken) {
				t.Error("the body was changed")
			}
		}
	}
	showsNone(t, "a response", shown.String())
	showsNone(t, "the log", f.logged())
	if strings.Contains(f.logged(), plantedToken[:18]) || !strings.Contains(f.logged(), `"error_reference":"support-1"`) {
		t.Error("the log shows a part of the token, or not the reference")
	}
}

// newRawAPI starts an API host that responds to every call with the same bytes.
func newRawAPI(t *testing.T, response string) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, response)
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

func TestF31SecretIsReadAtEveryTokenRequest(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		requests := f.issuer.TokenRequests()
		if last := requests[len(requests)-1]; last.Password != url.QueryEscape("rotated") {
			tokenauthtest.WriteError(w, http.StatusUnauthorized, "unauthorized_client")
			return
		}
		tokenauthtest.WriteToken(w, "token", 300)
	})
	f.start(localSite)
	f.do("GET", "/v1/signdoc/pades", "").is(502).byGateway("proxy_configuration_error")
	f.writeSecret("rotated")
	// Attempts are delayed, but the credentials are read again within a second.
	eventually(t, func() bool { return f.do("GET", "/v1/signdoc/pades", "").StatusCode == 200 })
}

func TestMissingSecretFile(t *testing.T) {
	f := newFixture(t)
	if err := os.Remove(f.secret); err != nil {
		t.Fatal(err)
	}
	f.start(localSite)
	f.do("GET", "/v1/signdoc/pades", "").is(502).byGateway("proxy_configuration_error")
	if !strings.Contains(f.logged(), "client_secret: placeholder {file."+f.secret+"}: no such file or directory") {
		t.Error("the log does not say which file is missing")
	}
	if n := len(f.issuer.TokenRequests()); n != 0 {
		t.Errorf("%d token requests were made without a secret", n)
	}
	f.writeSecret(clientSecret)
	eventually(t, func() bool { return f.do("GET", "/v1/signdoc/pades", "").StatusCode == 200 })
}

func TestLiteralSecretWarns(t *testing.T) {
	for secret, hint := range map[string]string{
		"literal":                   "",
		"/run/secrets/planted":      "the client secret looks like the path of a file, and is used as it is: give the content of the file, as by {file./run/secrets/bankid}",
		"./secrets/planted":         "looks like the path of a file",
		"file./run/secrets/planted": "looks like the path of a file",
		"env.PLANTED":               "the client secret looks like the name of a variable, and is used as it is: give its value, as by {env.NAME}",
	} {
		f := newFixture(t)
		config := strings.Replace(f.caddyfile(localSite), "{file."+f.secret+"}", secret, 1)
		f.load(adapt(t, config))
		warned := false
		for line := range strings.Lines(f.logged()) {
			var entry struct{ Level, Msg, Hint string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "warn" && strings.Contains(entry.Msg, "secret is written out") {
				warned = strings.Contains(entry.Hint, hint) && (hint == "") == (entry.Hint == "")
			}
		}
		if !warned || strings.Contains(strings.ToLower(f.logged()), "planted") {
			t.Errorf("%s: there is no warning with the hint %q, or it shows the secret:\n%s", secret, hint, f.logged())
		}
	}
}
