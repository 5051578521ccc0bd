package validators

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installed is where .ci/run installs what the validators need.
const installed = "../../../.cache/validators"

// verdicts are what the validators say of files: lines, by the name of the file.
type verdicts map[string][]string

// validate has all validators judge files. They trust root.
func validate(t *testing.T, root string, files map[string][]byte) verdicts {
	t.Helper()
	dir := t.TempDir()
	said := make(verdicts)
	var names []string
	var paths strings.Builder
	for name, file := range files {
		path := filepath.Join(dir, name+".pdf")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		paths.WriteString(path + "\n")
		said[name] = append(said[name], pdfsig(path)...)
		said[name] = append(said[name], qpdf(path)...)
	}
	java := exec.CommandContext(t.Context(), "java", "-cp", installed+"/java/*", "Validators.java", root)
	python := exec.CommandContext(t.Context(), "python3", "validators.py", root)
	python.Env = append(os.Environ(), "PYTHONPATH="+installed+"/python")
	for _, program := range []*exec.Cmd{java, python} {
		program.Stdin = strings.NewReader(paths.String())
		var stderr bytes.Buffer
		program.Stderr = &stderr
		out, err := program.Output()
		blocks := strings.Split(strings.TrimSuffix(string(out), "\n\n"), "\n\n")
		if err != nil || len(blocks) != len(names) {
			t.Fatalf("%v: %d of %d files: %v; .ci/run installs what it needs\n%s", program.Args, len(blocks), len(names), err, &stderr)
		}
		for i, block := range blocks {
			said[names[i]] = append(said[names[i]], strings.Split(block, "\n")...)
		}
	}
	return said
}

// pdfsig returns the line of each signature that tells whether it is valid, with the name
// of the signer.
func pdfsig(path string) []string {
	out, err := exec.Command("pdfsig", "-nocert", path).Output()
	if err != nil && len(out) == 0 {
		return []string{"pdfsig: " + err.Error()}
	}
	var lines []string
	signer := ""
	for line := range strings.SplitSeq(string(out), "\n") {
		key, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), ": ")
		switch key {
		case "Signer Certificate Common Name":
			signer = value
		case "Signature Validation":
			lines = append(lines, "pdfsig: "+value+" By "+signer)
		}
	}
	return lines
}

func qpdf(path string) []string {
	if out, err := exec.Command("qpdf", "--check", path).CombinedOutput(); err != nil {
		return []string{"qpdf: " + strings.TrimSpace(string(out))}
	}
	return []string{"qpdf: ok"}
}

// of returns the lines of one validator.
func (v verdicts) of(name, validator string) []string {
	var lines []string
	for _, line := range v[name] {
		if rest, ok := strings.CutPrefix(line, validator+": "); ok {
			lines = append(lines, rest)
		}
	}
	return lines
}
