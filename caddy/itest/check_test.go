package itest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// TestCaddyItself is not a test: it runs Caddy if runCaddy has started this program.
func TestCaddyItself(t *testing.T) {
	args := os.Getenv("RUN_CADDY")
	if args == "" {
		return
	}
	var more []string
	if err := json.Unmarshal([]byte(args), &more); err != nil {
		t.Fatal(err)
	}
	os.Args = append([]string{"caddy"}, more...)
	caddycmd.Main()
	os.Exit(0) // otherwise the test would print too
}

// runCheck runs `caddy bankid-esign check`, and returns its output and its exit status.
func runCheck(t *testing.T, args ...string) (string, int) {
	t.Helper()
	stdout, stderr, status := runCaddy(t, append([]string{"bankid-esign", "check"}, args...)...)
	t.Logf("$ caddy bankid-esign check %s\n%s%s[exit status %d]", strings.Join(args, " "), stdout, stderr, status)
	return stdout + stderr, status
}

// runCaddy runs a command of Caddy.
func runCaddy(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	enc, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCaddyItself$")
	cmd.Env = append(os.Environ(), "RUN_CADDY="+string(enc))
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return out.String(), complaints.String(), cmd.ProcessState.ExitCode()
}

// testCheck runs check with right and wrong clients of Keycloak.
func testCheck(t *testing.T, issuer string, key jose.JSONWebKey) {
	file := func(content string) string {
		name := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	client := func(issuer, id, secret string, more ...string) []string {
		return append([]string{"--issuer", issuer, "--client-id", id, "--secret-file", secret}, more...)
	}
	secret, pem := file(clientSecret+"\n"), writePEM(t, key)
	secrets := append(secretForms(clientSecret), append(secretForms("not+the secret"), privateForms(t, key)...)...)
	for name, test := range map[string]struct {
		args   []string
		status int
		prints []string
	}{
		"right": {
			client(issuer, clientID, secret), 0,
			[]string{"ok authentication esign-gateway by client_secret_basic", "ok esign token of", "ok esign/csc token of", "ok esign/qtsa token of"},
		},
		"right, with a key and DPoP": {
			[]string{"--issuer", issuer, "--client-id", b2bClientID, "--key-file", pem, "--dpop"},
			0,
			[]string{"ok authentication esign-gateway-b2b by private_key_jwt (ES256, kid ", "), with DPoP (ES256)", "ok esign/b2b token of"},
		},
		"wrong secret": {
			client(issuer, clientID, file("not+the secret")), 1,
			[]string{"FAIL authentication", "hint the issuer knows this client, but not with this secret", "not tried"},
		},
		"secret with further white space": {
			client(issuer, clientID, file(clientSecret+"\n\n")), 1,
			[]string{"FAIL authentication", "hint the client secret ends with a line break"},
		},
		"client of another environment": {
			client(issuer, "esign-gateway-production", secret), 1,
			[]string{"FAIL authentication", "hint the issuer does not know this client, or not with this credential"},
		},
		"wrong realm": {
			client(strings.TrimSuffix(issuer, "current")+"prod", clientID, secret), 1,
			[]string{"discovery failed: HTTP status 404", "hint there is no OpenID provider at the issuer's URL"},
		},
		"scope that was not ordered": {
			client(issuer, clientID, secret, "--scope", "esign", "--scope", "esign/b2b"), 1,
			[]string{"ok authentication", "ok esign token of", "FAIL esign/b2b token request failed: HTTP status 400: invalid_scope", "hint the client has not been given this scope"},
		},
		"wrong port": {
			client("http://"+ports.Address(t)+"/auth/realms/current", clientID, secret), 1,
			[]string{"FAIL discovery", "hint nothing listens at the issuer's address"},
		},
		"key that is not registered": {
			[]string{"--issuer", issuer, "--client-id", keyClientID, "--key-file", writePEM(t, newKey(t)), "--scope", "esign"},
			1,
			[]string{"FAIL authentication esign-gateway-key by private_key_jwt", "the public key must be registered for the client"},
		},
		"DPoP client without DPoP": {
			[]string{"--issuer", issuer, "--client-id", b2bClientID, "--key-file", pem, "--scope", "esign/b2b"},
			1,
			[]string{"warn authentication", "FAIL esign/b2b", "hint the provider may demand DPoP for this client"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, status := runCheck(t, test.args...)
			if status != test.status {
				t.Errorf("the exit status is %d, want %d", status, test.status)
			}
			printed := strings.Join(strings.Fields(out), " ")
			for _, text := range test.prints {
				if !strings.Contains(printed, text) {
					t.Errorf("it does not print %q", text)
				}
			}
			for i, secret := range secrets {
				if strings.Contains(out, secret) {
					t.Errorf("it prints secret %d of %d", i, len(secrets))
				}
			}
		})
	}
}
