package caddyesign_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// block finds the fenced code blocks of a Markdown file.
var block = regexp.MustCompile("(?ms)^[ ]*```(sh|json|text|caddyfile)\n(.*?)\n[ ]*```$")

// random finds what differs from run to run.
var random = regexp.MustCompile(`sandbox-[A-Z0-9]{26}`)

// The commands of the README, run in the order in which they stand there
// against Caddyfile.example, print what the README says they do.
func TestReadmeCommands(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	here := strings.NewReplacer("localhost:8080", "localhost:"+port).Replace
	config := strings.Replace(here(string(example)), "{\n", "{\nadmin off\npersist_config off\n", 1)
	t.Setenv("BANKID_ENVIRONMENT", "")
	os.Unsetenv("BANKID_ENVIRONMENT")
	if err := caddy.Load(adapt(t, config), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})

	const cut = "--8<--"
	var script strings.Builder
	var want []string
	for _, match := range block.FindAllStringSubmatch(string(readme), -1) {
		switch match[1] {
		case "sh":
			script.WriteString(here(match[2]) + "\nprintf '\\n" + cut + "\\n'\n")
		case "json", "text":
			want = append(want, match[2])
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "bash", "-c", script.String()).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := strings.Split(string(out), cut+"\n")
	if len(got)-1 != len(want) || len(want) == 0 {
		t.Fatalf("%d blocks of output for %d in the README:\n%s", len(got)-1, len(want), out)
	}
	for i := range want {
		if printed := tidy(got[i]); printed != want[i] {
			t.Errorf("block %d prints\n%s\nand the README says\n%s", i+1, printed, want[i])
		}
	}
}

// tidy removes from output what differs from run to run, and empty lines.
func tidy(output string) string {
	var lines []string
	for line := range strings.Lines(random.ReplaceAllString(output, "sandbox-…")) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// The configurations of the README and of the documents adapt.
func TestReadmeConfigurations(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(documents, "../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, match := range block.FindAllStringSubmatch(string(text), -1) {
			if match[1] == "caddyfile" {
				adapt(t, match[2])
				count++
			}
		}
		if count != strings.Count(string(text), "```caddyfile") {
			t.Errorf("of %s, %d configurations were found", file, count)
		}
	}
}
