package caddyesign_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestStatusAndRefresh(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
			return
		}
		tokenauthtest.WriteToken(w, plantedToken, 300)
	})
	f.app = `client second/one {
		client_id second-client
		client_secret {file.` + f.secret + `}
		auth_method client_secret_post
	}
	client idle {
		client_id idle-client
		client_secret {file.` + f.secret + `}
	}`
	a := f.startAdmin(localSite + `
	reverse_proxy ` + f.upstream.URL + ` {
		transport bankid_esign {
			api timestamp
			client second/one
			upstream ` + f.upstream.URL + `
		}
	}`)
	a.client("default", "fresh")
	a.client("second%2Fone", "backing_off")
	run(t, "status", "--address", a.address).exits(1).prints(
		"client default at "+f.issuer.Issuer(),
		"ok esign fresh, expires in 4m", "ok esign/csc fresh", "ok esign/qtsa fresh",
		"client idle at", "tokens no handler or transport uses this client",
		"client second/one at", "FAIL esign/qtsa none, next attempt in",
		"FAIL 1 failed: token request failed: HTTP status 401: invalid_client",
		"hint the issuer does not know this client, or not with this credential",
		"Error: not every access token can be obtained",
	)
	var clients []shownClient
	out := run(t, "status", "--address", a.address, "--json").exits(1)
	if err := json.Unmarshal([]byte(out.stdout), &clients); err != nil || len(clients) != 3 || clients[0].Tokens[0].State != "fresh" {
		t.Errorf("it prints %s: %v", out.stdout, err)
	}

	run(t, "refresh", "nobody", "--address", a.address).exits(1).prints("the admin API at " + a.address + " returned an error: no client 'nobody' is configured: must be one of default, idle, second/one")
	run(t, "refresh", "second/one", "--address", a.address).exits(1).prints("returned an error: client 'second/one': ")
	// The address is the address in the running configuration.
	config := filepath.Join(f.dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(strings.Replace(f.caddyfile(localSite), "admin off", "admin "+a.address, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "status", "--config", config).exits(1).prints("client default")
	run(t, "refresh", "idle", "--config", config).exits(0).prints("client idle")
	if err := json.Unmarshal([]byte(run(t, "refresh", "idle", "--config", config, "--json").exits(0).stdout), new(shownClient)); err != nil {
		t.Error(err)
	}
}

func TestRefreshObtainsTokens(t *testing.T) {
	f := newFixture(t)
	release := make(chan struct{})
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		tokenauthtest.WriteToken(w, plantedToken, 300)
	})
	a := f.startAdmin(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	run(t, "status", "--address", a.address).exits(1).prints("warn esign none, is obtained at the next call; being fetched, 0 waiting")
	done := make(chan *output, 1)
	go func() { done <- run(t, "refresh", "default", "--address", a.address) }()
	a.waitFor(1)
	close(release)
	(<-done).exits(0).prints("ok esign fresh, expires in 4m")
	run(t, "status", "--address", a.address).exits(0).prints("ok esign fresh")
}

func TestRefreshTooSoon(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(askLater)
	a := f.startAdmin(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	a.client("default", "backing_off")
	run(t, "refresh", "default", "--address", a.address).exits(1).prints("client 'default': it is too soon after the last attempt")
	if n := len(f.issuer.TokenRequests()); n != 1 {
		t.Errorf("%d token requests, want that of the start alone", n)
	}
}

// A token that was obtained just now, as after an outage, needs no refresh.
func TestRefreshAfterARetryThatWentWell(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(respondWith(http.StatusServiceUnavailable, ""))
	a := f.startAdmin(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	eventually(t, func() bool { return a.client("default", "backing_off").Tokens[0].Failures > 0 })
	f.issuer.HandleToken(nil)
	eventually(t, func() bool { return f.do("GET", path, "").StatusCode == http.StatusOK })
	n := len(f.issuer.TokenRequests())
	run(t, "refresh", "default", "--address", a.address).exits(0).prints("ok esign fresh since 20", "Z, expires in 4m", "; another one can be obtained in ")
	// A new secret is a reason to ask again.
	f.writeSecret("another")
	run(t, "refresh", "default", "--address", a.address).exits(1).prints("client 'default': it is too soon after the last attempt")
	if got := len(f.issuer.TokenRequests()); got != n {
		t.Errorf("%d token requests for two refreshes", got-n)
	}
}

func TestStatusOfNoGateway(t *testing.T) {
	absent := ports.Address(t)
	for _, args := range [][]string{{"status"}, {"refresh", "default"}} {
		out := run(t, append(args, "--address", absent)...).exits(1).prints(
			"Error: no Caddy responds at the admin address "+absent+" (dial tcp "+absent+": connect: connection refused): start the gateway",
			"--address or --config")
		if strings.Contains(out.stderr, "{") {
			t.Errorf("it prints JSON: %s", out.stderr)
		}
	}
	other := tokenauthtest.NewHTTPServer()
	defer other.Close()
	run(t, "status", "--address", other.Address()).exits(1).prints("the server at the admin address " + other.Address() + " is not a Caddy with this gateway")
	strange := newUpstream(t)
	run(t, "status", "--address", strings.TrimPrefix(strange.URL, "http://")).exits(1).prints("is not a Caddy with this gateway")
	strange.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	run(t, "status", "--address", strings.TrimPrefix(strange.URL, "http://")).exits(1).prints("responded with HTTP status 502")
	run(t, "status", "--address", "localhost:port").exits(2).prints("localhost:port is not an address of an admin API", "localhost:2019")
}

func TestStatusOfWrongUsage(t *testing.T) {
	t.Parallel()
	run(t, "status", "--nothing").exits(2).prints("unknown flag")
	run(t, "status", "x").exits(2).prints("unexpected argument 'x'")
	for _, args := range [][]string{{}, {""}, {"one", "two"}} {
		run(t, append([]string{"refresh"}, args...)...).exits(2).prints("name one client", "'caddy bankid-esign status' lists them")
	}
	run(t, "status", "--config", "absent").exits(2).prints("open absent: no such file")
	run(t, "status", "--address", "localhost:2019", "--config", "absent").exits(2).prints("exclude each other")
	run(t, "status", "--adapter", "caddyfile").exits(2).prints("--adapter needs --config")
}

func TestStatusWhereTheAdminAPIOrTheGatewayIsOff(t *testing.T) {
	f := newFixture(t)
	run(t, "status", "--config", f.writeConfig(localSite)).exits(1).prints("turns the admin API off (admin off): a running gateway cannot be asked without it")
	address := ports.Address(t)
	if err := caddy.Load(adapt(t, "{\nadmin "+address+"\npersist_config off\n}"), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	run(t, "status", "--address", address).exits(1).prints("returned an error: the bankid_esign app is not configured: add the bankid_esign global option")
}

// These commands find the admin API's address with the same files as `caddy run
// --envfile`.
func TestStatusWithEnvironmentFiles(t *testing.T) {
	f := newFixture(t)
	a := f.startAdmin(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	a.client("default", "fresh")
	variables := filepath.Join(f.dir, "gateway.env")
	if err := os.WriteFile(variables, []byte("TEST_ADMIN="+a.address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"{$TEST_ADMIN}", "{env.TEST_ADMIN}"} {
		config := filepath.Join(f.dir, "Caddyfile")
		if err := os.WriteFile(config, []byte(strings.Replace(f.caddyfile(localSite), "admin off", "admin "+address, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "status", "--config", config, "--envfile", variables).exits(0).prints("ok esign fresh")
		run(t, "refresh", "default", "--config", config, "--envfile", variables).exits(0).prints("ok esign fresh since 20", "another one can be obtained in")
	}
	run(t, "status", "--config", filepath.Join(f.dir, "Caddyfile")).exits(2).prints("the address of the admin API in", "env.TEST_ADMIN")
}

// Without flags, the commands find the admin API of the gateway that this user runs: by
// the Caddyfile in the directory, as 'caddy reload' does, or by the configuration that
// Caddy has saved.
func TestStatusFindsTheAdminSocket(t *testing.T) {
	f := newFixture(t)
	socket := filepath.Join(f.dir, "admin.sock")
	config := filepath.Join(f.dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(strings.Replace(f.caddyfile(localSite), "admin off", "admin unix/"+socket+"|0600", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	cfg := adapt(t, string(text))
	if err := caddy.Load(cfg, true); err != nil {
		t.Fatal(err)
	}
	f.do("GET", path, "").is(http.StatusOK)
	run(t, "status", "--address", "unix/"+socket).prints("client default")
	run(t, "status", "--address", "unix/"+socket+"|0600").prints("client default")
	run(t, "status", "--config", config).prints("client default")
	run(t, "refresh", "default", "--config", config).prints("client default")

	absent := ports.Address(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("CADDY_ADMIN", absent)
	runIn(t, f.dir, "status").prints("client default")
	runIn(t, f.dir, "refresh", "default").prints("client default")
	run(t, "status").exits(1).prints("no Caddy responds at the admin address " + absent)

	// This is how the user's running Caddy has saved it. The environment takes
	// precedence.
	saved := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "caddy", "autosave.json")
	if err := os.MkdirAll(filepath.Dir(saved), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(saved, cfg, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "status").exits(1).prints("no Caddy responds at the admin address " + absent)
	if err := os.Unsetenv("CADDY_ADMIN"); err != nil {
		t.Fatal(err)
	}
	run(t, "status").prints("client default")
	run(t, "refresh", "default").prints("client default")
}
