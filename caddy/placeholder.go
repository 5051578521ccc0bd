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

// checkPlaceholders returns an error if value contains a placeholder that is neither of
// the environment nor of a file. A placeholder of a request would let its sender choose
// the client, the scope or the host.
func checkPlaceholders(value string) error {
	if name, ok := foreignPlaceholder(value); ok {
		return refusedPlaceholder(name)
	}
	return nil
}

// checkSecretPlaceholders is checkPlaceholders for a secret. A secret that is written
// out may contain braces, and the text between them is part of it. So the error shows
// that text only if it is clearly meant as a placeholder.
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

// foreignPlaceholder returns the first placeholder in value that is neither of the
// environment nor of a file, and whether there is one.
func foreignPlaceholder(value string) (string, bool) {
	for _, name := range placeholders(value) {
		if !strings.HasPrefix(name, "env.") && !strings.HasPrefix(name, "file.") {
			return name, true
		}
	}
	return "", false
}

// refusedPlaceholder returns the error for a placeholder that is neither of the
// environment nor of a file.
func refusedPlaceholder(name string) error {
	return fmt.Errorf("placeholder {%s} cannot be used here: only {env.*} and {file.*} can", name)
}

// meantPlaceholder matches the beginnings of names of Caddy's placeholders, and common
// misspellings of them.
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

// resolve replaces the placeholders in value. A placeholder that is empty, or whose
// file cannot be read, is an error. The error names the placeholder, not its value.
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

// fileError says why a file cannot be read. Caddy's replacer does not say so.
func fileError(path string) error {
	_, err := os.ReadFile(path)
	if failure, ok := errors.AsType[*fs.PathError](err); ok {
		return failure.Err // the path is in the placeholder
	}
	return errors.New("it could not be read")
}
