package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine describes the machine and the versions that were measured.
func machine(ctx context.Context, p programs) (string, error) {
	caddyVersion, err := output(ctx, "go", "list", "-m", "-f", "{{.Version}}", "github.com/caddyserver/caddy/v2")
	if err != nil {
		return "", err
	}
	commit, err := output(ctx, "git", "describe", "--always", "--dirty")
	if err != nil {
		commit = "unknown" // not a clone
	}
	nginxVersion := "not installed"
	if p.nginx != "" {
		// nginx prints its version to standard error.
		out, err := exec.CommandContext(ctx, p.nginx, "-v").CombinedOutput() //nolint:gosec // found in the path
		if err != nil {
			return "", fmt.Errorf("nginx -v: %v", err)
		}
		nginxVersion = strings.TrimPrefix(strings.TrimSpace(string(out)), "nginx version: ")
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("- %s, commit %s\n- %d processors, %s, %s of memory, Linux %s\n- %s, Caddy %s, %s\n",
		time.Now().Format(time.DateOnly), commit,
		runtime.NumCPU(), field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal"), strings.TrimSpace(string(kernel)),
		runtime.Version(), caddyVersion, nginxVersion), nil
}

// field returns the first value of name in a file of /proc.
func field(file, name string) string {
	text, _ := os.ReadFile(file) //nolint:gosec // of the kernel
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown " + name
}
