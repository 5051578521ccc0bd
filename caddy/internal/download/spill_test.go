package download

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What was committed is handed over by another process, also if the first one is gone.
func TestArchiveOutlivesTheStore(t *testing.T) {
	for _, size := range []int{10, PieceSize, 3*PieceSize + 10} {
		for _, length := range []int{-1, size} {
			synctest.Test(t, func(t *testing.T) {
				s, a, seen := new(Store), newShelf(), new(events)
				f := archived(t, s, 1, seen, a.of())
				f.recorder.Header().Set("X-Order", "1")
				f.header(length)
				f.send(document(size))
				f.recorder.Header().Set(http.TrailerPrefix+"X-Digest", "abc")
				if !f.end(true) || !bytes.Equal(a.content(1), document(size)) {
					t.Fatalf("the archive has %d bytes of %d", len(a.content(1)), size)
				}
				s.Close() // this loses nothing
				seen.are(t)
				other := new(Store)
				w := newWriter()
				if serve(t.Context(), claimIn(t, other, 1, seen, a.of(), false), w) || !bytes.Equal(w.content(), document(size)) {
					t.Errorf("the other process hands over %d bytes of %d", len(w.content()), size)
				}
				if w.status != 200 || w.sent.Get("X-Order") != "1" || w.header.Get(http.TrailerPrefix+"X-Digest") != "abc" {
					t.Errorf("the header is %v", w.header)
				}
				seen.are(t, HandedOver)
				if other.used != 0 || len(other.downloads) != 0 {
					t.Error("the other process keeps it")
				}
			})
		}
	}
}

// The last byte goes out only when the manifest is stored.
func TestLastByteWaitsForTheManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := new(Store), newShelf()
		stored := make(chan struct{})
		a.fail = func(operation string) error {
			if operation == "commit" {
				<-stored
			}
			return nil
		}
		f := archived(t, s, 1, &events{}, a.of())
		f.header(10)
		f.send(document(10))
		ended := make(chan bool)
		go func() { ended <- f.end(true) }()
		synctest.Wait()
		if n := len(f.w.content()); n != 9 {
			t.Errorf("before, the client has got %d bytes", n)
		}
		close(stored)
		if !<-ended || len(f.w.content()) != 10 {
			t.Error("the client did not get the last byte")
		}
		s.Close()
	})
}

// While another process downloads the same, a claim waits for it.
func TestClaimWaitsForAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, other, a := new(Store), new(Store), newShelf()
		defer s.Close()
		f := archived(t, s, 1, &events{}, a.of())
		f.header(10)
		f.send(document(9))
		synctest.Wait()
		w, ended := newWriter(), make(chan bool)
		go func() { ended <- serve(t.Context(), claimIn(t, other, 1, &events{}, a.of(), false), w) }()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, _, err := other.Claim(ctx, Key{1}, Options{Archive: a.of(), Observer: &events{}})
			left <- err
		}()
		time.Sleep(time.Hour)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("a client that leaves gets %v", err)
		}
		f.send(document(10)[9:])
		f.end(true)
		if <-ended || !bytes.Equal(w.content(), document(10)) {
			t.Errorf("the other process hands over %q", w.content())
		}
	})
}

// If the server does not have it any more, another process may have it meanwhile.
func TestArchiveIsAskedAgainBeforeA404(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other, a, seen := new(Store), newShelf(), new(events)
		late := archived(t, other, 1, seen, a.of())
		synctest.Wait()
		// Another process begins at the same time, and neither sees the mark of the other.
		e, _ := a.Begin(t.Context(), Key{1})
		_ = e.Put(t.Context(), 0, document(10))
		gave := make(chan bool)
		go func() {
			late.recorder.Header().Set("Content-Type", "text/plain")
			late.recorder.WriteHeader(http.StatusNotFound)
			_, _ = late.recorder.Write([]byte("not found"))
			gave <- late.recorder.End(true)
		}()
		synctest.Wait()
		if late.w.status != 0 {
			t.Error("the 404 is passed on although another process downloads it")
		}
		_ = e.Commit(t.Context(), Meta{Status: 200, Header: http.Header{"X-Order": {"1"}}, Length: 10})
		if !<-gave || late.w.status != 200 || !bytes.Equal(late.w.content(), document(10)) || late.w.sent.Get("X-Order") != "1" || late.w.sent.Get("Content-Type") != "" {
			t.Errorf("the client got %d, %v, %q", late.w.status, late.w.sent, late.w.content())
		}
		seen.are(t, HandedOver)
		synctest.Wait()
		if a.abandoned != 1 {
			t.Error("the mark stays")
		}
		// Otherwise the 404 is passed on.
		g := archived(t, other, 3, seen, a.of())
		g.recorder.WriteHeader(http.StatusNotFound)
		g.recorder.End(true)
		if synctest.Wait(); g.w.status != 404 || a.abandoned != 2 {
			t.Errorf("the client got %d", g.w.status)
		}
	})
}

// What is not whole, or not a document, is not stored.
func TestWhatIsNotKeptIsNotStored(t *testing.T) {
	for name, fetch := range map[string]func(f *fetch){
		"refused": func(f *fetch) { f.recorder.WriteHeader(400); f.end(true) },
		"broken":  func(f *fetch) { f.header(5 << 20); f.send(document(3 << 20)); f.end(false) },
		"short":   func(f *fetch) { f.header(5 << 20); f.send(document(3 << 20)); f.end(true) },
		"empty":   func(f *fetch) { f.header(0); f.end(true) },
		"large": func(f *fetch) {
			f.recorder.Header().Set("X-Large", strings.Repeat("x", maxHeader))
			f.header(1)
			f.end(true)
		},
		"large trailer": func(f *fetch) {
			f.header(-1)
			f.send(document(10))
			f.recorder.Header().Set(http.TrailerPrefix+"X-Large", strings.Repeat("x", maxHeader))
			f.end(true)
		},
		"nothing": func(f *fetch) { f.end(false) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := new(Store), newShelf()
				fetch(archived(t, s, 1, &events{}, a.of()))
				synctest.Wait()
				if a.abandoned != 1 || len(a.entries) != 0 || s.used != 0 {
					t.Errorf("%d entries were abandoned", a.abandoned)
				}
			})
		})
	}
}

// Downloads whose clients stall take up little memory if they are stored.
func TestStalledDownloadsAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 10 << 20
		content := document(size)
		s, a := new(Store), newShelf()
		defer s.Close()
		fetches, ended := make([]*fetch, 4), make(chan bool)
		for i := range fetches {
			f := archived(t, s, byte(i), &events{}, a.of())
			fetches[i] = f
			f.w.stall = make(chan struct{})
			f.header([]int{size, -1}[i%2])
		}
		for sent := 0; sent < size; sent += PieceSize {
			for _, f := range fetches {
				f.send(content[sent : sent+PieceSize])
				synctest.Wait() // the storage is fast enough
			}
			if s.used > storedLimit+4<<20 {
				t.Fatalf("%d bytes are in memory", s.used)
			}
		}
		for _, f := range fetches {
			go func() { ended <- f.end(true) }()
		}
		synctest.Wait()
		for i, f := range fetches {
			close(f.w.stall)
			if !<-ended || !bytes.Equal(f.w.content(), content) || !bytes.Equal(a.content(byte(i)), content) {
				t.Errorf("client %d got %d bytes", i, len(f.w.content()))
			}
		}
	})
}

// An archive from before is asked, but gets nothing, and nobody hears about its failures.
func TestFormerArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, seen := new(Store), newShelf(), new(events)
		defer s.Close()
		for key := range byte(2) {
			f := archived(t, new(Store), key, new(events), a.of())
			f.header(10)
			f.send(document(10))
			f.end(true)
		}
		options := Options{Former: a.of(), Observer: seen}
		d, first, err := s.Claim(t.Context(), Key{0}, options)
		if err != nil || first {
			t.Fatalf("it is not found: %v", err)
		}
		w := newWriter()
		if serve(t.Context(), d, w); !bytes.Equal(w.content(), document(10)) {
			t.Errorf("the client got %q", w.content())
		}
		seen.are(t, HandedOver)
		failing := true
		a.failWith(func(string) error {
			if failing {
				return errors.New("broken")
			}
			return nil
		})
		late := newFetchWith(t, s, 1, options)
		failing = false
		late.recorder.WriteHeader(http.StatusNotFound)
		if !late.recorder.End(true) || late.w.status != 200 || !bytes.Equal(late.w.content(), document(10)) {
			t.Errorf("before a 404, the client got %d, %q", late.w.status, late.w.content())
		}
		seen.are(t, HandedOver, HandedOver)
		f := newFetchWith(t, s, 2, options)
		f.header(10)
		f.send(document(10))
		if !f.end(true) || !isKept(s, 2) || a.content(2) != nil {
			t.Error("a new download is not kept in memory alone")
		}
		seen.are(t, HandedOver, HandedOver)
	})
}

// Many small downloads at once are all kept although the storage does not take them yet: each
// takes up about as much memory as it is long.
func TestManySmallDownloadsAtOnce(t *testing.T) {
	for _, size := range []int{5 << 10, 100 << 10} {
		for _, length := range []int{-1, size} {
			synctest.Test(t, func(t *testing.T) {
				s, a, seen := new(Store), newShelf(), new(events)
				defer s.Close()
				a.failWith(func(operation string) error {
					if operation == "put" {
						time.Sleep(time.Minute)
					}
					return nil
				})
				for key := range byte(200) {
					f := archived(t, s, key, seen, a.of())
					f.header(length)
					f.send(document(size))
					go f.end(true)
				}
				synctest.Wait()
				if limit := int64(200 * (2*size + 20<<10)); s.used > limit {
					t.Errorf("with the length %d, %d downloads of %d bytes take up %d bytes, want %d at most", length, 200, size, s.used, limit)
				}
				seen.are(t)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				for key := range byte(200) {
					if !bytes.Equal(a.content(key), document(size)) {
						t.Fatalf("the storage has %d bytes of %d", len(a.content(key)), size)
					}
				}
			})
		}
	}
}
