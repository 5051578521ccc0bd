package caddyesign_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// newSharing returns a fixture whose client shares its tokens through a directory.
func newSharing(t *testing.T) (f *fixture, storage string) {
	dir := t.TempDir()
	t.Cleanup(func() {
		// When the gateway ends, an interrupted attempt may still write.
		eventually(t, func() bool { return os.RemoveAll(dir) == nil })
	})
	f = newFixture(t)
	storage = filepath.Join(dir, "storage")
	f.global, f.app = "storage file_system "+storage, "share_tokens"
	return f, storage
}

func TestSharedTokenOutlivesTheProcessAndCannotBeRead(t *testing.T) {
	f, storage := newSharing(t)
	f.start(localSite)
	f.do("GET", path, "").is(200)
	token := f.upstream.seen()[0].Header.Get("Authorization")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	f.start(localSite)
	f.do("GET", path, "").is(200)
	if again := f.upstream.seen()[0].Header.Get("Authorization"); again != token {
		t.Error("after a restart, the gateway has another token")
	}
	entries := 0
	err := filepath.WalkDir(filepath.Join(storage, "tokenauth"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		entries++
		content, err := os.ReadFile(name)
		for _, plain := range []string{strings.TrimPrefix(token, "Bearer "), clientSecret, "test-client", "token_endpoint"} {
			if bytes.Contains(content, []byte(plain)) {
				t.Errorf("%s can be read in the storage", plain)
			}
		}
		return err
	})
	if err != nil || entries < 2 {
		t.Errorf("%d entries are stored: %v", entries, err)
	}
}

func TestF22StorageThatFailsIsSaidOnceAndCostsNoCall(t *testing.T) {
	f, storage := newSharing(t)
	f.app += "\nrefresh_before 4m" // of five minutes
	if err := os.WriteFile(storage, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := f.earlier()
	admin := f.startMeasured(localSite)
	f.do("GET", path, "").is(200)
	f.do("GET", path, "").is(200)
	const alone = `"tokens are not shared: this server obtains its own"`
	eventually(t, func() bool { return strings.Contains(f.logged(), alone) })
	if n := strings.Count(f.logged(), alone); n > 3 {
		t.Errorf("it is said %d times of three sources", n)
	}
	const counted = `caddy_bankid_esign_storage_failures_total{client="default",kind="unreachable"}`
	if newScrape(t, admin)[counted] <= before[counted] {
		t.Error("it is not counted")
	}
	if err := os.Remove(storage); err != nil {
		t.Fatal(err)
	}
	f.start("# another configuration\n" + localSite)
	f.do("GET", path, "").is(200)
}

func TestSharedTokensForB2BNeedAKey(t *testing.T) {
	f := newB2B(t)
	f.app = strings.Replace(f.app, "client_id b2b-client", "client_id b2b-client\nshare_tokens", 1)
	err := caddy.Load(adapt(t, f.caddyfile(f.b2bSite(""))), true)
	if err == nil || !strings.Contains(err.Error(), "client 'b2b' has no dpop_key") {
		t.Errorf("the error is %v", err)
	}
}
