package tokenauth

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// redacted is what a secret looks like to everything but Reveal.
const redacted = "[REDACTED]"

// A Secret is a string that does not print itself: not by any verb of package
// fmt, not as JSON or text, not in a structured log, not as part of a struct
// that is dumped with %#v. Nor is it read from JSON or text, so that what holds
// one cannot be stored and read again by mistake: read a string, and wrap it with
// NewSecret. The zero value is the empty secret.
type Secret struct {
	// A pointer, because fmt reads the unexported fields of a struct by
	// reflection without asking its methods, but does not follow pointers there.
	value *string
}

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the secret itself. Its callers are the places that write to
// the wire; there should be few.
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

// Format implements fmt.Formatter, for the verbs that ask neither Stringer nor
// GoStringer, such as %x and %d.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, which encoding/json asks too.
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
