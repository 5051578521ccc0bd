package fleet

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/itest/movableclock"
)

// binary is the environment variable with the path of the gateway's program. If it is set, the
// tests run in their own network.
const binary = "ESIGN_FLEET_GATEWAY"

// movable is the suffix of the program with a movable clock.
const movable = "-movable-clock"

// TestMain runs the tests in network and mount namespaces of their own. The namespaces end
// with the last process in them. So tests that were killed leave nothing on the machine, and
// networks of the machine do not disturb the tests.
func TestMain(m *testing.M) {
	if os.Getenv(binary) != "" {
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		// The fleets do not need much processor time.
		if err := flag.Set("test.parallel", "10"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	code, err := runInside()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// runInside builds the gateway, for which the network may be needed, runs this
// program again in the namespaces, and returns its exit code.
func runInside() (code int, err error) {
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	gateway := filepath.Join(dir, "gateway")
	overlay, err := movableclock.Overlay(context.Background(), dir)
	if err != nil {
		return 1, err
	}
	for _, args := range [][]string{
		{"-o", gateway},
		{"-overlay", overlay, "-tags", "movableclock", "-o", gateway + movable},
	} {
		if out, err := exec.Command("go", append(append([]string{"build"}, args...), "./gateway")...).CombinedOutput(); err != nil { //nolint:noctx // there is none yet
			return 1, fmt.Errorf("building the gateway: %w: %s", err, out)
		}
	}
	program, err := os.Executable()
	if err != nil {
		return 1, err
	}
	runtime.LockOSThread()                       // Pdeathsig treats this thread as the parent
	cmd := exec.Command(program, os.Args[1:]...) //nolint:noctx // it ends with this process
	cmd.Env = append(os.Environ(), binary+"="+gateway)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	if err := cmd.Run(); cmd.ProcessState == nil {
		return 1, fmt.Errorf("entering the namespaces: %w", err)
	}
	if code = cmd.ProcessState.ExitCode(); code < 0 {
		return 1, fmt.Errorf("the tests: %v", cmd.ProcessState) // killed by a signal
	}
	return code, nil
}

// settle prepares the namespaces for the tests: with a loopback interface, and a directory for
// the names of the gateways' network namespaces.
func settle() error {
	const names = "/run/netns"
	if err := os.MkdirAll(names, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("none", names, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", names, err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil { //nolint:noctx // it waits for nothing
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	return nil
}
