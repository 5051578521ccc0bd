package tokenauth

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// printable returns text as it can be shown: what a terminal would obey, and what
// turns text around, is escaped. It is for text that comes from a provider, or what
// answers in its place.
func printable(text string) string {
	if !strings.ContainsFunc(text, unprintable) {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// unprintable reports whether r is something else than a character that can be seen,
// or a blank.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// maxExcerpt is how much of a list an error or a hint repeats, in characters.
const maxExcerpt = 200

// excerpt returns the beginning of a list of the provider's, quoted. A list as long as
// the document may be does not belong into errors, logs and answers.
func excerpt[T ~string](list []T) string {
	whole := fmt.Sprintf("%q", list)
	if short := fmt.Sprintf("%.*s", maxExcerpt, whole); short != whole {
		return short + "…"
	}
	return whole
}

// boundedScopes returns those of the scopes that a token was granted for which are
// shown: the first ones, of maxText bytes together.
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
