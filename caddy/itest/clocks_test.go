package itest

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/itest/movableclock"
)

// A machine that was suspended has a clock on the wall that is ahead of the monotonic
// one. That cannot be had in a test, but a program can be built with a package time
// whose clock on the wall can be moved.
func TestClocksThatDiffer(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "clocks")
	overlay, err := movableclock.Overlay(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", program, "./testdata/clocks")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := `at first: fresh, some 4m30s left; a large upload has Bearer token-1
an hour later: none, some 0s left; a large upload has Bearer token-2
set back by two hours: fresh, some 4m30s left; a large upload has Bearer token-2
forward again, while the issuer is away: none, some 0s left; a large upload has none: token request failed: HTTP status 503: the response is not JSON
when the issuer is back: backing_off, some 0s left; a large upload has none: token request failed: HTTP status 503: the response is not JSON
after the ten minutes it has asked for: none, some 0s left; a large upload has Bearer token-4
`
	if string(out) != want {
		t.Errorf("it says\n%swant\n%s", out, want)
	}
}
