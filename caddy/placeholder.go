package caddyesign

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// checkPlaceholders reports an error if value holds a placeholder that is not
// of the environment or a file: those of a request would let its sender choose
// the client, the scope or the host.
func checkPlaceholders(value string) error {
	if name, ok := foreignPlaceholder(value); ok {
		return refusedPlaceholder(name)
	}
	return nil
}

// checkSecretPlaceholders is checkPlaceholders for a secret. One that is written
// out may have braces, and what is between them is part of it: it is shown only
// where it is plainly meant for a placeholder.
func checkSecretPlaceholders(secret string) error {
	name, ok := foreignPlaceholder(secret)
	if !ok {
		return nil
	}
	if !meantPlaceholder.MatchString(name) {
		name = "…"
	}
	return refusedPlaceholder(name)
}

// foreignPlaceholder returns the first placeholder in value that is not of the
// environment or a file, and whether there is one.
func foreignPlaceholder(value string) (string, bool) {
	for _, name := range placeholders(value) {
		if !strings.HasPrefix(name, "env.") && !strings.HasPrefix(name, "file.") {
			return name, true
		}
	}
	return "", false
}

// refusedPlaceholder is the error for a placeholder that is not of the
// environment or a file.
func refusedPlaceholder(name string) error {
	return fmt.Errorf("placeholder {%s} cannot be used here: only {env.*} and {file.*} can", name)
}

// meantPlaceholder matches how the names of Caddy's placeholders begin, and what
// people write for them.
var meantPlaceholder = regexp.MustCompile(`^(env:|file:|http\.|vars\.|system\.)`)

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

// resolve replaces the placeholders in value. One that is empty, or whose file
// cannot be read, is an error, which names the placeholder and not its value.
func resolve(value string) (string, error) {
	if err := checkPlaceholders(value); err != nil {
		return "", err
	}
	return caddy.NewReplacer().ReplaceFunc(value, func(name string, val any) (any, error) {
		if val == nil {
			return nil, fmt.Errorf("placeholder {%s}: %v", name, fileError(strings.TrimPrefix(name, "file.")))
		}
		if caddy.ToString(val) == "" {
			if strings.HasPrefix(name, "env.") {
				return nil, fmt.Errorf("placeholder {%s}: the environment variable is empty or not set", name)
			}
			return nil, fmt.Errorf("placeholder {%s} is empty", name)
		}
		return val, nil
	})
}

// fileError says why a file cannot be read, which Caddy's replacer does not.
func fileError(path string) error {
	_, err := os.ReadFile(path)
	if failure, ok := errors.AsType[*fs.PathError](err); ok {
		return failure.Err // the placeholder has the path
	}
	return errors.New("it could not be read")
}
