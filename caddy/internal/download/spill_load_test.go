package download

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A client that stalls does not keep a piece in memory that the storage has.
func TestStalledClientsKeepNoPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, size = 14, 2 << 20
		content := document(size)
		s, a := new(Store), newShelf()
		defer s.Close()
		var fetches []*fetch
		for i := range byte(clients) {
			f := archived(t, s, i, &events{}, a.of())
			f.w.stall, f.w.stallAt = make(chan struct{}), 1<<20
			f.header(size)
			fetches = append(fetches, f)
		}
		for p := range slices.Chunk(content, 512<<10) {
			for _, f := range fetches {
				f.send(p)
			}
			synctest.Wait() // the clients and the storage are fast enough
		}
		ended := make(chan bool)
		for _, f := range fetches {
			go func() { ended <- f.end(true) }()
		}
		time.Sleep(stallTime)
		synctest.Wait()
		s.mu.Lock()
		s.evict(s.used - storedLimit)
		used := s.used
		s.mu.Unlock()
		if limit := storedLimit + clients*(loadedPart+small); used > limit {
			t.Errorf("%d bytes are in memory, want %d at most", used, limit)
		}
		for _, f := range fetches {
			close(f.w.stall)
		}
		for range fetches {
			if !<-ended {
				t.Error("a client did not get everything")
			}
		}
		for i, f := range fetches {
			if !bytes.Equal(f.w.content(), content) || !bytes.Equal(a.content(byte(i)), content) {
				t.Errorf("client %d got %d bytes", i, len(f.w.content()))
			}
		}
		if s.loaded != 0 {
			t.Errorf("%d bytes are loaded in the end", s.loaded)
		}
	})
}

// If a piece cannot be read back, the transfer breaks off, and the next one may work.
func TestPieceThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, seen := new(Store), newShelf(), new(events)
		f := archived(t, s, 1, seen, a.of())
		f.header(10)
		f.send(document(10))
		f.end(true)
		s.Close()
		a.failWith(func(o string) error {
			if o == "piece" {
				return errors.New("broken")
			}
			return nil
		})
		other := new(Store)
		if !serve(t.Context(), claimIn(t, other, 1, seen, a.of(), false), newWriter()) {
			t.Error("the client sees a whole response")
		}
		seen.are(t, Unreadable)
		a.failWith(nil)
		w := newWriter()
		if serve(t.Context(), claimIn(t, other, 1, seen, a.of(), false), w) || !bytes.Equal(w.content(), document(10)) {
			t.Errorf("the next client gets %q", w.content())
		}
	})
}

// What is read back from the storage counts as memory until it is handed over.
func TestMemoryOfPiecesThatAreReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 3<<20 + 10
		a := newShelf()
		f := archived(t, new(Store), 1, &events{}, a.of())
		f.header(size)
		f.send(document(size))
		f.end(true)
		s := new(Store)
		goOn, ended := make(chan struct{}), make(chan bool)
		for range 5 {
			go func() {
				w := newWriter()
				w.stall = goOn
				serve(t.Context(), claimIn(t, s, 1, &events{}, a.of(), false), w)
				ended <- bytes.Equal(w.content(), document(size))
			}()
		}
		synctest.Wait()
		if s.used != 5<<20 {
			t.Errorf("%d bytes count", s.used)
		}
		close(goOn)
		for range 5 {
			if !<-ended {
				t.Error("a client did not get all")
			}
		}
		if s.used != 0 {
			t.Errorf("at the end, %d bytes count", s.used)
		}
	})
}

// A storage that has lost a piece is seen in the log: the client's transfer breaks off, and the
// next one does so too.
func TestPieceThatIsGone(t *testing.T) {
	errLost := errors.New("evicted")
	for name, test := range map[string]struct {
		leaves bool
		want   Event
	}{
		"the client stays":  {false, Unreadable},
		"the client leaves": {true, Interrupted},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := new(Store), newShelf()
				f := archived(t, s, 1, new(events), a.of())
				f.header(10)
				f.send(document(10))
				f.end(true)
				s.Close()
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				a.failWith(func(operation string) error {
					if operation != "piece" {
						return nil
					}
					if test.leaves {
						leave()
					}
					return errLost
				})
				other, seen := new(Store), new(events)
				defer other.Close()
				if !serve(ctx, claimIn(t, other, 1, seen, a.of(), false), newWriter()) {
					t.Error("the transfer does not break off")
				}
				seen.are(t, test.want)
				if got := seen.err; (test.want == Unreadable) != errors.Is(got, errLost) {
					t.Errorf("the error is %v", got)
				}
			})
		})
	}
}

// Clients that stand still while they get downloads from the archive take up little memory, and
// do not keep new downloads out. They get everything when they go on.
func TestStalledClientsOfStoredDownloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 60
		content := document(2*PieceSize + 10)
		a := newShelf()
		first := new(Store)
		f := archived(t, first, 1, new(events), a.of())
		f.header(len(content))
		f.send(content)
		f.end(true)
		first.Close()

		s, goOn := &Store{Limit: 16 << 20}, make(chan struct{})
		defer s.Close()
		ended := make(chan bool, clients)
		for range clients {
			d := claimIn(t, s, 1, new(events), a.of(), false)
			go func() {
				w := newWriter()
				w.stall = goOn
				ended <- !serve(t.Context(), d, w) && bytes.Equal(w.content(), content)
			}()
		}
		synctest.Wait()
		s.mu.Lock()
		used := s.used
		s.mu.Unlock()
		if limit := int64(loadedLimit + clients*loadedPart); used > limit {
			t.Errorf("they take up %d MiB, want %d at most", used>>20, limit>>20)
		}
		keep(t, s, 2, PieceSize, true)
		close(goOn)
		for range clients {
			if !<-ended {
				t.Fatal("a client does not get everything")
			}
		}
		if s.loaded != 0 {
			t.Errorf("%d bytes are loaded in the end", s.loaded)
		}
	})
}

// However many clients come back at once, a few pieces are being loaded at a time: each takes up
// memory that does not count yet. A client that leaves does not wait.
func TestClientsThatComeBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 40
		content := document(PieceSize + 10)
		a := newShelf()
		first := new(Store)
		f := archived(t, first, 1, new(events), a.of())
		f.header(len(content))
		f.send(content)
		f.end(true)
		first.Close()

		var loading, most atomic.Int64
		a.failWith(func(operation string) error {
			if operation == "piece" {
				n := loading.Add(1)
				defer loading.Add(-1)
				most.Store(max(most.Load(), n))
				time.Sleep(time.Second)
			}
			return nil
		})
		s, seen := new(Store), new(events)
		defer s.Close()
		ended := make(chan bool, clients)
		for range clients {
			d := claimIn(t, s, 1, new(events), a.of(), false)
			go func() {
				w := newWriter()
				ended <- !serve(t.Context(), d, w) && bytes.Equal(w.content(), content)
			}()
		}
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan bool)
		d := claimIn(t, s, 1, seen, a.of(), false)
		go func() { left <- serve(ctx, d, newWriter()) }()
		synctest.Wait()
		start := time.Now()
		leave()
		if !<-left || time.Since(start) > 0 {
			t.Errorf("a client that leaves waits %v", time.Since(start))
		}
		seen.are(t, Interrupted)
		for range clients {
			if !<-ended {
				t.Fatal("a client does not get everything")
			}
		}
		if n := most.Load(); n != maxLoads {
			t.Errorf("%d pieces were loaded at a time, want %d", n, maxLoads)
		}
		if s.loaded != 0 {
			t.Errorf("%d bytes are loaded in the end", s.loaded)
		}
	})
}
