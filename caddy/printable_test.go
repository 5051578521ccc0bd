package caddyesign_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// evil contains characters that a terminal would obey, or that change the direction of
// text.
const evil = "\x1b[31m\x07\r\n\u009b2J\u202e\u2066\x7f"

// wantPrintable asserts that text cannot control a terminal.
func wantPrintable(t *testing.T, text string) {
	t.Helper()
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }) {
		t.Errorf("it prints %q", text)
	}
}

func TestNothingOfAProviderControlsTheTerminal(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		document := f.issuer.Document()
		document["esign-baseurl"] = "https://api.test/" + evil
		tokenauthtest.WriteJSON(w, 200, document)
	})
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": plantedToken, "token_type": "bearer", "expires_in": 300, "scope": "esign/x" + evil})
	})
	a := f.startAdmin(localSite)
	a.client("default", "fresh")
	args := []string{"check", "--issuer", f.issuer.Issuer(), "--client-id", "x", "--secret-file", f.secret, "--scope", "esign/y"}
	for _, out := range []*output{
		run(t, args...).exits(1), run(t, append(args, "--json")...).exits(1),
		run(t, "status", "--address", a.address), run(t, "status", "--address", a.address, "--json"),
	} {
		wantPrintable(t, out.stdout+out.stderr)
	}
}

// The log's JSON escapes some of it, but programs that read the JSON undo that.
func TestNothingOfAProviderControlsThoseThatReadTheLog(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		document := f.issuer.Document()
		document["issuer"] = evil
		tokenauthtest.WriteJSON(w, 200, document)
	})
	f.startAdmin(localSite).client("default", "backing_off")
	eventually(t, func() bool { return strings.Contains(f.logged(), "the document names the issuer") })
	var log strings.Builder
	for line := range strings.Lines(f.logged()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&log, record)
	}
	wantPrintable(t, log.String())
	if !strings.Contains(log.String(), "[31m") {
		t.Error("the log does not repeat the issuer")
	}
}

// Nor can the text of a server at the admin address.
func TestNothingOfAnAdminAPIControlsTheTerminal(t *testing.T) {
	t.Parallel()
	other := newUpstream(t)
	address := strings.TrimPrefix(other.URL, "http://")
	quoted, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	for status, body := range map[int]string{
		200: fmt.Sprintf(`[{"name":%s,"issuer":%[1]s,"tokens":[{"scopes":[%[1]s],"state":%[1]s,"hint":%[1]s,"last_error":{"text":%[1]s}}]}]`, quoted),
		400: fmt.Sprintf(`{"error":%s}`, quoted),
		404: evil,
		500: evil,
	} {
		other.handle(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
		for _, args := range [][]string{{"status"}, {"status", "--json"}} {
			out := run(t, append(args, "--address", address)...).exits(1)
			wantPrintable(t, out.stdout+out.stderr)
			if status == 200 && args[len(args)-1] == "--json" {
				var shown []struct{ Name string }
				if err := json.Unmarshal([]byte(out.stdout), &shown); err != nil || shown[0].Name != evil {
					t.Errorf("the name is %q, %v", shown, err)
				}
			}
		}
	}
}
