package caddyesign_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// TestCaddyItself is Caddy when run runs this test again, and no test.
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
	os.Exit(0) // or the test prints too
}

// An output is what a command printed, and its exit status.
type output struct {
	t              *testing.T
	stdout, stderr string
	status         int
}

// run runs `caddy bankid-esign` with the arguments, in a process of its own.
func run(t *testing.T, args ...string) *output {
	t.Helper()
	enc, err := json.Marshal(append([]string{"bankid-esign"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCaddyItself$")
	cmd.Dir = t.TempDir()
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
	out := run(t, "bogus").exits(2).prints("Error: unknown command 'bogus': must be one of check, keygen, refresh, sandbox, status, version")
	if out.stdout != "" {
		t.Errorf("it prints %q", out.stdout)
	}
	run(t, "--bogus").exits(2).prints("unknown flag: --bogus")
	run(t, "version", "bogus").exits(2).prints("unknown command")
	run(t, "sandbox", "--port", "1").exits(2).prints("unknown flag: --port")
	run(t, "sandbox", "--listen", "0.0.0.0:1").exits(2).prints("is not a loopback address")
	run(t, "keygen").exits(2).prints("Error: --out is missing")
	run(t, "keygen", "--out", "key.pem", "--alg", "none").exits(2).prints("use ES256 or RS256")
	run(t, "status", "--address", "{env.X}").exits(2).prints("{env.X} is not an address of an admin API")
	run(t, "status", "--address", "http://localhost:2019").exits(2).prints("write it without http://")
	run(t).exits(0).prints("Tools for the BankID eSign gateway", "keygen", "sandbox")
}
