package caddyesign

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// readme returns the README.
func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The README names every field of the modules' JSON.
func TestReadmeNamesEveryField(t *testing.T) {
	text := readme(t)
	start := strings.Index(text, "In JSON, the same by module")
	if start < 0 {
		t.Fatal("it has no section on JSON")
	}
	text = text[start:]
	for _, module := range []any{App{}, Client{}, IssuerTLS{}, Handler{}, Access{}, Call{}, MatchReady{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(module)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && !strings.Contains(text, "`"+name+"`") {
				t.Errorf("%T: it does not name %s", module, name)
			}
		}
	}
}

// The subcommands that the README shows exist, with the flags that it shows.
func TestReadmeShowsCommandsThatExist(t *testing.T) {
	root := new(cobra.Command)
	root.AddCommand(checkCommand(), statusCommand(), refreshCommand(), keygenCommand(), sandboxCommand(), versionCommand())
	shown := regexp.MustCompile(`(?m)^ +caddy bankid-esign (\S+)(.*)$`).FindAllStringSubmatch(readme(t), -1)
	if len(shown) < 6 {
		t.Errorf("it shows %d commands", len(shown))
	}
	for _, match := range shown {
		cmd, _, err := root.Find([]string{match[1]})
		if err != nil {
			t.Errorf("%s: %v", match[1], err)
			continue
		}
		for _, flag := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(match[2], -1) {
			if cmd.Flags().Lookup(flag[1]) == nil {
				t.Errorf("%s has no flag --%s", match[1], flag[1])
			}
		}
	}
}
