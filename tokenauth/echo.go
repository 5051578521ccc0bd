package tokenauth

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// A server may show what a call was sent with, such as in a header field for debugging, and
// everybody who sees its answer would have it then. So what has it is left out of an answer,
// but for the body, which passes as it is.

const (
	// maxEscapes is how often a text may be percent-encoded in which a secret is found.
	maxEscapes = 3

	// minSecret is the length, in bytes, from which on a token, or what is a part of one,
	// is looked for: what is shorter can be guessed, and may be any word.
	minSecret = 16
)

// sentSecrets are what a call was sent with: the last proof, and each of the tokens.
type sentSecrets struct {
	proof  Secret
	tokens [1 + remedies]Secret
}

// addToken adds a token, in the place of the last one if there is no other.
func (s *sentSecrets) addToken(token Secret) {
	i := 0
	for i < len(s.tokens)-1 && s.tokens[i] != (Secret{}) && s.tokens[i] != token {
		i++
	}
	s.tokens[i] = token
}

// any reports whether f does for one of the secrets.
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

// Shows reports whether text, of an answer to the call, shows a token or proof that it was
// sent with: as it is, percent-encoded or in base64, or 16 bytes of it or more that are the
// whole text.
func (d *Delivery) Shows(text string) bool {
	return d.secrets.show(text) || d.secrets.any(func(secret string) bool {
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

// unescape returns text without its percent-encoding. What is none stays as it is.
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

// toURL makes one alphabet of the two that base64 has.
var toURL = strings.NewReplacer("+", "-", "/", "_")

// showsBase64 reports whether text has secret in base64, alone or within something longer:
// it looks different at each of three offsets, but for what it shares with its neighbours.
func showsBase64(text, secret string) bool {
	if len(text) < base64.RawURLEncoding.EncodedLen(len(secret))-1 {
		return false
	}
	text = toURL.Replace(text)
	for offset := range 3 {
		encoded := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + secret))
		first := (8*offset + 5) / 6            // the first digit that is of the secret alone
		last := 8 * (offset + len(secret)) / 6 // behind the last one
		if strings.Contains(text, encoded[first:last]) {
			return true
		}
	}
	return false
}

// conceal leaves out of res what shows a secret that the call was sent with: values of
// header fields and trailers, and the reason phrase.
func (s *sentSecrets) conceal(res *http.Response) {
	if s.tokens[0].Empty() {
		return
	}
	s.concealFields(res.Header)
	s.concealFields(res.Trailer) // the names that are announced
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

// concealFields leaves values out of fields, and fields that have no other.
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

// nameShows reports whether the name of a field shows one of the secrets. Its case is lost.
func (s *sentSecrets) nameShows(name string) bool {
	return s.any(func(secret string) bool {
		return len(name) >= len(secret) && len(secret) >= minSecret && strings.Contains(strings.ToLower(name), strings.ToLower(secret))
	})
}

// concealError returns err, with another text if its own shows a secret: net/http quotes
// what it cannot read.
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
		text = strings.ReplaceAll(text, secret, redacted)
		return false
	})
	if s.show(text) {
		return errShows.Error()
	}
	return text
}

// errShows is what is said of an error whose text shows a secret in another form.
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
