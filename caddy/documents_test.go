package caddyesign_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/documents"
)

// readDocuments returns the repository's Markdown files.
func readDocuments(t *testing.T) []documents.Document {
	t.Helper()
	all, err := documents.Read("..")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// command matches text that looks like a command outside a block of commands.
var command = regexp.MustCompile(`(?m)^ {4,}(?:\$ )?(?:[A-Z_]+=\S+ )*(?:apt-get|bash|caddy|curl|docker|git|go|install|npm|promtool|systemctl|xcaddy) .*`)

// Commands are in their own blocks, which are run. Every block has a kind that a test
// knows.
func TestDocumentsHaveKnownBlocks(t *testing.T) {
	for _, d := range readDocuments(t) {
		for _, b := range d.Blocks {
			if !slices.Contains([]string{"sh", "json", "text", "caddyfile", "syntax", "yaml", ""}, b.Kind) {
				t.Errorf("%s: a block of %s", d.Path, b.Kind)
			}
		}
		if fences := strings.Count(d.Text, "```"); fences != 2*len(d.Blocks) {
			t.Errorf("%s: %d fences, but %d blocks", d.Path, fences, len(d.Blocks))
		}
		if found := command.FindString(documents.WithoutBlocks(d.Text)); found != "" {
			t.Errorf("%s: %q is not in a block of sh", d.Path, found)
		}
	}
}

// The configurations in the documents adapt.
func TestDocumentsConfigurations(t *testing.T) {
	count := 0
	for _, d := range readDocuments(t) {
		for _, b := range d.Blocks {
			if b.Kind == "caddyfile" {
				adapt(t, b.Text)
				count++
			}
		}
	}
	if count < 7 {
		t.Errorf("there are %d", count)
	}
}

// The configuration that a page shows with two directives in one site reaches each of
// them, with the scopes that the page names.
func TestDocumentsDirectivesBesideOneAnother(t *testing.T) {
	waits(t)
	for _, d := range readDocuments(t) {
		for _, b := range d.Blocks {
			if b.Kind != "caddyfile" || !strings.Contains(b.Text, "bankid_esign /v0/b2b/*") {
				continue
			}
			f := newFixture(t)
			text := adminLine.ReplaceAllString(strings.NewReplacer("environment current", "environment sandbox", "http://:8080", f.site).Replace(b.Text), "")
			f.load(adapt(t, "{\nadmin off\npersist_config off\nlog {\noutput file "+f.log+"\nlevel DEBUG\n}\n"+strings.TrimPrefix(text, "{\n")))
			f.do("POST", "/v0/b2b/csc/v2/credentials/list", "{}", "Content-Type", "application/json").is(http.StatusOK)
			f.do("GET", "/v1/signdoc/convert/pdf/specs", "").is(http.StatusOK)
			f.do("POST", "/csc/v2/oauth2/token", "", "Content-Type", "application/x-www-form-urlencoded").is(http.StatusBadRequest)
			log := f.logged()
			for _, scope := range []string{"esign/b2b", "esign esign/nnin", "esign/csc"} {
				if !strings.Contains(log, `"msg":"obtained token"`) || !strings.Contains(log, `"scope":"`+scope+`"`) {
					t.Errorf("there is no token for %s: %s", scope, log)
				}
			}
			return
		}
	}
	t.Error("no document has one")
}

// The files and headings that the documents link to exist.
func TestDocumentsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, d := range readDocuments(t) {
		for _, match := range link.FindAllStringSubmatch(documents.WithoutBlocks(d.Text), -1) {
			target := match[1]
			if strings.Contains(target, "://") {
				continue
			}
			file, anchor, _ := strings.Cut(target, "#")
			if file == "" {
				file = d.Path
			} else {
				file = filepath.Join(filepath.Dir(d.Path), file)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", d.Path, target, err)
				continue
			}
			if anchor == "" {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(anchors(string(text)), anchor) {
				t.Errorf("%s links to %s, which has no such heading", d.Path, target)
			}
		}
	}
}

// anchors returns the anchors that GitHub makes of the headings in a Markdown text.
func anchors(text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(documents.WithoutBlocks(text), -1) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(match[1]), "")
		found = append(found, strings.ReplaceAll(anchor, " ", "-"))
	}
	return found
}

// The Go files that the page for contributors names exist.
func TestDocumentsFilesForContributors(t *testing.T) {
	text, err := os.ReadFile("../.github/CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`[a-z0-9_*]+\.go\b`).FindAllString(string(text), -1)
	if len(names) < 20 {
		t.Errorf("it names %d", len(names))
	}
	for _, name := range names {
		found := false
		for _, dir := range []string{"..", ".", "../tokenauth", "../tokenauth/gateway", "internal/download", "internal/upload", "../tokenauth/bankid", "../tokenauth/bankid/sandbox"} {
			files, err := filepath.Glob(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			found = found || len(files) > 0
		}
		if !found {
			t.Errorf("there is no %s", name)
		}
	}
}
