//go:build unix

package caddyesign_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A secret file that gives nothing blocks neither callers nor reloads.
func TestSecretThatDoesNotCome(t *testing.T) {
	f := newFixture(t)
	fifo := filepath.Join(f.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	file := f.secret
	f.secret = fifo
	f.app = "timeout 50ms"
	f.start(localSite)
	f.do("GET", path, "").is(502).byGateway("proxy_configuration_error")
	f.secret, f.app = file, "" // this leaves enough time for a token
	f.start(localSite)
	f.do("GET", path, "").is(200)
	// The reader that waits for the secret still gets it, and ends.
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	writer.Close()
}
