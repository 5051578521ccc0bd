package caddyesign

import (
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/upload"
)

// ShortPauses makes the gateways that the test loads wait for a quarter of a second
// only if a caller stops sending. No gateway may be loaded yet.
func ShortPauses(t *testing.T) {
	t.Helper()
	var refs references
	if _, err := use(&refs, drainersKey{}, func() (drainers, error) {
		short := func() *upload.Drainer { return &upload.Drainer{Pause: 250 * time.Millisecond} }
		return drainers{callers: short(), strangers: short()}, nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = refs.release() })
}
