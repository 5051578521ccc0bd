package caddyesign_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tests that the documents name exist.
func TestNamedTestsExist(t *testing.T) {
	tests := testsBelow(t, "..")
	name := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")
	for _, file := range []string{"docs/failure-modes.md", "../.github/SECURITY.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := name.FindAllStringSubmatch(string(text), -1)
		if len(names) == 0 {
			t.Errorf("%s names no tests", file)
		}
		for _, match := range names {
			if !tests[match[1]] {
				t.Errorf("%s: there is no %s", file, match[1])
			}
		}
	}
}

// The table of failure modes lists all of them, each with a test whose name has its
// number.
func TestFailureModes(t *testing.T) {
	table, err := os.ReadFile("docs/failure-modes.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (F\d\d) \| [^|]+ \| [^|]+ \|([^|]*)\|$`)
	rows := row.FindAllStringSubmatch(string(table), -1)
	if len(rows) != 40 {
		t.Fatalf("it has %d rows, want 40", len(rows))
	}
	for i, cells := range rows {
		number, proof := cells[1], cells[2]
		if want := fmt.Sprintf("F%02d", i+1); number != want {
			t.Errorf("row %d is %s, want %s", i+1, number, want)
		}
		if !regexp.MustCompile("`Test(F[0-9]{2})*" + number + "(F[0-9]{2})*[A-Z]").MatchString(proof) {
			t.Errorf("%s has no test that carries its number", number)
		}
	}
}

// testsBelow returns the names of the tests in the directories below root.
func testsBelow(t *testing.T, root string) map[string]bool {
	t.Helper()
	tests := make(map[string]bool)
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range declaration.FindAllSubmatch(source, -1) {
			tests[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}
