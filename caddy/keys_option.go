package caddyesign

import (
	"errors"
	"regexp"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// A KeySecret is an option of a KeyHolder that is secret, such as a PIN, as it is typed. It
// may contain the placeholders {env.*} and {file.*}.
type KeySecret string

// mistypedSecret matches what is meant as a file or as a placeholder, but is neither.
var mistypedSecret = regexp.MustCompile(`^(/|file:|env:)|\{(env|file)\.`)

// Validate returns an error if s contains another placeholder, or is a mistyped one: to try
// that as a PIN would use up one of the tries. The error shows nothing of a secret that is
// written out.
func (s KeySecret) Validate() error {
	if s.WrittenOut() && mistypedSecret.MatchString(string(s)) {
		return errors.New("it looks like a file or a placeholder, and is neither: write {file./run/secrets/pin} or {env.PIN}")
	}
	return checkSecretPlaceholders(string(s))
}

// WrittenOut reports whether s is the secret itself, which then shows in the configuration.
func (s KeySecret) WrittenOut() bool { return s != "" && len(placeholders(string(s))) == 0 }

// Read returns the secret, with the present contents of files. It may take as long as a
// file system takes. The error names placeholders, not their values.
func (s KeySecret) Read() (tokenauth.Secret, error) {
	value, err := resolve(string(s))
	return tokenauth.NewSecret(value), err
}

// HasPlaceholder reports whether value, an option of a KeyHolder that is not secret, contains
// something that is meant as a placeholder. Such options cannot have one. Other braces are
// part of the value, such as those of a GUID.
func HasPlaceholder(value string) bool {
	for _, name := range placeholders(value) {
		if strings.HasPrefix(name, "env.") || strings.HasPrefix(name, "file.") || meantPlaceholder.MatchString(name) {
			return true
		}
	}
	return false
}
