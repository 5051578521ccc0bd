package itest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A machine that was suspended has a clock on the wall that is ahead of the monotonic
// one. That cannot be had in a test, but a program can be built with a package time
// whose clock on the wall can be moved.
func TestClocksThatDiffer(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "clocks")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", movableClock(t, dir), "-o", program, "./testdata/clocks")
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
forward again, while the issuer is away: none, some 0s left; a large upload has none: token request failed: HTTP status 503: the answer is not JSON
when the issuer is back: backing_off, some 0s left; a large upload has none: token request failed: HTTP status 503: the answer is not JSON
after the ten minutes it has asked for: none, some 0s left; a large upload has Bearer token-4
`
	if string(out) != want {
		t.Errorf("it says\n%swant\n%s", out, want)
	}
}

// movableClock writes a package time in which WallOffset moves the clock on the wall,
// and returns the file that tells the go command to use it.
func movableClock(t *testing.T, dir string) (overlay string) {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for _, change := range [][2]string{
		{"import (\n", "import (\n\t\"sync/atomic\"\n"},
		{"func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += WallOffset.Load()\n"},
	} {
		if strings.Count(text, change[0]) != 1 {
			t.Fatalf("%s does not have %q once", original, change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	text += "\n// WallOffset is by how many seconds the clock on the wall is ahead.\nvar WallOffset atomic.Int64\n"
	changed := filepath.Join(dir, "time.go")
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, files, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}
