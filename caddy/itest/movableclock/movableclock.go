// Package movableclock makes programs whose wall clock can be moved, without the monotonic
// clock: as after a suspension of the machine, or on a machine with a wrong clock.
package movableclock

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Overlay writes into dir a package time that has a variable WallOffset, an
// atomic.Int64: by how many seconds the wall clock is ahead of the machine's. It
// returns the file to give to "go build -overlay".
func Overlay(ctx context.Context, dir string) (overlay string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original) //nolint:gosec // Go's own
	if err != nil {
		return "", err
	}
	text := string(source)
	for _, change := range [][2]string{
		{"import (\n", "import (\n\t\"sync/atomic\"\n"},
		{"func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += WallOffset.Load()\n"},
	} {
		if strings.Count(text, change[0]) != 1 {
			return "", fmt.Errorf("%s does not have %q once", original, change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	text += "\n// WallOffset is by how many seconds the wall clock is ahead.\nvar WallOffset atomic.Int64\n"
	changed := filepath.Join(dir, "time.go")
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil { //nolint:gosec // where the caller says
		return "", err
	}
	files, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, files, 0o600)
}
