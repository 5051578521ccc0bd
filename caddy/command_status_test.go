package caddyesign_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	run(t, "status", "--address", a.address).exits(0).prints(
		"client default at "+f.issuer.Issuer(),
		"ok esign fresh, expires in 4m", "ok esign/csc fresh", "ok esign/qtsa fresh",
		"client idle at", "tokens no handler or transport uses this client",
		"client second/one at", "FAIL esign/qtsa none, next attempt in",
		"FAIL 1 failed: token request failed: HTTP status 401: invalid_client",
		"hint the issuer does not know this client, or not with this credential",
	)
	var clients []shownClient
	out := run(t, "status", "--address", a.address, "--json").exits(0)
	if err := json.Unmarshal([]byte(out.stdout), &clients); err != nil || len(clients) != 3 || clients[0].Tokens[0].State != "fresh" {
		t.Errorf("it prints %s: %v", out.stdout, err)
	}

	run(t, "refresh", "nobody", "--address", a.address).exits(1).prints("HTTP 404", "no client 'nobody' is configured")
	run(t, "refresh", "second/one", "--address", a.address).exits(1).prints("client 'second/one': ")
	// The address is that of the configuration that runs.
	config := filepath.Join(f.dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(strings.Replace(f.caddyfile(localSite), "admin off", "admin "+a.address, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "status", "--config", config).exits(0).prints("client default")
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
	run(t, "status", "--address", a.address).exits(0).prints("esign none, is obtained at the next call; being fetched, 0 waiting")
	done := make(chan *output, 1)
	go func() { done <- run(t, "refresh", "default", "--address", a.address) }()
	a.waitFor(1)
	close(release)
	(<-done).exits(0).prints("ok esign fresh, expires in 4m")
}

func TestRefreshTooSoon(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(askLater)
	a := f.startAdmin(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	a.client("default", "backing_off")
	run(t, "refresh", "default", "--address", a.address).exits(1).prints("HTTP 429", "client 'default': it is too soon after the last attempt")
	if n := len(f.issuer.TokenRequests()); n != 1 {
		t.Errorf("%d token requests, want that of the start alone", n)
	}
}

func TestStatusOfNoGateway(t *testing.T) {
	run(t, "status", "--address", freeAddress(t)).exits(1).prints("connection refused")
	run(t, "refresh", "default", "--address", freeAddress(t)).exits(1).prints("connection refused")
	other := tokenauthtest.NewHTTPServer()
	defer other.Close()
	run(t, "status", "--address", other.Address()).exits(1).prints("HTTP 404")
	strange := newUpstream(t)
	run(t, "status", "--address", strings.TrimPrefix(strange.URL, "http://")).exits(1).prints("is not that of a gateway")
	run(t, "status", "--nothing").exits(2).prints("unknown flag")
	run(t, "status", "x").exits(2).prints("unknown command")
	run(t, "refresh").exits(2).prints("accepts 1 arg(s)")
	run(t, "status", "--config", "absent").exits(1).prints("no such file")
}
