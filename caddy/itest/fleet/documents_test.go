package fleet

import (
	"os"
	"strings"
	"testing"
)

// page is the page with the tables.
const page = "../../docs/fleet.md"

// checkTable compares the table of a test in the page with the test's promises, or writes it.
func checkTable(t *testing.T, test, want string) {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begins, ends := "<!-- "+test+" in ../itest/fleet writes this table -->\n", "<!-- and here it ends -->\n"
	before, rest, found := strings.Cut(string(content), begins)
	have, after, ended := strings.Cut(rest, ends)
	if !found || !ended {
		t.Fatalf("%s has no place for the table of %s", page, test)
	}
	if have == want {
		return
	}
	if !*writeStorages {
		t.Errorf("the table in %s is another than\n%s", page, want)
		return
	}
	if err := os.WriteFile(page, []byte(before+begins+want+ends+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
