package caddyesign

import (
	"fmt"
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
	return caddy.NewReplacer().ReplaceOrErr(value, true, true)
}
