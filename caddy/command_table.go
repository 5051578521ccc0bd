package caddyesign

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"golang.org/x/term"
)

// A mark at the beginning of a line shows whether the subject of the line is in order.
type mark struct {
	text   string
	colour string // an SGR parameter (ECMA-48)
}

// All marks have the same width, colour included, so that columns align.
var (
	good = mark{"ok  ", "32"}
	odd  = mark{"warn", "33"}
	bad  = mark{"FAIL", "31"}
	none = mark{"    ", "39"}
)

// A table is the output of a command for a person. Each line has a mark, a subject, and
// a text about the subject.
type table struct {
	lines  *tabwriter.Writer
	colour bool
	begun  bool
}

// newTable returns a table that is written to w. It has colours if w is a terminal,
// unless the user has set NO_COLOR (https://no-color.org).
func newTable(w io.Writer) *table {
	file, ok := w.(*os.File)
	return &table{
		lines:  tabwriter.NewWriter(w, 0, 0, 2, ' ', 0),
		colour: ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "", //nolint:gosec // a file descriptor
	}
}

// heading starts a section.
func (t *table) heading(text string) {
	if t.begun {
		fmt.Fprintln(t.lines)
	}
	t.begun = true
	fmt.Fprintln(t.lines, printable(text))
}

// row adds a line.
func (t *table) row(m mark, subject, text string) {
	shown := m.text
	if t.colour {
		shown = "\x1b[" + m.colour + "m" + shown + "\x1b[0m"
	}
	fmt.Fprintf(t.lines, "%s\t%s\t%s\n", shown, printable(subject), printable(text))
}

// printable escapes characters in text that a terminal would obey, or that change the
// direction of text. The text may come from a provider, or from any server at the admin
// address.
func printable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// hint adds a hint, unless text is empty.
func (t *table) hint(text string) {
	if text != "" {
		t.row(none, "hint", text)
	}
}

// flush writes the table.
func (t *table) flush() error { return t.lines.Flush() }
