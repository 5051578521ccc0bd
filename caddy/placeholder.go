package caddyesign

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// checkPlaceholders reports an error if value holds a placeholder that is not
// of the environment or a file: those of a request would let its sender choose
// the client, the scope or the host.
func checkPlaceholders(value string) error {
	for _, name := range placeholders(value) {
		if !strings.HasPrefix(name, "env.") && !strings.HasPrefix(name, "file.") {
			if !placeholderName.MatchString(name) {
				name = "…" // a secret that is written out may have braces
			}
			return fmt.Errorf("placeholder {%s} cannot be used here: only {env.*} and {file.*} can", name)
		}
	}
	return nil
}

// placeholderName matches the names of Caddy's placeholders.
var placeholderName = regexp.MustCompile(`^[a-z_]+(\.[A-Za-z0-9_-]+)+$`)

// placeholders returns the names of the placeholders in value.
func placeholders(value string) []string {
	var names []string
	repl := caddy.NewEmptyReplacer()
	repl.Map(func(name string) (any, bool) {
		names = append(names, name)
		return "", true
	})
	repl.ReplaceAll(value, "")
	return names
}

// resolve replaces the placeholders in value. An empty or unknown one is an
// error, which names the placeholder and not its value.
func resolve(value string) (string, error) {
	if err := checkPlaceholders(value); err != nil {
		return "", err
	}
	resolved, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", cmp.Or(unresolved(value), err)
	}
	return resolved, nil
}

// unresolved says which file or variable of the placeholders in value is absent
// or empty, nil if none is: Caddy says only that the result is empty.
func unresolved(value string) error {
	for _, name := range placeholders(value) {
		if file, ok := strings.CutPrefix(name, "file."); ok {
			content, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("{%s}: %w", name, err)
			}
			if len(strings.TrimRight(string(content), "\r\n")) == 0 {
				return fmt.Errorf("{%s}: the file %s is empty", name, file)
			}
		}
		if variable, ok := strings.CutPrefix(name, "env."); ok && os.Getenv(variable) == "" {
			return fmt.Errorf("{%s}: the environment variable %s is empty or not set", name, variable)
		}
	}
	return nil
}
