package tokenauth

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// printable returns text with escapes for characters that cannot be seen, such as those
// that control a terminal or turn the direction of text. It is for text from a provider, or
// from another server that answers instead.
func printable(text string) string {
	if !strings.ContainsFunc(text, unprintable) {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// unprintable reports whether r is neither a visible character nor a blank.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// maxExcerpt is how many characters of a list an error or a hint repeats.
const maxExcerpt = 200

// excerpt returns the beginning of a provider's list, quoted. The whole list may be as long
// as the document, too long for errors, logs and responses.
func excerpt[T ~string](list []T) string {
	whole := fmt.Sprintf("%q", list)
	if short := fmt.Sprintf("%.*s", maxExcerpt, whole); short != whole {
		return short + "…"
	}
	return whole
}

// boundedScopes returns the granted scopes to show: all, or the first ones with maxText bytes
// together and "…".
func boundedScopes(scopes []string) []string {
	size := 0
	end := slices.IndexFunc(scopes, func(scope string) bool {
		size += len(scope) + 1
		return size > maxText
	})
	if end < 0 {
		return slices.Clone(scopes)
	}
	return append(slices.Clone(scopes[:end]), "…")
}
