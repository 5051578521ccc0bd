package downloads

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the path of the gateway's program.
var program string

// TestMain builds the gateway.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "downloads")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "gateway")
	code := 1
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", program, "../fleet/gateway").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the gateway: %v: %s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
