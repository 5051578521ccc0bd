package caddyesign_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/caddyserver/caddy/v2"
)

// wantEmpty asserts that path does not exist.
func wantEmpty(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%s is there: %v", path, err)
	}
}

// If tokens are shared, check tries the storage too, even if BankID OIDC cannot be
// reached. It leaves the storage as it was.
func TestCheckOfASharedStorage(t *testing.T) {
	waits(t)
	t.Parallel()
	f, storage := newSharing(t)
	f.issuer.Close()
	out := run(t, "check", "--config", f.writeConfig(localSite)).exits(1).prints(
		"FAIL discovery",
		"storage file_system ok value 3072 and 65536 bytes are read as they were written",
		"ok overwriting a new value is seen at once",
		"ok missing key", "ok ended context", "ok speed",
		"ok locks another instance waits for a lock", "ok ended waiting", "ok one name",
		"holders not tried, since it takes long: --storage does",
		"ok verdict fit for share_tokens",
	)
	if strings.Contains(out.stdout+out.stderr, storage) {
		t.Errorf("it shows the configuration of the storage: %s%s", out.stdout, out.stderr)
	}
	wantEmpty(t, storage)
}

// If they are not shared, it does not try the storage.
func TestCheckOfAStorageThatIsNotShared(t *testing.T) {
	f, storage := newSharing(t)
	f.app = ""
	if out := run(t, "check", "--config", f.writeConfig(localSite)).exits(0); strings.Contains(out.stdout, "storage") {
		t.Errorf("it prints %s", out.stdout)
	}
	wantEmpty(t, storage)
}

// A storage that cannot be written to is unfit. The terminal output and the JSON use
// the same words. A configuration that has nothing but a storage can be tried, too.
func TestCheckOfAStorageThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("{\nstorage file_system "+dir+"/file/storage\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "check", "--config", config, "--storage").exits(1).prints(
		"storage file_system FAIL value", "not a directory", "FAIL verdict unfit for share_tokens: each gateway asks for its own tokens")
	out := run(t, "check", "--config", config, "--storage", "--json").exits(1)
	var report struct {
		OK      bool
		Storage struct {
			OK              bool
			Module, Verdict string
			Findings        []struct{ Name, Result, Text string }
			Median          *float64 `json:"median_seconds"`
		}
	}
	if err := json.Unmarshal([]byte(out.stdout), &report); err != nil {
		t.Fatalf("it prints %s: %v", out.stdout, err)
	}
	s := report.Storage
	if out.stderr != "Error: the check found something that does not work\n" || report.OK || s.OK || s.Module != "file_system" || s.Verdict != "unfit" || s.Median != nil || s.Findings[0].Name != "value" || s.Findings[0].Result != "fail" {
		t.Errorf("the report is %s%s", out.stdout, out.stderr)
	}
	run(t, "check", "--storage", "--environment", "sandbox").exits(2).prints("--storage is about the storage of a configuration")
	if err := os.WriteFile(config+".json", []byte(`{"storage":{"module":"nothing"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "check", "--config", config+".json", "--storage").exits(2).prints("the storage of the configuration: module not registered: caddy.storage.nothing")
}

// A brokenStorage cannot be loaded.
type brokenStorage struct {
	How      string `json:"how"`
	Password string `json:"password"`
	caddy.StorageConverter
}

// loads counts the instances of a brokenStorage that loads only once.
var loads atomic.Int32

func init() {
	caddy.RegisterModule(brokenStorage{})
	caddy.RegisterModule(signalledStorage{})
}

// CaddyModule implements caddy.Module.
func (brokenStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.broken", New: func() caddy.Module { return new(brokenStorage) }}
}

// Provision implements caddy.Provisioner.
func (b *brokenStorage) Provision(caddy.Context) error {
	switch {
	case b.How == "panic":
		panic(clientSecret)
	case b.How == "second" && loads.Add(1) == 1:
		b.StorageConverter = &signalledStorage{}
		return nil
	}
	return &os.PathError{Op: "dial", Path: "db://gateway:" + b.Password + "@storage.internal/caddy?sslmode=off", Err: os.ErrDeadlineExceeded}
}

// The errors of a storage that cannot be loaded are shown without secrets.
func TestCheckOfAStorageThatCannotBeLoaded(t *testing.T) {
	t.Setenv("TEST_STORAGE_PASSWORD", clientSecret)
	config := filepath.Join(t.TempDir(), "caddy.json")
	for how, want := range map[string][]string{
		"error": {
			"module 'broken': provision caddy.storage.broken: dial db://***@storage.internal/caddy?sslmode=off: i/o timeout",
			"FAIL verdict unfit for share_tokens: Caddy does not start with this storage",
		},
		"panic": {
			"FAIL loading the storage panicked while it was loaded",
			"FAIL verdict unfit for share_tokens: Caddy does not start with this storage",
		},
		"second": {
			"FAIL loading a second instance cannot be loaded: loading module 'broken': provision caddy.storage.broken: dial db://***@",
			"FAIL verdict unfit for share_tokens: only one process at a time can use this storage",
		},
	} {
		raw := `{"storage":{"module":"broken","how":"` + how + `","password":"` + clientSecret + `"}}`
		if err := os.WriteFile(config, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "check", "--config", config, "--storage").exits(1).prints(want...) // run also asserts that no secret is shown
	}
}

// A signalledStorage keeps files, and sends a signal to its own process before it stores
// one. If the process ignores the signal, nothing is stored.
type signalledStorage struct {
	Root   string `json:"root"`
	Signal int    `json:"signal"`
}

// CaddyModule implements caddy.Module.
func (signalledStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.signalled", New: func() caddy.Module { return new(signalledStorage) }}
}

// CertMagicStorage implements caddy.StorageConverter.
func (s *signalledStorage) CertMagicStorage() (certmagic.Storage, error) {
	return &signalledFiles{&certmagic.FileStorage{Path: s.Root}, syscall.Signal(s.Signal)}, nil
}

// signalledFiles are the files of a signalledStorage.
type signalledFiles struct {
	*certmagic.FileStorage
	signal syscall.Signal
}

// Store implements certmagic.Storage.
func (s *signalledFiles) Store(ctx context.Context, key string, value []byte) error {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(s.signal)
	}
	if err == nil && signal.Ignored(s.signal) {
		err = errors.New("the signal is ignored")
	}
	if err != nil {
		return err
	}
	return s.FileStorage.Store(ctx, key, value)
}

// A check leaves nothing behind if it is interrupted, or if its terminal is closed. If
// it was started with nohup, it goes on.
func TestCheckOfAStorageThatIsInterrupted(t *testing.T) {
	check := func(sent syscall.Signal) *output {
		dir := t.TempDir()
		config, root := filepath.Join(dir, "caddy.json"), filepath.Join(dir, "storage")
		raw := fmt.Sprintf(`{"storage":{"module":"signalled","root":%q,"signal":%d}}`, root, int(sent))
		if err := os.WriteFile(config, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		out := run(t, "check", "--config", config, "--storage").exits(1)
		wantEmpty(t, root)
		return out
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // or it is ignored where the tests were started with nohup
	defer signal.Stop(hangups)
	for _, sent := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		check(sent).prints("Error: interrupted")
	}
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	check(syscall.SIGHUP).prints("FAIL value 3072 bytes cannot be written: the signal is ignored", "FAIL verdict unfit")
}
