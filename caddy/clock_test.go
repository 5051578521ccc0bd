package caddyesign_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// setClock makes the issuer's responses tell a time that is ahead by the given
// duration. With nil they tell no time, as those of Keycloak.
func (f *fixture) setClock(ahead *time.Duration) {
	date := func(w http.ResponseWriter) {
		if w.Header()["Date"] = nil; ahead != nil {
			w.Header().Set("Date", time.Now().Add(*ahead).UTC().Format(http.TimeFormat))
		}
	}
	f.issuer.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		date(w)
		tokenauthtest.WriteJSON(w, 200, f.issuer.Document())
	})
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		date(w)
		tokenauthtest.WriteToken(w, plantedToken, 300)
	})
}

func TestCheckOfClocks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for ahead, want := range map[time.Duration]string{
		0:                 "ok clock agrees with the provider's",
		20 * time.Second:  "warn clock the provider's is ahead of this machine's by 20s",
		-40 * time.Second: "warn clock the provider's is behind this machine's by 40s",
		-time.Hour:        "warn clock the provider's is behind this machine's by 1h0m0s, too far to be corrected: it shows 20",
	} {
		f.setClock(&ahead)
		run(t, "check", "--issuer", f.issuer.Issuer(), "--client-id", "x", "--secret-file", f.secret).exits(0).prints(want)
	}
	f.setClock(nil)
	args := []string{"check", "--issuer", f.issuer.Issuer(), "--client-id", "x", "--secret-file", f.secret}
	run(t, args...).exits(0).prints("warn clock the provider does not tell its time; this machine's is 20")
	if out := run(t, append(args, "--json")...).exits(0).stdout; !strings.Contains(out, `"clock_skew_seconds": null`) {
		t.Errorf("it prints %s", out)
	}
}

// A difference that is not known is shown neither as agreement, nor as the difference
// known from another provider.
func TestUnknownClockIsShownAsUnknown(t *testing.T) {
	f := newFixture(t)
	minute := time.Minute
	f.setClock(&minute)
	a := f.startAdmin(localSite)
	a.client("default", "fresh")
	const series = `caddy_bankid_esign_clock_skew_seconds{client="default"}`
	if text := scrapeText(t, a.address); !strings.Contains(text, series+" 60") {
		t.Error("a clock that is known is not measured")
	}
	run(t, "status", "--address", a.address).exits(0).prints("warn clock the provider's is ahead of this machine's by 1m")

	other := tokenauthtest.NewHTTPServer()
	t.Cleanup(other.Close)
	f.issuer = other
	f.setClock(nil)
	a.reload(localSite)
	a.client("default", "fresh")
	eventually(t, func() bool { return !strings.Contains(scrapeText(t, a.address), series) })
	var shown struct {
		Skew json.RawMessage `json:"clock_skew_seconds"`
	}
	if err := json.Unmarshal(a.ask("GET", "/bankid_esign/clients/default").is(200).body, &shown); err != nil || string(shown.Skew) != "null" {
		t.Errorf("the skew is %s, %v", shown.Skew, err)
	}
	run(t, "status", "--address", a.address).exits(0).prints("warn clock the provider does not tell its time")
}

func TestClockThatIsFarOffIsAnErrorInTheLog(t *testing.T) {
	f := newFixture(t)
	ahead := -time.Hour
	f.setClock(&ahead)
	f.start(localSite)
	eventually(t, func() bool { return strings.Contains(f.logged(), "this machine's clock differs") })
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(f.logged()) {
		if strings.Contains(line, "this machine's clock differs") &&
			(!strings.Contains(line, `"level":"error"`) || !strings.Contains(line, `"provider_ahead_by":-3600`) ||
				!strings.Contains(line, `"machine_time":"20`) || !strings.Contains(line, `"provider_time":"20`)) {
			t.Errorf("it logs %s", line)
		}
	}
}
