package itest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestApplication runs the test of an application in JavaScript (application/signing.test.mjs).
// It needs nothing of Go but the program that is built here.
func TestApplication(t *testing.T) {
	program := filepath.Join(t.TempDir(), "caddy")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./caddy/esigncaddy")
	build.Dir = "../.."
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, output)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "test")
	cmd.Dir = "application"
	cmd.Env = append(os.Environ(), "CADDY="+program)
	// This ends all the programs that the test has started, in any case.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm test: %v (bash .ci/run installs what is needed)\n%s", err, output)
	}
}
