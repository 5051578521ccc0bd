package documents

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/documents"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// notRun are the commands in the documents, and in the comments of the examples, that
// this test does not run, and the reason for each.
var notRun = map[string]string{
	"go test ./...": "is what runs this",
	"bash .ci/run":  "runs this, and is what CI runs",
	"xcaddy build --with github.com/esigngateway/caddy-bankid-esign":   "needs the published module; .ci/run builds with this checkout",
	"go get github.com/esigngateway/caddy-bankid-esign/tokenauth":      "needs the published module",
	"go test -run '^$' -bench . ./...":                                 "takes minutes; .ci/run runs every benchmark once",
	"go run . -out RESULTS.md":                                         "takes twenty minutes; the flags are tested in caddy/bench",
	"go run . -quick":                                                  "takes minutes; the flags are tested in caddy/bench",
	"go run . -parts scenarios -scenarios 'small h1'":                  "takes minutes; the flags are tested in caddy/bench",
	"go run . -parts scenarios -scenarios .":                           "takes an hour; the flags are tested in caddy/bench",
	"go run . -parts downloads -scenarios 'full speed'":                "takes minutes; the flags are tested in caddy/bench",
	"caddy bankid-esign check --config /etc/caddy/Caddyfile --storage": "takes half a minute; TestCheckOfASharedStorage and TestTrialOfAStorageThatWorks run its parts",
	"go run . -rounds 30 -slice 1s":                                    "takes an hour; the flags are tested in caddy/bench",
	"caddy bankid-esign status --config /etc/esign-gateway/Caddyfile":  "needs a booted systemd; TestStatusFindsTheAdminSocket asks by a socket",
	"docker build -t esign-gateway .":                                  "needs an engine; .ci/dockerfile runs the steps without one",
	"docker run -p 127.0.0.1:8443:443 -v esign-gateway:/data -v ./secrets:/run/secrets:ro -v ./callers-ca.pem:/etc/caddy/callers-ca.pem:ro -v ./Caddyfile:/etc/caddy/Caddyfile:ro -e BANKID_ENVIRONMENT -e BANKID_CLIENT_ID esign-gateway": "needs an engine; .ci/dockerfile runs what it would run",
	"install -D -m 600 -o 1000 -g 1000 /dev/stdin secrets/bankid":                                                               "is for a container",
	"BANKID_ENVIRONMENT=current BANKID_CLIENT_ID=your-client-id caddy bankid-esign check --config /etc/esign-gateway/Caddyfile": "the same is run with the file of the README",
	"systemctl reload esign-gateway":                                                                 "needs a booted systemd; .ci/run verifies the unit",
	"systemctl enable --now esign-gateway":                                                           "needs a booted systemd; .ci/run verifies the unit",
	"install -m 644 systemd.caddyfile /etc/esign-gateway/Caddyfile":                                  "changes the machine; TestExampleSidecar runs the file",
	"install -m 644 esign-gateway.service /etc/systemd/system/":                                      "changes the machine; .ci/run verifies the unit",
	"install -D -m 600 /dev/stdin /etc/esign-gateway/bankid":                                         "changes the machine",
	"CGO_ENABLED=1 xcaddy build --with github.com/esigngateway/caddy-bankid-esign/caddy/keys/pkcs11": "needs the published module; .ci/run builds with this checkout",
	"softhsm2-util --init-token --free --label seals":                                                "asks for PINs; the tests of caddy/keys/pkcs11 run it with PINs",
	"caddy bankid-esign keygen --key pkcs11 module /usr/lib/softhsm/libsofthsm2.so token seals label seal-2026 pin {file./run/secrets/pin}": "needs cgo; TestSealWithBothKeysInAnHSM runs it",
	`p11-kit server --foreground --provider /usr/lib/softhsm/libsofthsm2.so --name /run/seals/p11-kit.sock "pkcs11:token=seals"`:            "changes the machine; TestServerOfP11KitThatIsRestarted runs it",
	"xcaddy build --with github.com/esigngateway/caddy-bankid-esign/caddy/keys/tpm":                                                         "needs the published module; .ci/run builds with this checkout",
	"caddy bankid-esign keygen --key tpm key /etc/esign-gateway/seal.tpm":                                                                   "needs a TPM; TestSealWithBothKeysInATPM runs it with swtpm",
	"mkdir -p /tmp/tpm": "is for the next command",
	"swtpm socket --tpm2 --tpmstate dir=/tmp/tpm --server type=unixio,path=/tmp/tpm/socket --flags not-need-init,startup-clear": "runs until it is ended; the tests of caddy/keys/tpm run it",
	"install -D -m 644 esign-gateway-tpm.conf /etc/systemd/system/esign-gateway.service.d/tpm.conf":                             "changes the machine; .ci/run verifies the unit with it",
	"promtool check rules alerts.yml":     "TestAlertRules runs it",
	"promtool test rules alerts_test.yml": "TestAlertRules runs it",
}

// fails are parts of commands that fail, and the reason for each.
var fails = map[string]string{
	"--secret-file sandbox-secret": "is shown failing",
	"seal.pem --dpop":              "the sandbox's client has no such key",
}

// functions is shell code that the documents' commands need. If a document runs a
// server in another terminal, the server runs in the background until the next one
// starts, or until the end. The servers of the rehearsal run beside it until the end.
// If a command fails that is not a condition, it is written to the file "failed".
const functions = `
set -m -o pipefail
answers() { curl -s -o /dev/null "$1"; }
stop() {
	[[ -n ${server-} ]] || return 0
	kill -- "-$server"
	wait "$server" || true
	while answers http://127.0.0.1:9771; do sleep 0.1; done
	server=
}
serve() {
	stop
	env "$@" >>"$LOG" 2>&1 &
	server=$!
	until answers http://localhost:8080; do
		jobs %% >/dev/null || return
		sleep 0.1
	done
}
again() { # a new token is kept for ten seconds
	local out end=$((SECONDS + 60))
	until out=$("$@" 2>>"$LOG") && [[ $out != *'another one can be obtained'* ]]; do
		((SECONDS < end)) || return
		sleep 0.1
	done
	echo "$out"
}
signed() { # the sandbox signs after a second, in which a reader types the command
	local out end=$((SECONDS + 60))
	until out=$("$@") && [[ $out == *SIGN_COMPLETED* ]]; do
		((SECONDS < end)) || break
		sleep 0.1
	done
	echo "$out"
}
keep() { # beside the server, until the end
	local at=$1
	shift
	env "$@" >>"$LOG" 2>&1 &
	kept+=("$!")
	until answers "$at"; do
		jobs %% >/dev/null || return
		sleep 0.1
	done
}
end() {
	stop
	for job in ${kept[@]+"${kept[@]}"}; do
		kill -- "-$job" || true
		wait "$job" || true
	done
}
simulate() {
	"$@" >simulator &
	simulator=$!
	until grep -q certificate simulator; do
		jobs %% >/dev/null || return
		sleep 0.1
	done
	cat simulator
	kill -- "-$simulator"
	wait "$simulator" || true
}
trap end EXIT
trap 'echo "$BASH_COMMAND" >>failed' ERR
set -E
`

// The commands of the documents are run from a clone, in the order of the documents.
// They print what the documents say.
func TestDocumentsCommands(t *testing.T) {
	listed := maps.Clone(notRun)
	program := filepath.Join(t.TempDir(), "caddy")
	// The program is built in the same way as by "go run", which the README uses.
	repo := repository(t)
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./caddy/esigncaddy")
	build.Dir = repo
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	all, err := documents.Read(repo)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		var script strings.Builder
		var want []string
		for _, b := range d.Blocks {
			switch b.Kind {
			case "sh":
				commands, skipped := runnable(b.Text)
				for _, cmd := range skipped {
					delete(listed, cmd)
				}
				script.WriteString(commands + "\nprintf '\\n%s\\n' '" + endOfBlock + "'\n")
				want = append(want, "")
			case "json", "text":
				if len(want) == 0 {
					t.Errorf("%s: output of no command: %s", d.Path, b.Text)
					continue
				}
				want[len(want)-1] = tidy(b.Text)
			}
		}
		if !regexp.MustCompile(`(?m)^(serve|simulate|caddy|curl|go) `).MatchString(script.String()) {
			continue
		}
		commands := script.String()
		// A page may begin with BankID's test environment, before a gateway starts that
		// brings the sandbox along.
		if before, _, _ := strings.Cut("\n"+commands, "\nserve "); strings.Contains(before, "--environment current") {
			commands = "serve caddy run --config Caddyfile.example\n" + commands
		}
		t.Run(filepath.Base(d.Path), func(t *testing.T) {
			got := strings.Split(inAClone(t, program, commands), endOfBlock+"\n")
			if len(got) != len(want)+1 {
				t.Fatalf("%d of %d blocks were run:\n%s", len(got)-1, len(want), strings.Join(got, "\n"))
			}
			for i := range want {
				if printed := tidy(got[i]); want[i] != "" && printed != want[i] {
					t.Errorf("block %d prints\n%s\nand the document says\n%s", i+1, printed, want[i])
				}
			}
		})
	}
	for _, cmd := range exampleCommands(t) {
		delete(listed, cmd)
	}
	for cmd := range listed {
		t.Errorf("no document has %q", cmd)
	}
}

// endOfBlock marks the end of a block's output.
const endOfBlock = "--8<--"

// orderStatus matches a command that asks for the status of an order.
var orderStatus = regexp.MustCompile(`^curl -s "http://localhost:8080/\S+\?sign_id=\$\w+"$`)

// runnable returns the commands of a block that are run, and those that are skipped.
func runnable(commands string) (run string, skipped []string) {
	var lines []string
	for line := range strings.Lines(commands) {
		line = strings.TrimSuffix(line, "\n")
		cmd := strings.TrimSpace(regexp.MustCompile(`\s{2,}(#|\().*`).ReplaceAllString(line, ""))
		switch {
		case notRun[cmd] != "":
			skipped = append(skipped, cmd)
		case cmd == "caddy run --config rehearsal.caddyfile":
			lines = append(lines, "keep http://localhost:8081 "+cmd)
		case strings.HasPrefix(cmd, "caddy bankid-esign sandbox") && strings.HasSuffix(cmd, " --b2b-jwks rehearsal.jwks"):
			lines = append(lines, "keep http://127.0.0.1:9773 "+cmd)
		case regexp.MustCompile(` run --config \S+$`).MatchString(cmd):
			lines = append(lines, "serve "+cmd)
		case strings.HasPrefix(cmd, "caddy bankid-esign sandbox"):
			lines = append(lines, "simulate "+cmd)
		case strings.HasPrefix(cmd, "caddy bankid-esign refresh"):
			lines = append(lines, "again "+cmd)
		case orderStatus.MatchString(cmd):
			lines = append(lines, "signed "+cmd)
		default:
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n"), skipped
}

// repository returns the root of the repository.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// inAClone runs a script in a directory that looks like a clone of the repository, and
// returns what it prints. There, "caddy" is program, ports are changed, BankID's test
// environment is the sandbox, and the files of a server are in the clone.
func inAClone(t *testing.T, program, script string) string {
	t.Helper()
	repo := repository(t)
	dir := t.TempDir()
	var there, back []string
	for _, port := range []string{"8080", "8081", "9180", "9772", "9773"} {
		free := ports.Free(t, "127.0.0.1")
		there, back = append(there, ":"+port, ":"+free), append(back, ":"+free, ":"+port)
	}
	here := strings.NewReplacer(append(there,
		"BANKID_ENVIRONMENT=current", "BANKID_ENVIRONMENT=sandbox", "--environment current", "--issuer http://127.0.0.1:9771/auth/realms/sandbox",
		"your-client-id", "sandbox-client",
		"/run/secrets/", dir+"/run/secrets/", "/etc/caddy/", dir+"/etc/caddy/")...)
	link := func(from, to string) {
		entries, err := os.ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if err := os.Symlink(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil && !os.IsExist(err) {
				t.Fatal(err)
			}
		}
	}
	write := func(name, content string, mode os.FileMode) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	for copied, from := range map[string]string{"Caddyfile.example": "Caddyfile.example", "caddy/ops/Caddyfile": "caddy/ops/Caddyfile", "etc/caddy/Caddyfile": "Caddyfile.example"} {
		text, err := os.ReadFile(filepath.Join(repo, from))
		if err != nil {
			t.Fatal(err)
		}
		write(copied, here.Replace(string(text)), 0o600)
	}
	write("run/secrets/bankid", "not/a:secret + 100%fake & public\n", 0o600)
	write("bin/caddy", "#!/bin/sh\nexec "+program+" \"$@\"\n", 0o700)
	for _, below := range []string{".", "caddy", "caddy/ops"} {
		link(filepath.Join(repo, below), filepath.Join(dir, below))
	}

	if strings.Contains(script, "keystore.p12") {
		writeKeystore(t, dir)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // compiling Caddy takes most of it
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", here.Replace(functions+script))
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "BANKID_") || strings.HasPrefix(v, "XDG_") || strings.HasPrefix(v, "CADDY_ADMIN=")
	})
	cmd.Env = append(cmd.Env, "PATH="+dir+"/bin:"+os.Getenv("PATH"), "LOG="+dir+"/log",
		"XDG_RUNTIME_DIR="+dir, "XDG_DATA_HOME="+dir+"/data", "XDG_CONFIG_HOME="+dir+"/config")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("%v: %s\n%s\n%s", err, out, stderr.String(), log)
	}
	failed, err := os.ReadFile(filepath.Join(dir, "failed"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(failed)) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(fails)), func(part string) bool { return strings.Contains(line, part) }) {
			t.Errorf("it failed: %s%s", line, stderr.String())
		}
	}
	return strings.NewReplacer(back...).Replace(string(out))
}

// writeKeystore writes a PKCS#12 keystore to dir, and a file with its password.
func writeKeystore(t *testing.T, dir string) {
	t.Helper()
	const script = `umask 077 && echo s3cret >keystore.password &&
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=keystore -keyout keystore.key -out keystore.crt &&
openssl pkcs12 -export -inkey keystore.key -in keystore.crt -passout file:keystore.password -out keystore.p12`
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// These texts differ from run to run, or with the version of Caddy.
var differing = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`(sandbox|SANDBOX)-[A-Z0-9]{26}`), "$1-…"},
	{regexp.MustCompile(`"signatures":\["[A-Za-z0-9+/=]+"\]`), `"signatures":["…"]`},
	{regexp.MustCompile(`"(padesSignedPdf|padesB64)":"JVBERi0[A-Za-z0-9+/=]+"`), `"$1":"JVBERi0…"`},
	{regexp.MustCompile(`"(signedDocumentSha256|unsignedDocumentSha256)":"[A-Za-z0-9+/=]{44}"`), `"$1":"…"`},
	{regexp.MustCompile(`"(ocspResponse|ocspB64)":"MII[A-Za-z0-9+/=]+"`), `"$1":"MII…"`},
	{regexp.MustCompile(`"signingTime":"[^"]+"`), `"signingTime":"…"`},
	{regexp.MustCompile(`expires in \w+`), "expires in …"},
	{regexp.MustCompile(`(?m)^Date: .*$`), "Date: …"},
	{regexp.MustCompile(`kid [A-Za-z0-9_-]{43}`), "kid …"},
	{regexp.MustCompile(`Caddy v\S+ h1:\S+`), "Caddy …"},
}

// tidy replaces texts in output that differ from run to run, and removes empty lines.
func tidy(output string) string {
	for _, d := range differing {
		output = d.form.ReplaceAllString(output, d.as)
	}
	var lines []string
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// exampleCommands returns the commands in the comments of the examples, without a text
// in parentheses after them.
func exampleCommands(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository(t), "caddy/examples/*"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range append(files, filepath.Join(repository(t), "Caddyfile.example")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^#\t(\S.*?)(?:\s{2,}\(.*\))?$`).FindAllStringSubmatch(string(text), -1) {
			found = append(found, match[1])
		}
	}
	return found
}

// The commands in the comments of the examples are run, or listed in notRun. The test
// of an example runs its calls, and the README's test starts Caddyfile.example.
func TestExampleCommandsAreRun(t *testing.T) {
	for _, cmd := range exampleCommands(t) {
		if strings.HasPrefix(cmd, "curl ") || notRun[cmd] != "" || cmd == "go run ./caddy/esigncaddy run --config Caddyfile.example" {
			continue
		}
		t.Errorf("%q is neither run nor listed", cmd)
	}
}
