package caddyesign

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// caddysReading returns what `caddy environ --envfile` adds to the environment, and
// whether Caddy accepts the file.
func caddysReading(t *testing.T, file string) (added map[string]string, ok bool) {
	t.Helper()
	cmd := new(cobra.Command)
	caddycmd.Commands()["environ"].CobraFunc(cmd)
	if err := cmd.Flags().Set("envfile", file); err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	var err error
	if os.Stdout, err = os.Open(os.DevNull); err != nil { // it prints the environment to it
		t.Fatal(err)
	}
	defer os.Stdout.Close()
	before := os.Environ()
	ok = cmd.RunE(cmd, nil) == nil
	added = make(map[string]string)
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); !slices.Contains(before, variable) {
			added[name] = value
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return added, ok
}

// An environment file has the same meaning for these commands as for Caddy.
func TestEnvFilesAreReadAsCaddyDoes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	for _, content := range []string{
		"",
		"A=1\nB=2\n",
		"A=1\r\nB=2\r\n",
		"A=1\nA=2",
		"  A=1  \n\n# B=2\n\t# C=3\nexport D=4\n",
		"A=\nB=\"\"\nC=''\n",
		"A=x=y==\n",
		"A=value # comment\nB=va#lue\nC=#all\n",
		"A=\"a # b\"\nB='c#d'\n",
		"A=\"in quotes\"\nB='in others'\nC=\"it's\"\nD=half\"\nE='half\n",
		"A=\"first\nsecond\nthird\"\nB=2\n",
		"A='first\nsec\\'ond'\nB=2\n",
		"A=\"say \\\"hi\\\"\nthere\"\n",
		"A=\"never ends\nB=2\n",
		"A=\"\nB=2\n",
		"A=$B ${C} $(D) `E`\n",
		"A=\\n\\t\\\\\n",
		"a.b-c=1\n1=2\n",
		"\ufeffA=1\n",
		"A=blåbær\u00a0\n",
		"A:1\n",
		"export A\n",
		"=1\n",
		"export =1\n",
		"A =1\n",
		"A\t=1\n",
		"A= 1\n",
		"A=\t1\n",
		"A = 1\n",
		"export  A=1\n",
		"A=\x001\n",
		"A=1\nB=" + strings.Repeat("x", 70000) + "\n",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		added, ok := caddysReading(t, file)
		variables, err := parseEnvFile(strings.NewReader(content))
		if strings.ContainsRune(content, 0) {
			err = loadEnvFile(file)
		}
		if (err == nil) != ok {
			t.Errorf("%.40q: the error is %v; Caddy accepts it: %v", content, err, ok)
		}
		if !ok {
			continue
		}
		if !maps.Equal(variables, added) {
			t.Errorf("%.40q: the variables are %q, and Caddy adds %q", content, variables, added)
		}
	}
}

// Errors about an environment file show none of its secrets.
func TestEnvFileErrorsShowNoSecret(t *testing.T) {
	const secret = "hush-hush"
	for _, content := range []string{
		secret, secret + " x=1", "my " + secret + "=1", "A= " + secret, "A=\t" + secret, "=" + secret, secret + "=\x00", "A=" + secret + "\x00",
	} {
		file := filepath.Join(t.TempDir(), "env")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := loadEnvFile(file)
		if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: the error is %v", content, err)
		}
	}
}
