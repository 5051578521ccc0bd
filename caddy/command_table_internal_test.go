package caddyesign

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestColourIsForTerminals(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if !newTable(terminal).colour || newTable(file).colour || newTable(new(bytes.Buffer)).colour {
		t.Error("colour is not for terminals, and them alone")
	}
	t.Setenv("NO_COLOR", "1")
	if newTable(terminal).colour {
		t.Error("NO_COLOR is ignored")
	}
}

func TestColumnsAlignInColour(t *testing.T) {
	columns := func(colour bool) string {
		var out bytes.Buffer
		table := newTable(&out)
		table.colour = colour
		table.heading("client default")
		table.row(good, "esign", "a")
		table.row(bad, "esign/csc", "b")
		table.row(odd, "x", "c")
		table.hint("d")
		if err := table.flush(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	coloured := columns(true)
	if !strings.Contains(coloured, "\x1b[31mFAIL\x1b[0m  esign/csc") {
		t.Errorf("there is no colour in %q", coloured)
	}
	for _, m := range []mark{good, odd, bad, none} {
		coloured = strings.ReplaceAll(coloured, "\x1b["+m.colour+"m", "")
	}
	if plain := columns(false); strings.ReplaceAll(coloured, "\x1b[0m", "") != plain {
		t.Errorf("the columns differ:\n%q\n%q", coloured, plain)
	}
}
