package sandbox_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// deskOf returns the text of the desk.
func deskOf(t testing.TB, s http.Handler) string {
	t.Helper()
	w := visit(t, s, "GET", "/", nil, nil)
	wantPage(t, w, http.StatusOK, "en", "<h1>Desk</h1>")
	return w.Body.String()
}

// The desk says why a request was refused, and shows no token.
func TestDeskSaysWhy(t *testing.T) {
	status := func(authorization string) call {
		return call{method: "GET", target: "/v1/signdoc/pades?sign_id=x", authorization: authorization}
	}
	for want, cause := range map[string]func(*sandbox.Server) call{
		"The request has no Authorization header.":                                func(*sandbox.Server) call { return status("") },
		"The Authorization header has no access token of this sandbox":            func(*sandbox.Server) call { return status("Bearer x") },
		"The access token is not signed with a key of this sandbox":               func(*sandbox.Server) call { return status(bearer(t, newServer(t, sandbox.Options{}), "esign")) },
		"The access token is of another issuer, &#34;http://localhost/auth&#34;.": func(*sandbox.Server) call { return status(bearer2(t)) },
		"The access token has the scope &#34;esign/csc&#34;, which is not enough": func(s *sandbox.Server) call { return status(bearer(t, s, "esign/csc")) },
		"There is no such order for this client":                                  func(s *sandbox.Server) call { return status(bearer(t, s, "esign")) },
		"The access token was revoked, by the fault revoke_tokens.": func(s *sandbox.Server) call {
			defer inject(t, s, sandbox.Fault{Effect: sandbox.RevokeTokens})
			return status(bearer(t, s, "esign"))
		},
		"It met the fault &#34;status&#34;": func(s *sandbox.Server) call {
			inject(t, s, sandbox.Fault{Effect: sandbox.Status, Status: 500})
			return status("")
		},
		"The access token expired 1m0s ago.": func(s *sandbox.Server) call {
			defer inject(t, s, sandbox.Fault{Effect: sandbox.MoveClock, Offset: 6 * time.Minute})
			return status(bearer(t, s, "esign"))
		},
		"the sandbox has no such path.": func(*sandbox.Server) call { return call{method: "GET", target: "/v1/other"} },
		"Invalid client or Invalid client credentials (unauthorized_client).": func(*sandbox.Server) call {
			return tokenCall("client_id=sandbox-client&client_secret=x&grant_type=client_credentials")
		},
		"The service token is unknown or expired (invalid_token).": func(*sandbox.Server) call {
			return call{method: "POST", target: "/csc/v2/credentials/list", authorization: "Bearer x"}
		},
		"documents is empty.": func(s *sandbox.Server) call {
			return call{method: "POST", target: "/v1/signdoc/pades", authorization: bearer(t, s, "esign"), contentType: jsonType, body: strings.NewReader("{}")}
		},
		"scope is not esign/csc.": func(*sandbox.Server) call {
			return call{method: "GET", target: authorizePath + "?" + authorization(url.Values{"scope": {"other"}}).Encode()}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, sandbox.Options{})
			c := cause(s)
			r := httptest.NewRequest(c.method, c.target, c.body)
			r.Host = sandbox.Address
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			s.ServeHTTP(httptest.NewRecorder(), r)
			body := deskOf(t, s)
			if !strings.Contains(body, want) {
				_, body, _ = strings.Cut(body, `id="requests"`)
				t.Errorf("the desk does not say %q: %.3000s", want, body)
			}
			if strings.Contains(body, "eyJ") {
				t.Error("the desk shows a token")
			}
		})
	}
}

// bearer2 is a token of another issuer.
func bearer2(t testing.TB) string {
	t.Helper()
	s := newServer(t, sandbox.Options{Issuer: "http://localhost/auth"})
	w := visit(t, s, "POST", "/auth/protocol/openid-connect/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {sandbox.ClientID}, "client_secret": {sandbox.ClientSecret},
	}, nil)
	token, _ := decode[map[string]any](t, w, http.StatusOK)["access_token"].(string)
	return "Bearer " + token
}

func tokenCall(form string) call {
	return call{method: "POST", target: tokenPath, contentType: formType, body: strings.NewReader(form)}
}

// What a client puts at a wrong place is not shown either.
func TestDeskShowsNoToken(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign")
	token := strings.TrimPrefix(authorization, "Bearer ")
	code := authorizationCode(t, s)
	id := order(t, s, "x", "")
	send(t, s, call{method: "GET", target: "/v1/signdoc/" + token, authorization: authorization})
	send(t, s, tokenCall("grant_type=client_credentials&client_id="+token+"&client_secret=x&scope="+token))
	send(t, s, call{method: "GET", target: "/" + code, authorization: authorization})
	body := deskOf(t, s)
	_, requests, _ := strings.Cut(body, `id="requests"`)
	for name, secret := range map[string]string{"token": token[20:60], "code": code, "sign_id": id} {
		if strings.Contains(requests, secret) {
			t.Errorf("the desk shows a %s", name)
		}
	}
	if !strings.Contains(requests, "GET /v1/signdoc/[…]") {
		t.Error("the desk does not show the request")
	}
}

func TestDeskIsBounded(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for range 150 {
		send(t, s, call{method: "GET", target: "/" + strings.Repeat("x", 10_000)})
	}
	body := deskOf(t, s)
	if got := strings.Count(body, "the sandbox has no such path"); got != 50 {
		t.Errorf("the desk has %d requests", got)
	}
	if len(body) > 100_000 {
		t.Errorf("the desk has %d bytes", len(body))
	}
}

func TestDeskButtons(t *testing.T) {
	s := newServer(t, sandbox.Options{Manual: true})
	for decision, want := range map[string]string{"sign": "SIGN_COMPLETED", "reject": "REJECTED"} {
		id := order(t, s, "A contract", "")
		form := url.Values{"sign_id": {id}, "decision": {decision}}
		if w := visit(t, s, "POST", "/sandbox/desk/order", form, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
			t.Errorf("%s: status %d, %q", decision, w.Code, w.Header())
		}
		if got := stateOf(t, s, id); got != want {
			t.Errorf("%s: the state is %s", decision, got)
		}
		if body := deskOf(t, s); !strings.Contains(body, want) || strings.Contains(body, "sign-"+id) {
			t.Errorf("%s: the desk shows the order wrongly", decision)
		}
		form.Set("decision", "sign")
		if decision == "reject" {
			wantPage(t, visit(t, s, "POST", "/sandbox/desk/order", form, nil), http.StatusBadRequest, "en", "the order is already REJECTED")
		}
	}
	wantPage(t, visit(t, s, "POST", "/sandbox/desk/order", url.Values{"decision": {"other"}}, nil), http.StatusBadRequest, "en", "no decision")
}

func TestDeskFaults(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, form := range []url.Values{
		{"effect": {"status"}, "status": {"503"}, "call": {"GET /v1/signdoc/pades"}, "count": {"2"}, "duration": {"30s"}, "client_id": {sandbox.ClientID}, "late": {"1"}},
		{"effect": {"delay"}, "duration": {"2s"}, "status": {""}, "count": {""}, "call": {""}},
		{"effect": {"move_clock"}, "duration": {"-40s"}},
		{"effect": {"rotate_key"}, "disable_old": {"1"}},
	} {
		if w := visit(t, s, "POST", "/sandbox/desk/fault", form, nil); w.Code != http.StatusSeeOther {
			t.Errorf("%v: status %d, %s", form, w.Code, w.Body)
		}
	}
	want := []sandbox.Fault{
		{Effect: sandbox.Status, Status: 503, Method: "GET", Path: "/v1/signdoc/pades", Count: 2, RetryAfter: 30 * time.Second, ClientID: sandbox.ClientID, Late: true},
		{Effect: sandbox.Delay, Delay: 2 * time.Second},
		{Effect: sandbox.MoveClock, Offset: -40 * time.Second},
	}
	got := s.Faults()
	for i, fault := range want {
		if i >= len(got) || got[i] != fault {
			t.Errorf("the faults are %+v, want %+v", got, want)
			break
		}
	}
	if body := deskOf(t, s); !strings.Contains(body, "503, Retry-After 30s, after the request was carried out, at GET /v1/signdoc/pades, for sandbox-client, 2 times") {
		t.Error("the desk does not show the fault")
	}
	for want, form := range map[string]url.Values{
		"status &#34;x&#34; is not a number":       {"effect": {"status"}, "status": {"x"}},
		"&#34;soon&#34; is no duration such as 5s": {"effect": {"delay"}, "duration": {"soon"}},
		"status is not for effect":                 {"effect": {"hang"}, "status": {"503"}},
	} {
		wantPage(t, visit(t, s, "POST", "/sandbox/desk/fault", form, nil), http.StatusBadRequest, "en", want)
	}
	if w := visit(t, s, "POST", "/sandbox/desk/faults", nil, nil); w.Code != http.StatusSeeOther || len(s.Faults()) > 0 {
		t.Errorf("status %d, and there are faults: %v", w.Code, s.Faults())
	}
}

// The desk has what a configuration needs, but only secrets that are published.
func TestDeskClients(t *testing.T) {
	s := newServer(t, sandbox.Options{Clients: []sandbox.Client{{ID: "own", Secret: "a-secret-of-your-own"}}})
	body := deskOf(t, s)
	for _, want := range []string{
		"http://127.0.0.1:9771/auth/realms/sandbox/protocol/openid-connect/token", "not/a:secret &#43; 100%fake &amp; public",
		"<code>own</code>", "bankid_esign signdoc csc timestamp {", "upstream b2b http://127.0.0.1:9771", "http://127.0.0.1:9771/nb/{sign_id}",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the desk lacks %q", want)
		}
	}
	if strings.Contains(body, "a-secret-of-your-own") {
		t.Error("the desk shows a secret that is not published")
	}
}

// An event comes when something has changed, and the stream ends with the sandbox.
func TestDeskEvents(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	server := httptest.NewServer(s)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/sandbox/desk/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type is %q", got)
	}
	lines := bufio.NewScanner(response.Body)
	event := func() string {
		var text strings.Builder
		for lines.Scan() && lines.Text() != "" {
			line, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				t.Errorf("a line of an event is %q", lines.Text())
			}
			text.WriteString(line + "\n")
		}
		return text.String()
	}
	if first := event(); !strings.Contains(first, "There is no order.") {
		t.Errorf("the first event is %q", first)
	}
	order(t, s, "A\r\ndata: contract", "")
	for text := event(); !strings.Contains(text, "contract"); text = event() {
		if text == "" {
			t.Fatal("the stream ended")
		}
	}
	s.Close()
	s.Close()
	for lines.Scan() { //nolint:revive // until it ends
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
}
