package caddyesign

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The README names every field of the modules' JSON.
func TestReadmeNamesEveryField(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(readme)
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
