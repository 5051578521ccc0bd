package caddyesign_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// Even if the provider cannot be reached, the credentials are examined.
func TestCheckOfCredentialsWithoutTheProvider(t *testing.T) {
	t.Parallel()
	f := newB2B(t)
	empty := filepath.Join(f.dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	issuer := "http://" + ports.Address(t)
	args := func(more ...string) []string {
		return append([]string{"check", "--issuer", issuer, "--client-id", "test-client"}, more...)
	}
	for _, test := range []struct {
		secret string
		args   []string
		want   []string
	}{
		{clientSecret, args("--secret-file", f.secret), []string{"FAIL discovery", "client default ok credentials test-client, with a client secret tokens not tried, since the provider's configuration could not be read"}},
		{clientSecret + "\n", args("--secret-file", f.secret), []string{"warn credentials test-client, with a client secret hint the client secret ends with a line break"}},
		{clientSecret, args("--secret-file", empty), []string{"FAIL credentials", "client_secret", "placeholder {file." + empty + "} is empty"}},
		{clientSecret, args("--secret-file", f.dir), []string{"FAIL credentials", f.dir + ": is a directory"}},
		{clientSecret, args("--secret-file", filepath.Join(f.dir, "absent")), []string{"FAIL credentials", "open " + f.dir + "/absent: no such file or directory"}},
		{clientSecret, args("--key-file", f.secret), []string{"FAIL credentials", "private_key from {file." + f.secret + "}"}},
		{clientSecret, args("--key-file", f.keyFile()), []string{"ok credentials test-client, with a private key"}},
	} {
		f.writeSecret(test.secret)
		run(t, test.args...).exits(1).prints(test.want...)
	}
	c := run(t, args("--secret-file", empty, "--json")...).exits(1).checked().Clients
	if len(c) != 1 || c[0].Credentials == nil || c[0].Credentials.OK || c[0].Credentials.Error.Cause != "configuration" || len(c[0].Tokens) != 3 || !c[0].Tokens[0].Skipped {
		t.Errorf("the clients are %+v", c)
	}
	f.app = "client unset {\nclient_id {env.NO_SUCH_VARIABLE}\nclient_secret {file." + f.secret + "}\n}"
	if err := os.Remove(f.secret); err != nil {
		t.Fatal(err)
	}
	f.issuer.HandleDiscovery(http.NotFound)
	run(t, "check", "--config", f.writeConfig(strings.Replace(localSite, "callers local", "callers local\nclient unset", 1))).exits(1).
		prints("FAIL credentials", "client_id: placeholder {env.NO_SUCH_VARIABLE}: the environment variable is empty or not set")
	f.writeSecret(clientSecret)
	if c := run(t, args("--secret-file", f.secret, "--json")...).exits(1).checked().Clients; len(c) != 1 || !c[0].Credentials.OK {
		t.Errorf("the clients are %+v", c)
	}
}

// The attempts end only if the client is refused, or if the provider asks for it.
func TestCheckGoesOnAfterTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		response http.HandlerFunc // to the first token request
		requests int
		want     []string
	}{
		"refused":         {respondWith(401, ""), 1, []string{"FAIL authentication", "esign/csc not tried, since the client was refused"}},
		"wrong secret":    {respondWith(400, "unauthorized_client"), 1, []string{"FAIL authentication", "esign/csc not tried, since the client was refused"}},
		"asked too often": {respondWith(429, ""), 1, []string{"warn authentication", "it is not known whether that is right", "esign/csc not tried, since the provider has been asked too often"}},
		"trouble":         {respondWith(503, ""), 3, []string{"ok authentication", "FAIL esign token request failed: HTTP status 503", "ok esign/csc token of"}},
		"another refusal": {respondWith(400, "invalid_request"), 3, []string{"ok authentication", "FAIL esign token request failed: HTTP status 400: invalid_request", "ok esign/csc token of"}},
		"not a token":     {respondWith(200, ""), 3, []string{"ok authentication", "FAIL esign", "ok esign/qtsa token of"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
				if len(f.issuer.TokenRequests()) == 1 {
					test.response(w, r)
					return
				}
				tokenauthtest.WriteToken(w, plantedToken, 300)
			})
			run(t, "check", "--issuer", f.issuer.Issuer(), "--client-id", "test-client", "--secret-file", f.secret).exits(1).prints(test.want...)
			if n := len(f.issuer.TokenRequests()); n != test.requests {
				t.Errorf("%d token requests, want %d", n, test.requests)
			}
		})
	}
	f := newFixture(t)
	f.issuer.HandleToken(respondWith(503, ""))
	out := run(t, "check", "--issuer", f.issuer.Issuer(), "--client-id", "test-client", "--secret-file", f.secret).exits(1).
		prints("warn authentication test-client by client_secret_basic: it is not known whether that is right")
	if n := strings.Count(out.stdout, "trouble of its own"); n != 1 {
		t.Errorf("it hints at the same %d times:\n%s", n, out.stdout)
	}
}

// respondWith responds with an OAuth error.
func respondWith(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteError(w, status, code) }
}

func TestCheckOfOddLifetimes(t *testing.T) {
	t.Parallel()
	for expiresIn, want := range map[int]string{
		0:      "FAIL esign token without a lifetime, which no API accepts hint the lifetime of the token is zero",
		-5:     "FAIL esign token without a lifetime, which no API accepts",
		864000: "ok esign token of 24h0m0s (the longest that is accepted; the provider gives 240h0m0s)",
		36000:  "ok esign token of 10h0m0s",
	} {
		f := newFixture(t)
		f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, plantedToken, expiresIn) })
		exit := 0
		if expiresIn <= 0 {
			exit = 1
		}
		run(t, "check", "--issuer", f.issuer.Issuer(), "--client-id", "x", "--secret-file", f.secret, "--scope", "esign").exits(exit).prints(want)
	}
}
