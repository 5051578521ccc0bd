package caddyesign

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// masked is shown instead of a secret.
const masked = "***"

// maxStorageError is how much of a storage's error is shown, in characters.
const maxStorageError = 400

var (
	// secretMember matches the names of members of a storage's configuration whose
	// values are or may contain secrets.
	secretMember = regexp.MustCompile(`(?i)pass|pwd|secret|token|credential|auth|dsn|conn|ur[il]|key`)

	// publicMember matches the exceptions: names that say where a key is, or what it is
	// for.
	publicMember = regexp.MustCompile(`(?i)key_?(?:prefix|file|path|type|space|name)`)

	// secretParts match what may be secret in an error: the user information of a URL
	// or another address, and values of parameters with telling names.
	secretParts = []struct {
		form *regexp.Regexp
		as   string
	}{
		{regexp.MustCompile(`://\S*@`), "://" + masked + "@"},
		{regexp.MustCompile(`[^\s@/"']+:[^\s@/][^\s]*@`), masked + "@"},
		{regexp.MustCompile(`(?i)((?:pass|pwd|secret|token|credential|signature|authorization|[_-]?key(?:_?id)?)\w*["']?\s*[=:]\s*)` +
			`(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:(?:basic|bearer)\s+)?[^\s,;&"']+)`), "${1}" + masked},
	}
)

// A storageMask shows errors of a storage without secrets of its configuration that
// they may repeat.
type storageMask struct{ values *strings.Replacer }

// newStorageMask returns the mask for the storage that raw configures.
func newStorageMask(raw json.RawMessage) storageMask {
	var config any
	_ = json.Unmarshal(raw, &config) // without a configuration, nothing is secret
	values := secretValues(config, false)
	// Longer values come first, since one value may begin with another.
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, value := range values {
		for _, form := range []string{value, caddy.NewReplacer().ReplaceKnown(value, "")} {
			form = strings.TrimSpace(form)
			if len(form) < 3 {
				continue // masking it would leave nothing readable
			}
			pairs = append(pairs, form, masked, url.QueryEscape(form), masked, url.PathEscape(form), masked)
		}
	}
	return storageMask{strings.NewReplacer(pairs...)}
}

// secretValues returns the secret texts in a configuration. If secret is true, all its
// texts are secret.
func secretValues(config any, secret bool) (values []string) {
	switch config := config.(type) {
	case string:
		if secret {
			values = append(values, config)
		}
	case []any:
		for _, element := range config {
			values = append(values, secretValues(element, secret)...)
		}
	case map[string]any:
		for name, member := range config {
			values = append(values, secretValues(member, secret || (secretMember.MatchString(name) && !publicMember.MatchString(name)))...)
		}
	}
	return values
}

// show returns the text of err that may be shown.
func (m storageMask) show(err error) string {
	text := m.values.Replace(err.Error())
	for _, part := range secretParts {
		text = part.form.ReplaceAllString(text, part.as)
	}
	if short := fmt.Sprintf("%.*s", maxStorageError, text); short != text {
		return short + "…"
	}
	return text
}
