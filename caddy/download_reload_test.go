package caddyesign_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// If downloads are not stored any more after a reload, callers get what was stored before, also by
// another process.
func TestDownloadsThatWereStoredBeforeAReload(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	f.global, f.app = "storage file_system "+storageDir(t), "downloads storage"
	f.start(localSite)
	f.do("DELETE", download("x"), "").is(200)
	if err := caddy.Stop(); err != nil { // the next configuration is like one of another process
		t.Fatal(err)
	}
	f.start(localSite)
	for range 2 { // another reload changes nothing
		f.app = "downloads memory"
		f.start(localSite)
		eventually(t, func() bool {
			response := f.do("DELETE", download("x"), "")
			return response.StatusCode == 200 && bytes.Equal(response.body, o.document("x"))
		})
	}
}

// What was stored is deleted in time, although the configuration does not allow copies any more.
func TestDownloadsAreDeletedAfterAReload(t *testing.T) {
	f := newFixture(t)
	f.serving(newOrders(1000))
	dir := storageDir(t)
	f.global, f.app = "storage file_system "+dir, "downloads storage {\nkeep 1s\n}"
	f.start(localSite)
	f.do("DELETE", download("x"), "").is(200)
	f.app = "downloads off"
	f.start(localSite)
	eventually(t, func() bool {
		names, err := filepath.Glob(filepath.Join(dir, "bankid_esign/downloads/v1/*"))
		return err == nil && len(names) == 0
	})
}
