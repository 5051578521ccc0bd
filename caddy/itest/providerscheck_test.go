package itest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// tokenEndpoint stands for the URL of the provider's, as an audience.
const tokenEndpoint = "TOKEN ENDPOINT"

// checkSetups lets check try the setups, and returns what it says of each.
func checkSetups(t *testing.T, issuer string, setups []setup) []string {
	t.Helper()
	var together []setup
	for i, s := range setups {
		if s.used.audience == tokenEndpoint {
			setups[i].used.audience = discover(t, issuer).TokenEndpoint
		}
		if s.together() {
			together = append(together, setups[i])
		}
	}
	said := runCheckOf(t, issuer, together...)
	all := make([]string, len(setups))
	for i, s := range setups {
		at := s.issuer
		if at == "" || at[0] == '/' {
			at = issuer + at
		}
		switch {
		case s.together():
			all[i], said = said[0], said[1:]
		case s.clock != 0:
			all[i] = checkAtAnotherTime(t, at, s)
		case s.meanwhile != nil:
			all[i] = checkMeanwhile(t, at, s)
		default:
			all[i] = runCheckOf(t, at, s)[0]
		}
	}
	return all
}

// together reports whether the setup can be checked by one command with others.
func (s setup) together() bool { return s.issuer == "" && s.clock == 0 && s.meanwhile == nil }

// discover reads the provider's configuration.
func discover(t *testing.T, issuer string) *tokenauth.Metadata {
	t.Helper()
	metadata, err := newProvider(t, issuer).Metadata(t.Context(), http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	return metadata
}

func newProvider(t *testing.T, issuer string) *tokenauth.Provider {
	t.Helper()
	p, err := tokenauth.NewProvider(issuer, tokenauth.AnyTokenHost)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A checkReport is what check prints with --json.
type checkReport struct {
	Error   *checkError
	Hint    string
	Clients []struct {
		Tokens []checkedToken
	}
}

type checkedToken struct {
	OK            bool
	MissingScopes []string `json:"missing_scopes"`
	Error         *checkError
	Hint          string
}

type checkError struct {
	Status int
	Code   string
	Text   string
}

// said is what the table says of the token: what is the same in every run.
func (c checkedToken) said() string {
	text := works
	switch e := c.Error; {
	case c.OK:
	case e == nil:
		text = "granted without `" + strings.Join(c.MissingScopes, " ") + "`"
	case e.Code == "other": // than those of the standards
		text = fmt.Sprintf("`%d`", e.Status)
	case e.Code != "":
		text = fmt.Sprintf("`%d %s`", e.Status, e.Code)
	default:
		text = e.Text
	}
	if c.Hint != "" {
		text += ": " + c.Hint
	}
	text = keyID.ReplaceAllString(text, "KID")
	text = variable.ReplaceAllString(text, "…")
	return strings.ReplaceAll(text, "|", `\|`)
}

// keyID matches what names a key, which is a new one in every run.
var keyID = regexp.MustCompile(`[\w-]{43,}`)

// variable matches addresses, times, and what a clock differs by, give or take a
// second.
var variable = regexp.MustCompile(`http://127\.0\.0\.1:\d+|\d{4}-\d\d-\d\dT[\d:]+Z|\b\d+m\d+s`)

// runCheckOf lets the command check try setups, each as a client of one configuration.
func runCheckOf(t *testing.T, issuer string, setups ...setup) []string {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	clients, handlers := map[string]any{}, []any{}
	for i, s := range setups {
		// They are printed by name.
		name, api := fmt.Sprintf("client%03d", i), map[bool]string{false: "signdoc", true: "b2b"}[s.used.dpop]
		client := map[string]string{
			"client_id": s.used.clientID, "key_id": s.used.keyID, "auth_method": s.used.authMethod, "audience": s.used.audience,
		}
		if s.used.key != nil {
			client["private_key"] = "{file." + file(name, pkcs8(t, *s.used.key)) + "}"
		} else {
			client["client_secret"] = "{file." + file(name, []byte(s.used.secret)) + "}"
		}
		clients[name] = client
		handlers = append(handlers, map[string]any{
			"handler": "bankid_esign", "apis": []string{api}, "client": name, "scopes": s.used.scopes,
		})
	}
	config, err := json.Marshal(map[string]any{"apps": map[string]any{
		"bankid_esign": map[string]any{"issuer": issuer, "clients": clients},
		"http":         map[string]any{"servers": map[string]any{"all": map[string]any{"routes": []any{map[string]any{"handle": handlers}}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := runCaddy(t, "bankid-esign", "check", "--json", "--config", file("caddy.json", config))
	var report checkReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || len(report.Clients) != len(setups) {
		t.Fatalf("check prints, with exit status %d and %v,\n%s%s", status, err, stdout, stderr)
	}
	all := make([]string, len(setups))
	for i, client := range report.Clients {
		token := client.Tokens[0]
		if report.Error != nil {
			token.Error, token.Hint = report.Error, report.Hint
		}
		all[i] = token.said()
	}
	return all
}

// checkAtAnotherTime does what check does, on a machine whose clock is wrong.
func checkAtAnotherTime(t *testing.T, issuer string, s setup) string {
	t.Helper()
	provider, now := newProvider(t, issuer), time.Now()
	var said string
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now.Add(s.clock))) // to the present, from the year in which bubbles begin
		client := &http.Client{Transport: new(http.Transport)}
		defer client.CloseIdleConnections()
		said = check(t, provider, client, s)
	})
	return said
}

// checkMeanwhile does what check does, while something happens.
func checkMeanwhile(t *testing.T, issuer string, s setup) string {
	t.Helper()
	provider := newProvider(t, issuer)
	if _, err := provider.Metadata(t.Context(), http.DefaultClient); err != nil {
		t.Fatal(err)
	}
	s.meanwhile()
	return check(t, provider, http.DefaultClient, s)
}

// check does what the command does for one client.
func check(t *testing.T, provider *tokenauth.Provider, client *http.Client, s setup) string {
	t.Helper()
	credentials := s.used.credentials(t)
	config := s.used.config(provider, func() (tokenauth.Credentials, error) { return credentials, nil })
	report, err := tokenauth.Check(t.Context(), config, client)
	if err != nil {
		t.Fatal(err)
	}
	token := checkedToken{OK: report.OK(), MissingScopes: report.MissingScopes, Hint: report.Hint}
	if e := report.Err; e != nil {
		token.Error = &checkError{Status: e.Status, Code: e.Code, Text: e.Error()}
	}
	return token.said()
}
