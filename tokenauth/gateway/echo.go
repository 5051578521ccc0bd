package gateway

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// A server may show the token or proof of a call in its response, for example in a header
// field for debugging. Then everybody who sees the response would have it. So the values
// that show it are left out of the response. The body passes unchanged.

const (
	// maxEscapes is how many layers of percent-encoding are undone to find a secret.
	maxEscapes = 3

	// minSecret is the least length, in bytes, of a token or a part of one that is looked
	// for. Shorter ones can be guessed, and may be ordinary words.
	minSecret = 16
)

// sentSecrets are the secrets that a call was sent with: the last proof, and all tokens.
type sentSecrets struct {
	proof  tokenauth.Secret
	tokens [1 + remedies]tokenauth.Secret
}

// addToken adds a token. If there is no room, it replaces the last one.
func (s *sentSecrets) addToken(token tokenauth.Secret) {
	i := 0
	for i < len(s.tokens)-1 && s.tokens[i] != (tokenauth.Secret{}) && s.tokens[i] != token {
		i++
	}
	s.tokens[i] = token
}

// any reports whether f returns true for one of the secrets.
func (s *sentSecrets) any(f func(secret string) bool) bool {
	for _, token := range s.tokens {
		if !token.Empty() && f(token.Reveal()) {
			return true
		}
	}
	return !s.proof.Empty() && f(s.proof.Reveal())
}

// show reports whether text shows one of the secrets.
func (s *sentSecrets) show(text string) bool {
	return s.any(func(secret string) bool { return shows(text, secret) })
}

// Shows reports whether text, which is from a response to the call, shows a token or proof
// that the call was sent with: as it is, percent-encoded or in base64. It also reports true
// if the whole text is a part of one, of at least 16 bytes.
func (x *Exchange) Shows(text string) bool {
	return x.secrets.show(text) || x.secrets.any(func(secret string) bool {
		return len(text) >= minSecret && strings.Contains(secret, text)
	})
}

// shows reports whether text shows secret. Every encoding is longer than what it encodes.
func shows(text, secret string) bool {
	if len(text) < len(secret) || len(secret) < minSecret {
		return false
	}
	for range maxEscapes {
		if strings.Contains(text, secret) {
			return true
		}
		plain := unescape(text)
		if plain == text {
			break
		}
		text = plain
	}
	return strings.Contains(text, secret) || showsBase64(text, secret)
}

// unescape returns text without its percent-encoding. It keeps a "%" that does not begin a
// valid encoding.
func unescape(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if c, err := hex.DecodeString(text[i+1 : i+3]); err == nil {
				b.WriteByte(c[0])
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// toURL changes the standard alphabet of base64 to that for URLs.
var toURL = strings.NewReplacer("+", "-", "/", "_")

// showsBase64 reports whether text has secret in base64, alone or as part of a longer value.
// The encoding depends on the offset modulo 3 of the secret in that value, and its first and
// last digits also on the neighbouring bytes. So it compares the other digits, for each of
// the three offsets.
func showsBase64(text, secret string) bool {
	if len(text) < base64.RawURLEncoding.EncodedLen(len(secret))-1 {
		return false
	}
	text = toURL.Replace(text)
	for offset := range 3 {
		encoded := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + secret))
		first := (8*offset + 5) / 6            // the first digit that depends on the secret alone
		last := 8 * (offset + len(secret)) / 6 // the end of those digits
		if strings.Contains(text, encoded[first:last]) {
			return true
		}
	}
	return false
}

// conceal removes from res what shows a secret of the call: values of header fields and
// trailers, and the reason phrase.
func (s *sentSecrets) conceal(res *http.Response) {
	if s.tokens[0].Empty() {
		return
	}
	s.concealFields(res.Header)
	s.concealFields(res.Trailer) // it has only the announced names yet
	if s.show(res.Status) {
		res.Status = fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	if !hasBody(res) {
		return
	}
	body, ok := res.Body.(*receivedBody)
	if !ok {
		body = newReceivedBody(res.Body, 0, nil, nil)
		res.Body = body
	}
	body.res, body.secrets = res, *s
}

// concealFields removes values that show a secret from fields, and fields that have no
// other value or whose name shows a secret.
func (s *sentSecrets) concealFields(fields map[string][]string) {
	for name, values := range fields {
		if s.nameShows(name) {
			delete(fields, name)
			continue
		}
		if !slices.ContainsFunc(values, s.show) {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(values), s.show)
		if len(rest) == 0 {
			delete(fields, name)
		} else {
			fields[name] = rest
		}
	}
}

// nameShows reports whether the name of a field shows one of the secrets. It ignores case,
// since net/http changes the case of names.
func (s *sentSecrets) nameShows(name string) bool {
	return s.any(func(secret string) bool {
		return len(name) >= len(secret) && len(secret) >= minSecret && strings.Contains(strings.ToLower(name), strings.ToLower(secret))
	})
}

// concealError returns err, or an error with another text if the text of err shows a secret:
// net/http quotes parts of a response that it cannot read.
func (s *sentSecrets) concealError(err error) error {
	if err == nil || !s.show(err.Error()) {
		return err
	}
	if _, ok := err.(net.Error); ok { //nolint:errorlint // it is its type that others look at
		return err
	}
	return &concealedError{err, s.redact(err.Error())}
}

// redact returns text without the secrets.
func (s *sentSecrets) redact(text string) string {
	s.any(func(secret string) bool {
		text = strings.ReplaceAll(text, secret, tokenauth.Secret{}.String())
		return false
	})
	if s.show(text) {
		return errShows.Error()
	}
	return text
}

// errShows gives the text for an error whose own text shows a secret in an encoded form.
var errShows = errors.New("malformed HTTP response")

// A concealedError is an error of Base with a text that shows no secret.
type concealedError struct {
	err  error
	text string
}

// Error implements error.
func (e *concealedError) Error() string { return e.text }

// Unwrap returns the error of Base.
func (e *concealedError) Unwrap() error { return e.err }
