package tokenauth

import (
	"net/http"
	"strings"
)

// challengeCode returns the error code in the challenge of a response (RFC 6750
// section 3, RFC 9449 section 7.1), "" if there is none.
func challengeCode(res *http.Response) string {
	for _, challenge := range res.Header["Www-Authenticate"] {
		for challenge != "" {
			var name, value string
			if name, value, challenge = nextParameter(challenge); strings.EqualFold(name, "error") {
				return value
			}
		}
	}
	return ""
}

// nextParameter reads one auth-param (RFC 9110 section 11.2) from challenges, and returns
// its name, its value and the rest. For an auth-scheme, the value is empty. For text that
// cannot be read, the name is empty.
func nextParameter(challenges string) (name, value, rest string) {
	challenges = strings.TrimLeft(challenges, " \t,")
	end := strings.IndexFunc(challenges, isDelimiter)
	if end < 0 {
		return challenges, "", ""
	}
	name, rest = challenges[:end], strings.TrimLeft(challenges[end:], " \t")
	value, found := strings.CutPrefix(rest, "=")
	if !found {
		if name == "" && rest != "" {
			rest = rest[1:] // it does not belong here
		}
		return name, "", rest
	}
	value = strings.TrimLeft(value, " \t")
	if strings.HasPrefix(value, `"`) {
		value, rest = unquote(value[1:])
		return name, value, rest
	}
	if end = strings.IndexFunc(value, isDelimiter); end < 0 {
		return name, value, ""
	}
	return name, value[:end], value[end:]
}

// unquote reads a quoted-string (RFC 9110 section 5.6.4) after its first quote, and
// returns its value and the rest. If the string has no end, both are empty.
func unquote(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i == len(s) {
				return "", ""
			}
		}
		b.WriteByte(s[i])
	}
	return "", ""
}

// isDelimiter reports whether r cannot be in a token (RFC 9110 section 5.6.2).
func isDelimiter(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
}
