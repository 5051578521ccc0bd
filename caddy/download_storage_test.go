package caddyesign_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// BankID does not have a document that was handed over once. If the storage, which has it,
// cannot be read, a 404 would make the caller give it up. So the caller is told to ask again.
func TestA404IsNotBelievedWithoutTheStorage(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	dir := storageDir(t)
	f.global, f.app = "storage file_system "+dir, "downloads storage"
	f.start(localSite)
	f.do("DELETE", download("x"), "").is(200)
	if err := caddy.Stop(); err != nil { // the next configuration is like one of another process
		t.Fatal(err)
	}
	f.start("header X-Site it\n" + localSite)
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(away) })
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		response := f.do("DELETE", download("x"), "").is(503).byGateway("proxy_internal_error")
		if response.Header.Get("Retry-After") != "5" || response.Header.Get("X-Site") != "it" || response.Header.Get("Via") != "" {
			t.Errorf("the header is %v", response.Header)
		}
	}
	if !strings.Contains(f.logged(), "the storage does not work") {
		t.Error("the log does not say why")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	if response := f.do("DELETE", download("x"), "").is(200); !bytes.Equal(response.body, o.document("x")) {
		t.Errorf("the caller got %d bytes", len(response.body))
	}
}
