package caddyesign

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// Requests that are under way when an app is stopped can still get a token. They get it
// with that app's own settings: only its configuration trusts the issuer.
func TestStoppedAppStillServesItsRequests(t *testing.T) {
	issuer := tokenauthtest.NewTLSServer()
	defer issuer.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_SECRET", "secret")
	raw, err := json.Marshal(map[string]any{
		"issuer": issuer.Issuer(), "client_id": "client", "client_secret": "{env.TEST_SECRET}",
		"tls": map[string]any{"ca": map[string]any{"provider": "file", "pem_files": []string{ca}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{AppsRaw: caddy.ModuleMap{"bankid_esign": raw}})
	if err != nil {
		t.Fatal(err)
	}
	mod, err := ctx.App("bankid_esign")
	if err != nil {
		t.Fatal(err)
	}
	app := mod.(*App)
	source, err := app.source("", []string{"esign"}, false)
	if err != nil {
		t.Fatal(err)
	}
	issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Token(t.Context()); err == nil {
		t.Fatal("there is a token already")
	}
	issuer.HandleToken(nil)
	if err := app.Stop(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := source.Token(t.Context())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the app was stopped: %v", err)
		}
	}
	if err := app.Cleanup(); err != nil {
		t.Fatal(err)
	}
}

// Whether the token endpoint must be on the issuer's host depends on how the issuer is
// configured. A reload applies the new rule.
func TestProviderOfAnEnvironmentIsNotThatOfItsIssuer(t *testing.T) {
	t.Setenv("TEST_SECRET", "secret")
	provision := func(config map[string]string) *App {
		config["client_id"], config["client_secret"] = "client", "{env.TEST_SECRET}"
		raw, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := caddy.ProvisionContext(&caddy.Config{AppsRaw: caddy.ModuleMap{"bankid_esign": raw}})
		if err != nil {
			t.Fatal(err)
		}
		app, err := ctx.App("bankid_esign")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = app.(*App).Cleanup() })
		return app.(*App)
	}
	elsewhere := &http.Client{Transport: tokenauthtest.HandlerTransport{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteJSON(w, http.StatusOK, map[string]string{"issuer": bankid.Production.Issuer, "token_endpoint": "https://elsewhere.example/token"})
	})}}
	for _, config := range []map[string]string{{"issuer": bankid.Production.Issuer}, {"environment": "production"}} {
		metadata, err := provision(config).provider.Metadata(t.Context(), elsewhere)
		if pinned := config["environment"] != ""; pinned != (err != nil) {
			t.Errorf("with %v, the token endpoint is %v, %v", slices.Collect(maps.Keys(config)), metadata, err)
		}
	}
}
