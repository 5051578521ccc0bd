package caddyesign_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// adminOpen is the beginning of the warning about an open admin endpoint.
const adminOpen = "every user of this machine can load a configuration"

// validated returns the log of loading a configuration as "caddy validate" does.
// options are the global options of the Caddyfile.
func validated(t *testing.T, options string) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	var cfg caddy.Config
	if err := json.Unmarshal(adapt(t, "{\nlog {\noutput file "+log+"\n}\n"+options+"\n}"), &cfg); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&cfg); err != nil {
		t.Fatal(err)
	}
	logged, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(logged)
}

// secretFile returns the name of a file with the given mode. It is in a directory with
// mode dirMode, below directories that everybody can use.
func secretFile(t *testing.T, mode, dirMode os.FileMode) string {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "secrets")
	file := filepath.Join(dir, "bankid")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(clientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{file: mode, dir: dirMode, base: 0o755, filepath.Dir(base): 0o755} {
		if err := os.Chmod(name, mode); err != nil { // regardless of the umask
			t.Fatal(err)
		}
	}
	return file
}

func TestOpenAdminEndpointIsTold(t *testing.T) {
	private := secretFile(t, 0o600, 0o755)
	app := func(credential string) string {
		return "bankid_esign {\nenvironment current\nclient_id x\n" + credential + "\n}"
	}
	t.Setenv("ADMIN_SOCKET", "unix//run/x/admin.sock|0600")
	for _, test := range []struct {
		name, admin string
		open        bool
	}{
		{"default", "", true},
		{"localhost", "admin localhost:2019", true},
		{"all addresses", "admin :2019", true},
		{"TCP in words", "admin tcp/127.0.0.1:2019", true},
		{"origins", "admin localhost:2019 {\nenforce_origin\norigins localhost:2019\n}", true},
		{"a socket that others can write to", "admin unix//run/x/admin.sock|0666", true},
		{"a socket that others can only write to", "admin unix//run/x/admin.sock|0202", true},
		{"a socket without a file", "admin unix/@admin|0600", true},
		{"a placeholder", "admin {env.ADMIN_ADDRESS}", true},
		{"off", "admin off", false},
		{"a socket of its owner", "admin unix//run/x/admin.sock|0600", false},
		{"a socket of a group", "admin unix//run/x/admin.sock|0660", false},
		{"a socket that others can read", "admin unix//run/x/admin.sock|0644", false},
		{"a socket as Caddy makes it", "admin unix//run/x/admin.sock", false},
		{"a relative socket", "admin unix/admin.sock|0600", false},
		{"a placeholder of a socket", "admin {env.ADMIN_SOCKET}", false},
	} {
		t.Setenv("ADMIN_ADDRESS", "localhost:2019")
		log := validated(t, test.admin+"\n"+app("client_secret {file."+private+"}"))
		if strings.Contains(log, adminOpen) != test.open {
			t.Errorf("%s: the log is %q, want a warning: %t", test.name, log, test.open)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(private, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, credential string
		told             string // the expected warning, "" if none
	}{
		{"that everybody may read", "client_secret {file." + secretFile(t, 0o644, 0o755) + "}", ""},
		{"that its owner may read", "client_secret {file." + private + "}", `"default client_secret"`},
		{"that a group may read", "client_secret {file." + secretFile(t, 0o640, 0o755) + "}", `"default client_secret"`},
		{"in a directory of its owner", "client_secret {file." + secretFile(t, 0o644, 0o700) + "}", `"default client_secret"`},
		{"by a link", "client_secret {file." + link + "}", `"default client_secret"`},
		{"that is not there yet", "client_secret {file./nowhere/bankid}", ""},
		{"a key", "private_key {file." + private + "}", `"default private_key"`},
		{"a key for DPoP", "client_secret {file." + secretFile(t, 0o644, 0o755) + "}\ndpop_key {file." + private + "}", `"default dpop_key"`},
		{"of the environment", "client_secret {env.SECRET}", `"default client_secret"`},
		{"written out", "client_secret " + strings.Fields(clientSecret)[0], `"default client_secret"`},
		{"of a client with a name", "client_secret {file." + secretFile(t, 0o644, 0o755) + "}\nclient seal {\nclient_id x\nprivate_key {file." + private + "}\n}", `"seal private_key"`},
	} {
		log := validated(t, app(test.credential))
		if told := strings.Contains(log, adminOpen); told != (test.told != "") || !strings.Contains(log, test.told) {
			t.Errorf("a credential %s: the log is %q, want a warning about %q", test.name, log, test.told)
		}
		showsNone(t, "the log", log)
	}
	if log := validated(t, "bankid_esign {\nenvironment sandbox\nclient_id x\nclient_secret {file."+private+"}\n}"); strings.Contains(log, adminOpen) {
		t.Errorf("of the sandbox, whose credentials are published: %s", log)
	}
}

// The check of a configuration also gives the warning, but not the check of one client.
func TestCheckTellsOfAnOpenAdminEndpoint(t *testing.T) {
	f := newFixture(t)
	config := filepath.Join(f.dir, "Caddyfile")
	write := func(admin string) {
		if err := os.WriteFile(config, []byte(strings.Replace(f.caddyfile(localSite), "admin off", admin, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("admin localhost:2019")
	run(t, "check", "--config", config).exits(0).prints(adminOpen)
	for _, admin := range []string{"admin off", "admin unix/" + f.dir + "/admin.sock|0600"} {
		write(admin)
		if out := run(t, "check", "--config", config).exits(0); strings.Contains(out.stderr, adminOpen) {
			t.Errorf("%s: %s", admin, out.stderr)
		}
	}
	if out := run(t, "check", "--issuer", f.issuer.Issuer(), "--client-id", "test-client", "--secret-file", f.secret, "--scope", "esign").exits(0); strings.Contains(out.stderr, adminOpen) {
		t.Errorf("of one client: %s", out.stderr)
	}
}
