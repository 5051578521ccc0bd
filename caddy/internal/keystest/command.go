// Package keystest tries keys in hardware by Caddy's commands, and in a gateway that makes
// seals. The tests of the modules that hold such keys use it.
package keystest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard" // plugs in Caddy's modules
)

// commandVariable has the arguments of Caddy's command line in a process that is to be Caddy.
const commandVariable = "COMMAND"

// BeCaddy is Caddy's command line if Command has started this process, and then does not
// return. A TestMain begins with it.
func BeCaddy() {
	arguments, ok := os.LookupEnv(commandVariable)
	if !ok {
		return
	}
	os.Args = append([]string{"caddy"}, strings.Split(arguments, "\n")...)
	caddycmd.Main()
	os.Exit(0)
}

// Command runs `caddy bankid-esign` in a process of its own, which has the modules of the
// test. It returns what that prints. It asserts its exit status, and that it does not print
// the secret of the keys.
func Command(t *testing.T, secret string, status int, arguments ...string) (stdout, all string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // it is this program
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", commandVariable+"=bankid-esign\n"+strings.Join(arguments, "\n"))
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	_ = cmd.Run()
	stdout, all = out.String(), out.String()+errors.String()
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("%v exits with %d, want %d:\n%s", arguments, got, status, all)
	}
	if strings.Contains(all, secret) {
		t.Errorf("%v prints the secret", arguments)
	}
	return stdout, all
}

// KeySet reads the JWKS that keygen prints.
func KeySet(t *testing.T, printed string) jose.JSONWebKeySet {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(printed), &set); err != nil || len(set.Keys) != 1 || !set.Keys[0].IsPublic() {
		t.Fatalf("keygen prints %s (%v)", printed, err)
	}
	return set
}
