package tokenauth

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// redacted is printed instead of a secret.
const redacted = "[REDACTED]"

// A Secret is a string that does not show when it is printed: not by any verb of package
// fmt, not as JSON or text, not in a structured log, and not in a struct that is printed
// with %#v. It cannot be read from JSON or text either, so that a struct with a secret
// is not stored and read again by mistake. Read a string, and wrap it with NewSecret.
// The zero value is the empty secret.
type Secret struct {
	// This is a pointer because fmt prints unexported fields of a struct without their
	// methods, but does not follow pointers there.
	value *string
}

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the secret itself. Only code that needs the secret to send it should call
// it: there should be few such places.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Empty reports whether the secret is the empty string.
func (s Secret) Empty() bool { return s.Reveal() == "" }

// Equal compares two secrets in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// Format implements fmt.Formatter, for the verbs that use neither Stringer nor
// GoStringer, such as %x and %d.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Interface guards
var (
	_ fmt.Formatter  = Secret{}
	_ fmt.GoStringer = Secret{}
	_ slog.LogValuer = Secret{}
	_ fmt.Stringer   = Secret{}
)
