package caddyesign_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// If the API's host never processes a call, the caller reads that it can retry it.
func TestCallThatIsNeverProcessed(t *testing.T) {
	waits(t)
	f := newFixture(t)
	ca := newCA(t)
	cert := ca.issue(t, "")
	file := filepath.Join(f.dir, "ca.pem")
	if err := os.WriteFile(file, ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	streams := make(map[string]int) // by method
	port := listen(t, func(conn net.Conn) {
		conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
		_, _ = io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
		framer := http2.NewFramer(conn, conn)
		framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		_ = framer.WriteSettings()
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = framer.WriteSettingsAck()
				}
			case *http2.MetaHeadersFrame:
				mu.Lock()
				streams[frame.PseudoValue("method")]++
				mu.Unlock()
				_ = framer.WriteRSTStream(frame.StreamID, http2.ErrCodeRefusedStream)
			}
		}
	})
	f.start(`bankid_esign signdoc {
		callers local
		upstream signdoc https://localhost:` + port + `
		transport http {
			tls_trust_pool file ` + file + `
		}
	}`)
	var calls sync.WaitGroup // the gateway pauses for some seconds
	for method, body := range map[string]string{"POST": "{}", "DELETE": ""} {
		calls.Go(func() {
			response := f.do(method, path, body).is(503).byGateway("destination_unavailable")
			if response.Header.Get("Retry-After") == "" {
				t.Errorf("%s: there is no Retry-After", method)
			}
			mu.Lock()
			defer mu.Unlock()
			if n := streams[method]; n != 11 {
				t.Errorf("%s: it was sent %d times, want 11", method, n)
			}
		})
	}
	calls.Wait()
}
