package archive_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// A caller that reads when the time of a download is over gets the rest, but nobody else gets
// the download then, and it is deleted soon after.
func TestDownloadStaysWhileACallerReads(t *testing.T) {
	type source interface {
		Piece(ctx context.Context, n int) ([]byte, error)
	}
	for _, where := range []string{"by its process", "by another process"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(memory)
				a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
				content := document(20 * download.PieceSize)
				own := a.begin(key)
				a.put(own, content)
				a.commit(own, content)
				var from source = own
				if where == "by another process" {
					e, err := b.archive.For().Find(t.Context(), key, time.Second)
					if err != nil {
						t.Fatal(err)
					}
					from = e
				}
				for n := range 20 {
					var others sync.WaitGroup
					others.Go(func() { _, _ = from.Piece(t.Context(), n) })
					piece, err := from.Piece(t.Context(), n)
					if err != nil || !bytes.Equal(piece, content[n*download.PieceSize:(n+1)*download.PieceSize]) {
						t.Fatalf("after %d minutes, piece %d has %d bytes, %v", n, n, len(piece), err)
					}
					others.Wait()
					time.Sleep(time.Minute)
				}
				newGateway(t, s, "secret").hasNot(key)
				a.kill()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if keys := s.keys(all); len(keys) > 0 {
					t.Errorf("the storage still has %q", keys)
				}
			})
		})
	}
}

// A caller that never ends does not keep a download for ever.
func TestReadingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		g := newGateway(t, s, "secret")
		g.keep(key, document(10))
		e, err := g.archive.For().Find(t.Context(), key, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); ; time.Sleep(time.Minute) {
			_, err := e.Piece(t.Context(), 0)
			if took := time.Since(start); err != nil || took > 2*time.Hour {
				if took < keep+50*time.Minute || took > keep+70*time.Minute {
					t.Errorf("after %v, the error is %v", took, err)
				}
				break
			}
		}
		if keys := s.keys(all); len(keys) > 0 {
			t.Errorf("the storage still has %q", keys)
		}
	})
}

// A download that is made again is not replaced by a caller who reads the former one.
func TestReadingDoesNotTouchALaterDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		g := newGateway(t, s, "secret")
		g.keep(key, document(10))
		e, err := g.archive.For().Find(t.Context(), key, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(keep - time.Minute)
		g.keep(key, document(20))
		_, _ = e.Piece(t.Context(), 0)
		g.has(key, document(20))
	})
}
