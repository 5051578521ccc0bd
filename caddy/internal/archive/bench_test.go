package archive_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/archive"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// BenchmarkKeep compares a document of 30 MiB in the archive with the same pieces in the
// file system's storage alone.
func BenchmarkKeep(b *testing.B) {
	const count = 30
	piece := document(download.PieceSize)
	b.Run("storage alone", func(b *testing.B) {
		s := &certmagic.FileStorage{Path: b.TempDir()}
		b.SetBytes(count << 20)
		for range b.N {
			for n := range count {
				if err := s.Store(b.Context(), fmt.Sprintf("pieces/%d", n), piece); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("archive", func(b *testing.B) {
		a := archive.New()
		defer a.Close()
		defer a.Attach(archive.Settings{
			Storage: &certmagic.FileStorage{Path: b.TempDir()}, Keep: time.Minute,
			Secrets: func() ([][]byte, error) { return [][]byte{document(32)}, nil },
			Lost:    func(archive.Loss) {},
		})()
		b.SetBytes(count << 20)
		for i := range b.N {
			e, err := a.For("order").Begin(b.Context(), download.Key{byte(i), byte(i >> 8)})
			if err != nil {
				b.Fatal(err)
			}
			for n := range count {
				if err := e.Put(b.Context(), n, piece); err != nil {
					b.Fatal(err)
				}
			}
			if err := e.Commit(b.Context(), download.Meta{Status: 200, Length: count << 20}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
