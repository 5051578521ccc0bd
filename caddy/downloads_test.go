package caddyesign_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// storageDir returns a directory for a storage.
func storageDir(t *testing.T) string {
	t.Helper()
	// Not t.TempDir, which must be empty in the end: an operation of the storage that was
	// under way may make the directory again.
	dir, err := os.MkdirTemp("", "storage")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { eventually(t, func() bool { return os.RemoveAll(dir) == nil }) })
	return dir
}

func TestBadDownloads(t *testing.T) {
	t.Setenv("SHORT_SEAL", "only a short text")
	for _, test := range []struct{ name, downloads, want string }{
		{"unknown mode", `{"mode": "disk"}`, "unknown downloads 'disk': must be off, memory or storage"},
		{"negative keep", `{"keep": -1}`, "keep of downloads must be a positive duration such as 10m; to keep nothing, write 'downloads off'"},
		{"keep without a unit", `{"keep": 600}`, `keep of downloads 600ns is too short to be meant`},
		{"off with keep", `{"mode": "off", "keep": "1m"}`, "downloads off keeps nothing"},
		{"seal key in memory", `{"seal_keys": ["{env.X}"]}`, "seal_key is for 'downloads storage'"},
		{"short seal key", `{"mode": "storage", "seal_keys": ["secret-text"]}`, "the key has 11 characters, and must have at least 32"},
		{"short seal key by placeholder", `{"mode": "storage", "seal_keys": ["{env.SHORT_SEAL}"]}`, "seal_key from {env.SHORT_SEAL}: the key has 17 characters"},
		{"seal key of a request", `{"mode": "storage", "seal_keys": ["{http.request.uri}"]}`, "only {env.*} and {file.*} can"},
	} {
		t.Run(test.name, func(t *testing.T) {
			app := strings.TrimSuffix(goodApp, "},") + `, "downloads": ` + test.downloads + "},"
			if err := validate(t, app, goodHandler); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret-text") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestWarningsAboutDownloads(t *testing.T) {
	dir := storageDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	written := strings.Repeat("0123456789abcdef", 2)
	for _, test := range []struct{ name, global, app, want string }{
		{"long keep", "", "downloads memory {\nkeep 61m\n}", "downloads are kept for more than an hour"},
		{"written out", "storage file_system " + dir, "downloads storage {\nseal_key " + written + "\n}", "a seal_key is written out in the configuration"},
		{"missing", "storage file_system " + dir, "downloads storage {\nseal_key {file." + dir + "/none}\n}", "a seal_key cannot be read; until it can, downloads are kept in memory only"},
		{"unwritable", "storage file_system " + file, "downloads storage", "the storage does not keep downloads, so they are kept in memory only"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.global, f.app = test.global, test.app
			f.start(localSite)
			eventually(t, func() bool { return strings.Contains(f.logged(), test.want) })
			if strings.Contains(f.logged(), written) {
				t.Error("the log shows the key")
			}
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is good causes no warning.
func TestNoWarningAboutDownloads(t *testing.T) {
	for _, app := range []string{"downloads off", "downloads memory {\nkeep 1h\n}", "downloads storage", "downloads storage {\nseal_key {env.SEAL}\n}"} {
		f := newFixture(t)
		t.Setenv("SEAL", strings.Repeat("0123456789abcdef", 2))
		dir := storageDir(t)
		f.global, f.app = "storage file_system "+dir, app
		f.start(localSite)
		probed := filepath.Join(dir, "bankid_esign", "downloads", "v1")
		if strings.Contains(app, "storage") {
			eventually(t, func() bool {
				entries, err := os.ReadDir(probed)
				return err == nil && len(entries) == 0
			})
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		if strings.Contains(f.logged(), "seal_key") || strings.Contains(f.logged(), "downloads are kept") || strings.Contains(f.logged(), "storage does not keep") {
			t.Errorf("%s: it warns", app)
		}
	}
}
