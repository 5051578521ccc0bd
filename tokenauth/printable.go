package tokenauth

import (
	"strconv"
	"strings"
	"unicode"
)

// printable returns text as it can be shown: what a terminal would obey, and what
// turns text around, is escaped. It is for text that comes from
// a provider, or what answers in its place.
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
