package tokenauth

import (
	"errors"
	"fmt"
	"strings"
)

// CheckScope returns an error that says what is wrong with a scope (RFC 6749 section
// 3.3), or nil.
func CheckScope(scope string) error {
	if scope == "" {
		return errors.New("a scope is empty")
	}
	if strings.ContainsAny(scope, ", ") {
		return fmt.Errorf("scope '%s' has a comma or a space: these are several scopes, and each is given by itself", scope)
	}
	if strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return fmt.Errorf("scope %q has a character that RFC 6749 does not allow", scope)
	}
	return nil
}
