package archive_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
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

// unreadable is a storage that returns an error for manifests, although it has them.
type unreadable struct{ *memory }

func (u unreadable) Load(ctx context.Context, key string) ([]byte, error) {
	if strings.HasSuffix(key, ".manifest") {
		return nil, errGone
	}
	return u.memory.Load(ctx, key)
}

// A process that cannot see whether a caller of another process still reads does not delete the
// pieces, and deletes them later.
func TestPiecesStayWhileTheManifestCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{unable: true}
		a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
		a.keep(key, document(10))
		e, err := b.archive.For().Find(t.Context(), key, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(keep - 2*time.Minute)
		if _, err := e.Piece(t.Context(), 0); err != nil { // it stays for five minutes
			t.Fatal(err)
		}
		b.kill()
		a.attach(unreadable{s}, "secret")
		time.Sleep(3 * time.Minute)
		if _, err := e.Piece(t.Context(), 0); err != nil {
			t.Errorf("the error is %v", err)
		}
		a.attach(s, "secret")
		time.Sleep(10 * time.Minute)
		if keys := s.keys(all + "/downloads/v1"); !slices.Equal(keys, []string{all + "/downloads/v1/present"}) {
			t.Errorf("the storage still has %q", keys)
		}
	})
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

// A caller does not wait for the lease that another one extends.
func TestLeaseThatIsExtendedSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		g := newGateway(t, s, "secret")
		g.keep(key, document(10))
		e, err := g.archive.For().Find(t.Context(), key, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(keep - time.Minute)
		s.do(func(_ context.Context, operation, key string) error {
			if operation == "load" && strings.HasSuffix(key, ".manifest") {
				time.Sleep(9 * time.Second)
			}
			return nil
		})
		var first sync.WaitGroup
		first.Go(func() { _, _ = e.Piece(t.Context(), 0) })
		synctest.Wait()
		start := time.Now()
		if _, err := e.Piece(t.Context(), 0); err != nil || time.Since(start) > 0 {
			t.Errorf("after %v, the error is %v", time.Since(start), err)
		}
		first.Wait()
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
