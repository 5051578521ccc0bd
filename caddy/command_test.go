package caddyesign_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// TestMain acts as Caddy when a command starts its own program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "bankid-esign" {
		caddycmd.Main()
		return
	}
	m.Run()
}

// TestCaddyItself is not a test: it acts as Caddy when run starts this test again.
func TestCaddyItself(t *testing.T) {
	args := os.Getenv("RUN_CADDY")
	if args == "" {
		return
	}
	os.Args = []string{"caddy"}
	var more []string
	if err := json.Unmarshal([]byte(args), &more); err != nil {
		t.Fatal(err)
	}
	os.Args = append(os.Args, more...)
	caddycmd.Main()
	os.Exit(0) // otherwise the test prints as well
}

// An output is the output of a command, and its exit status.
type output struct {
	t              *testing.T
	stdout, stderr string
	status         int
}

// run runs `caddy bankid-esign` with the arguments in a separate process.
//
// Tests that load no configuration in this process are parallel, since a process takes
// most of their time.
func run(t *testing.T, args ...string) *output {
	t.Helper()
	return runIn(t, t.TempDir(), args...)
}

// runIn is run in a directory.
func runIn(t *testing.T, dir string, args ...string) *output {
	t.Helper()
	enc, err := json.Marshal(append([]string{"bankid-esign"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCaddyItself$")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RUN_CADDY="+string(enc))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	showsNone(t, "the output", stdout.String()+stderr.String())
	return &output{t, stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// exits asserts the exit status.
func (o *output) exits(status int) *output {
	o.t.Helper()
	if o.status != status {
		o.t.Errorf("the exit status is %d, want %d:\n%s%s", o.status, status, o.stdout, o.stderr)
	}
	return o
}

func TestUnknownCommands(t *testing.T) {
	t.Parallel()
	out := run(t, "bogus").exits(2).prints("Error: unknown command 'bogus': must be one of check, keygen, refresh, sandbox, status, version")
	if out.stdout != "" {
		t.Errorf("it prints %q", out.stdout)
	}
	run(t, "--bogus").exits(2).prints("unknown flag: --bogus")
	run(t, "sandbox", "--port", "1").exits(2).prints("unknown flag: --port")
	run(t, "sandbox", "--listen", "0.0.0.0:1").exits(2).prints("is not a loopback address")
	run(t, "sandbox", "--listen", "127.0.0.1:0", "--issuer", "foo").exits(2).prints(`Error: sandbox: issuer "foo" is not an http or https URL`)
	run(t, "keygen").exits(2).prints("Error: --out is missing")
	run(t, "keygen", "--out", "key.pem", "--alg", "none").exits(2).prints("use ES256 or RS256")
	run(t, "status", "--address", "{env.X}").exits(2).prints("{env.X} is not an address of an admin API")
	run(t, "status", "--address", "http://localhost:2019").exits(2).prints("write it without http://")
	run(t).exits(0).prints("Tools for the BankID eSign gateway", "keygen", "sandbox")
}

// A user who forgets a flag did not mean a command.
func TestUnexpectedArguments(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"check two.caddyfile":     "Error: unexpected argument 'two.caddyfile': use --config to name a configuration",
		"check --config a.json b": "Error: unexpected argument 'b': use --config to name a configuration",
		"keygen k.pem":            "Error: unexpected argument 'k.pem': use --out to name the file for a new key",
		"status seal":             "Error: unexpected argument 'seal'",
		"sandbox now":             "Error: unexpected argument 'now'",
		"version bogus":           "Error: unexpected argument 'bogus'",
	} {
		out := run(t, strings.Fields(command)...).exits(2).prints(want)
		if strings.Contains(out.stderr, "unknown command") {
			t.Errorf("%s: it prints %s", command, out.stderr)
		}
	}
}

// The public key of an existing file is printed in the same form as by keygen.
func TestKeygenPublic(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key.pem")
	made := run(t, "keygen", "--out", file).exits(0).stdout
	if got := run(t, "keygen", "--public", file).exits(0).stdout; got != made {
		t.Errorf("it prints %s, want %s", got, made)
	}
	other := filepath.Join(t.TempDir(), "key")
	for content, want := range map[string]string{
		`{"kty":"EC","kid":"mine","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}`: "",
		`{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`:                                                                "it is a JWK without a private key",
		made:         "it is not a valid JWK",
		clientSecret: "it is neither PEM nor a JWK",
		"":           "it is neither PEM nor a JWK",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": `it is a PEM block of type "CERTIFICATE", not a private key`,
	} {
		if err := os.WriteFile(other, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		out := run(t, "keygen", "--public", other)
		if want != "" {
			out.exits(1).prints("Error: " + other + " is not a usable private key: " + want)
			continue
		}
		out.exits(0).prints(`"kid": "mine"`, `"alg": "ES256"`)
		if strings.Contains(out.stdout, "870MB6") || strings.Contains(out.stdout, `"d"`) {
			t.Errorf("it prints %s", out.stdout)
		}
	}
	run(t, "keygen", "--public", filepath.Join(t.TempDir(), "absent")).exits(1).prints("Error: reading the private key: open", "no such file")
	run(t, "keygen", "--public", file, "--out", other).exits(2).prints("--public and --out exclude each other")
	run(t, "keygen", "--public", file, "--alg", "RS256").exits(2).prints("--alg needs --out")
	run(t, "keygen", "--public", "").exits(2).prints("--public is empty")
}
