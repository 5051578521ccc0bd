package itest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A result is the outcome of a setup at a provider.
type result struct {
	provider provider
	setup    string
	said     string
}

// The table in the document is between these lines.
const (
	tableBegins = "<!-- TestProviders in ../itest writes this table -->\n"
	tableEnds   = "<!-- and here it ends -->\n"
)

// checkTable compares the table in the document with the results, or writes it.
func checkTable(t *testing.T, path string, results []result) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), tableBegins)
	have, after, ended := strings.Cut(rest, tableEnds)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", path)
	}
	want := table(results)
	if have == want {
		return
	}
	if !*writeProviders {
		t.Errorf("the table in %s is another than\n%s", path, want)
		return
	}
	if err := os.WriteFile(path, []byte(before+tableBegins+want+tableEnds+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A row of the table has versions of a provider, and setups with the same outcome at all of
// them.
type row struct {
	name             string
	versions, setups []string
	said             string
}

// table returns the results as Markdown.
func table(results []result) string {
	var rows []row
	for _, r := range results {
		same := func(other row) bool {
			return other.name == r.provider.name && other.setups[0] == r.setup && other.said == r.said
		}
		if i := slices.IndexFunc(rows, same); i >= 0 {
			rows[i].versions = append(rows[i].versions, r.provider.version)
		} else {
			rows = append(rows, row{r.provider.name, []string{r.provider.version}, []string{r.setup}, r.said})
		}
	}
	var merged []row
	for _, r := range rows {
		same := func(other row) bool {
			return other.name == r.name && slices.Equal(other.versions, r.versions) && other.said == r.said
		}
		if i := slices.IndexFunc(merged, same); i >= 0 {
			merged[i].setups = append(merged[i].setups, r.setups...)
		} else {
			merged = append(merged, r)
		}
	}
	var text strings.Builder
	text.WriteString("| provider | client | what comes of it, and what `check` hints at |\n| --- | --- | --- |\n")
	for _, r := range merged {
		slices.Sort(r.versions)
		text.WriteString("| " + r.name + " " + strings.Join(r.versions, ", ") + " | " + strings.Join(r.setups, "; ") + " | " + r.said + " |\n")
	}
	return text.String()
}
