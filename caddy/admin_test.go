package caddyesign_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// An admin is a client of the admin endpoint of a fixture's gateway.
type admin struct {
	*fixture
	address string
}

// startAdmin loads a configuration with an admin endpoint.
func (f *fixture) startAdmin(site string) *admin {
	f.t.Helper()
	a := &admin{f, ports.Address(f.t)}
	a.reload(site)
	return a
}

// reload loads another configuration, with the same admin endpoint.
func (a *admin) reload(site string) {
	a.t.Helper()
	config := strings.Replace(a.caddyfile(site), "admin off", "admin "+a.address, 1)
	a.load(adapt(a.t, config))
}

// ask sends a request to the admin endpoint.
func (a *admin) ask(method, path string, header ...string) *response {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, "http://"+a.address+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return roundTrip(a.t, req)
}

// A shownClient is a client as the admin endpoint shows it.
type shownClient struct {
	Name, Issuer, Environment string
	DiscoveredAt              string `json:"discovered_at"`
	Tokens                    []shownToken
}

// A shownToken is a token as the admin endpoint shows it.
type shownToken struct {
	State       string
	Scopes      []string
	Granted     []string `json:"granted_scopes"`
	Missing     []string `json:"missing_scopes"`
	Bound       bool
	ClientID    string `json:"client_id"`
	AuthMethod  string `json:"auth_method"`
	KeyID       string `json:"assertion_kid"`
	ExpiresAt   string `json:"expires_at"`
	NextAttempt string `json:"next_attempt"`
	Failures    int
	Waiting     int
	Hint        string
	LastError   *struct {
		Cause, Code, Text string
		Status            int
	} `json:"last_error"`
}

// decode parses the body of a response.
func decode[T any](a *response) (v T) {
	a.t.Helper()
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		a.t.Errorf("Content-Type is %q", got)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Errorf("the response is %s: %v", a.body, err)
	}
	return v
}

// says asserts that the response is an error of the admin endpoint that contains text.
func (a *response) says(text string) *response {
	a.t.Helper()
	if e := decode[struct{ Error string }](a); !strings.Contains(e.Error, text) {
		a.t.Errorf("the error is %q, want %q in it", e.Error, text)
	}
	return a
}

// client waits until all tokens of the client called name are in state, and returns the
// client.
func (a *admin) client(name, state string) (c shownClient) {
	a.t.Helper()
	eventually(a.t, func() bool {
		c = decode[shownClient](a.ask("GET", "/bankid_esign/clients/"+name).is(200))
		return !slices.ContainsFunc(c.Tokens, func(token shownToken) bool { return token.State != state })
	})
	return c
}

// waitFor waits until n callers wait for the only token of the default client.
func (a *admin) waitFor(n int) {
	a.t.Helper()
	eventually(a.t, func() bool {
		c := decode[shownClient](a.ask("GET", "/bankid_esign/clients/default").is(200))
		return len(c.Tokens) == 1 && c.Tokens[0].Waiting == n
	})
}

func TestAdminShowsClients(t *testing.T) {
	f := newFixture(t)
	f.app = `client other/one {
		client_id other-client
		client_secret {file.` + f.secret + `}
	}`
	a := f.startAdmin(localSite)
	c := a.client("default", "fresh")
	if c.Name != "default" || c.Issuer != f.issuer.Issuer() || c.Environment != "" || c.DiscoveredAt == "" {
		t.Errorf("the client is %+v", c)
	}
	var scopes []string
	for _, token := range c.Tokens {
		scopes = append(scopes, strings.Join(token.Scopes, " "))
		if !slices.Equal(token.Granted, token.Scopes) || token.ClientID != "test-client" || token.AuthMethod != "client_secret_basic" ||
			token.ExpiresAt == "" || token.Bound || token.LastError != nil || token.NextAttempt != "" {
			t.Errorf("a token is %+v", token)
		}
	}
	if want := []string{"esign", "esign/csc", "esign/qtsa"}; !slices.Equal(scopes, want) {
		t.Errorf("its tokens are for %v, want %v", scopes, want)
	}
	var names []string
	for _, c := range decode[[]shownClient](a.ask("GET", "/bankid_esign/clients").is(200)) {
		names = append(names, c.Name)
	}
	if want := []string{"default", "other/one"}; !slices.Equal(names, want) {
		t.Errorf("the clients are %v, want %v", names, want)
	}
	if c := a.client("other%2Fone", "fresh"); c.Name != "other/one" || c.Tokens == nil || len(c.Tokens) != 0 {
		t.Errorf("the client that nothing uses is %+v", c)
	}
	if got := a.ask("HEAD", "/bankid_esign/clients").is(200); len(got.body) != 0 {
		t.Errorf("HEAD has the body %s", got.body)
	}
}

func TestAdminShowsABoundTokenAndWhyThereIsNone(t *testing.T) {
	f := newB2B(t)
	kid := f.writeKey(t).ID()
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
	})
	a := f.startAdmin(f.b2bSite(""))
	c := a.client("b2b", "backing_off")
	if len(c.Tokens) != 1 {
		t.Fatalf("the client is %+v", c)
	}
	token := c.Tokens[0]
	if !token.Bound || token.AuthMethod != "private_key_jwt" || token.KeyID != kid || token.Granted != nil || token.ExpiresAt != "" ||
		token.Failures != 1 || token.NextAttempt == "" || !strings.Contains(token.Hint, "does not know this client") ||
		!strings.Contains(token.Hint, "the public key must be registered for the client, under the kid ") {
		t.Errorf("the token is %+v", token)
	}
	if !strings.Contains(f.logged(), `"hint":"`+token.Hint+`"`) {
		t.Error("the log does not hint at it")
	}
	if e := token.LastError; e == nil || e.Cause != "refused" || e.Code != "invalid_client" || e.Status != 401 ||
		e.Text != "token request failed: HTTP status 401: invalid_client" {
		t.Errorf("the last error is %+v", e)
	}
}

func TestAdminRefuses(t *testing.T) {
	f := newFixture(t)
	a := f.startAdmin(localSite)
	a.client("default", "fresh")
	for _, path := range []string{
		"/bankid_esign/", "/bankid_esign/clients/", "/bankid_esign/clients/nobody", "/bankid_esign/clients//refresh",
		"/bankid_esign/clients/default/", "/bankid_esign/clients/default/refresh/", "/bankid_esign/clients/default/token",
		"/bankid_esign/clients/default/refresh/x", "/bankid_esign/clients/default%2Frefresh", "/bankid_esign/%63lients",
		"/bankid_esign/client", "/bankid_esign/clients/%2e%2e", "/bankid_esign/clients/DEFAULT",
	} {
		for _, method := range []string{"GET", "POST"} {
			got := a.ask(method, path)
			if got.StatusCode < 300 || got.StatusCode == 500 || strings.Contains(string(got.body), "scopes") {
				t.Errorf("%s %s: %d %s", method, path, got.StatusCode, got.body)
			}
		}
	}
	a.ask("GET", "/bankid_esign/clients/nobody").is(404).says("no client 'nobody' is configured")
	a.ask("POST", "/bankid_esign/clients/nobody/refresh").is(404).says("no client 'nobody' is configured")
	for path, allow := range map[string]string{
		"/bankid_esign/clients":                 "GET, HEAD",
		"/bankid_esign/clients/default":         "GET, HEAD",
		"/bankid_esign/clients/default/refresh": "POST",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			if strings.Contains(allow, method) {
				continue
			}
			if got := a.ask(method, path).is(405).says("method not allowed").Header.Get("Allow"); got != allow {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, got, allow)
			}
		}
	}
	// Caddy's own rules for the admin endpoint hold here too.
	a.ask("POST", "/bankid_esign/clients/default/refresh", "Origin", "https://elsewhere.example").is(403)
	a.ask("GET", "/bankid_esign/clients", "Sec-Fetch-Mode", "no-cors").is(400)
	if n := len(f.issuer.TokenRequests()); n != 3 {
		t.Errorf("%d token requests, want those of the start alone", n)
	}
}

func TestAdminWithoutTheApp(t *testing.T) {
	f := newFixture(t)
	address := ports.Address(t)
	f.load(adapt(t, "{\nadmin "+address+"\npersist_config off\n}"))
	a := &admin{f, address}
	a.ask("GET", "/bankid_esign/clients").is(404).says("the bankid_esign app is not configured")
}

// askLater is a token endpoint that tells clients to come back after an hour.
func askLater(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "3600")
	w.WriteHeader(http.StatusServiceUnavailable)
}

func TestAdminRefreshStormMakesNoAttempt(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(askLater)
	a := f.startAdmin(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	a.client("default", "backing_off")
	var storm sync.WaitGroup
	for range 20 {
		storm.Go(func() {
			got := a.ask("POST", "/bankid_esign/clients/default/refresh").is(429).says("client 'default': it is too soon")
			if after, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || after < 3000 || after > 3600 {
				t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
			}
		})
	}
	storm.Wait()
	if n := len(f.issuer.TokenRequests()); n != 1 {
		t.Errorf("%d token requests, want that of the start alone", n)
	}
}

func TestAdminRefreshJoinsTheAttemptUnderWay(t *testing.T) {
	f := newFixture(t)
	release := make(chan struct{})
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		tokenauthtest.WriteToken(w, plantedToken, 300)
	})
	a := f.startAdmin(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	var refreshes sync.WaitGroup
	for range 5 {
		refreshes.Go(func() {
			got := a.ask("POST", "/bankid_esign/clients/default/refresh").is(200)
			if c := decode[shownClient](got); len(c.Tokens) != 1 || c.Tokens[0].State != "fresh" {
				t.Errorf("after the refresh the client is %s", got.body)
			}
			showsNone(t, "the response", string(got.body))
		})
	}
	a.waitFor(5)
	close(release)
	refreshes.Wait()
	if n := len(f.issuer.TokenRequests()); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func TestAdminRefreshSaysWhyItFailed(t *testing.T) {
	f := newFixture(t)
	release := make(chan struct{})
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
	})
	a := f.startAdmin(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	done := make(chan *response, 1)
	go func() { done <- a.ask("POST", "/bankid_esign/clients/default/refresh") }()
	a.waitFor(1)
	close(release)
	(<-done).is(502).says("client 'default': token request failed: HTTP status 401: invalid_client")
}

func TestAdminFollowsReloads(t *testing.T) {
	f := newFixture(t)
	site := strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1)
	a := f.startAdmin(site)
	before := a.client("default", "fresh")
	a.reload(site)
	expiry := func(c shownClient) time.Time {
		at, err := time.Parse(time.RFC3339Nano, c.Tokens[0].ExpiresAt)
		if err != nil {
			t.Error(err)
		}
		return at
	}
	// The two clocks of a machine can differ by nanoseconds.
	if was, is := expiry(before), expiry(a.client("default", "fresh")); is.Sub(was).Abs() > time.Millisecond {
		t.Errorf("the token expires at %s, and at %s before the reload", is, was)
	}
	f.app = `client second {
		client_id second-client
		client_secret {file.` + f.secret + `}
	}`
	a.reload(strings.Replace(site, "callers local", "callers local\nclient second", 1))
	if c := a.client("second", "fresh"); len(c.Tokens) != 1 || c.Tokens[0].ClientID != "second-client" {
		t.Errorf("the new client is %+v", c)
	}
	if c := a.client("default", "fresh"); len(c.Tokens) != 0 {
		t.Errorf("the client that is not used any more is %+v", c)
	}
	// A configuration that is refused changes nothing.
	good := strings.Replace(f.caddyfile(site), "admin off", "admin "+a.address, 1)
	bad := strings.Replace(string(adapt(t, good)), `"callers":"local"`, `"callers":"local","client":"nobody"`, 1)
	if err := caddy.Load([]byte(bad), true); err == nil || !strings.Contains(err.Error(), "no client 'nobody'") {
		t.Errorf("loading a bad configuration: %v", err)
	}
	a.client("second", "fresh")
}

func TestClientCannotBeCalledDefault(t *testing.T) {
	f := newFixture(t)
	config := strings.Replace(string(adapt(t, f.caddyfile(localSite))), `"client_id":`, `"clients":{"default":{"client_id":"x","client_secret":"{env.X}"}},"client_id":`, 1)
	if err := caddy.Load([]byte(config), true); err == nil || !strings.Contains(err.Error(), "the default client has this name") {
		t.Errorf("the error is %v", err)
	}
}
