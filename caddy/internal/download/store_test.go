package download

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// claim claims the download at key, and asserts whether it is the first claim.
func claim(t *testing.T, s *Store, key byte, o Observer, want bool) *Download {
	t.Helper()
	d, first, err := s.Claim(t.Context(), Key{key}, Options{Observer: o})
	if err != nil || first != want {
		t.Fatalf("claiming %d: first is %t, %v", key, first, err)
	}
	return d
}

// keep puts a download of n bytes into s, in its state after the first transfer.
func keep(t *testing.T, s *Store, key byte, n int, delivered bool) *Download {
	t.Helper()
	f := newFetch(t, s, key, &events{})
	f.header(n)
	if !delivered {
		f.leave()
		synctest.Wait()
	}
	f.send(make([]byte, n))
	if f.end(true) != delivered || !isKept(s, key) {
		t.Fatalf("%d is not kept", key)
	}
	return f.download
}

// isKept reports whether there is a download at key.
func isKept(s *Store, key byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.downloads[Key{key}]
	return d != nil && d.kept
}

// memory returns the memory that is reserved in s, in bytes, without what the header of n
// downloads takes up.
func memory(s *Store, n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used - n*small
}

// small is the memory for the header of a download of a fetch, in bytes.
var small = overhead + headerSize(map[string][]string{"Content-Length": {"10"}})

func TestDownloadsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Store)
		keep(t, s, 1, 10, false)
		keep(t, s, 2, 20, true)
		time.Sleep(defaultKeep - time.Second)
		keep(t, s, 3, 30, false)
		if memory(s, 3) != 60 || !isKept(s, 1) || !isKept(s, 2) {
			t.Errorf("before their time, %d bytes are kept", memory(s, 3))
		}
		// A transfer that is under way at the expiry continues.
		d := claim(t, s, 1, &events{}, false)
		time.Sleep(time.Second)
		synctest.Wait()
		if memory(s, 2) != 40 || isKept(s, 1) || isKept(s, 2) || !isKept(s, 3) {
			t.Errorf("after their time, %d bytes are kept", memory(s, 2))
		}
		w := newWriter()
		serve(t.Context(), d, w)
		if len(w.content()) != 10 {
			t.Errorf("%d bytes came after the expiry", len(w.content()))
		}
		if memory(s, 1) != 30 {
			t.Errorf("after the transfer, %d bytes are kept", memory(s, 1))
		}
		if s.Close(); s.used != 0 || len(s.downloads) != 0 {
			t.Errorf("at the end, %d bytes are kept", s.used)
		}
	})
}

func TestDownloadIsKeptAsLongAsItsOptionsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Store)
		f := newFetchWith(t, s, 1, Options{Keep: time.Minute, Observer: &events{}})
		f.header(1)
		f.send([]byte("1"))
		f.end(true)
		time.Sleep(time.Minute - 1)
		if synctest.Wait(); !isKept(s, 1) {
			t.Error("it is dropped before its time")
		}
		time.Sleep(time.Nanosecond)
		if synctest.Wait(); isKept(s, 1) {
			t.Error("it is kept after its time")
		}
	})
}

func TestDeliveredDownloadsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{Limit: 100 + 4*small}
		defer s.Close()
		keep(t, s, 1, 30, true)
		time.Sleep(time.Second)
		keep(t, s, 2, 30, false)
		time.Sleep(time.Second)
		keep(t, s, 3, 30, true)
		keep(t, s, 4, 40, false)
		if isKept(s, 1) || !isKept(s, 2) || !isKept(s, 3) || memory(s, 3) != 100 {
			t.Errorf("not the oldest delivered one made room: %d bytes", memory(s, 3))
		}
		a := claim(t, s, 5, &events{}, true)
		reserve := func(n int64) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.reserve(a, n)
		}
		if reserve(31+2*small) || !isKept(s, 3) {
			t.Error("a download that was not delivered made room, or one made room in vain")
		}
		if reserve(1<<62) || reserve(s.Limit+1) {
			t.Error("more fits than the limit")
		}
		// A download that is being transferred stays, too.
		b := claim(t, s, 3, &events{}, false)
		if reserve(30 + 2*small) {
			t.Error("a download made room that is being transferred")
		}
		serve(t.Context(), b, newWriter())
		if !reserve(30+2*small) || isKept(s, 3) {
			t.Error("a delivered download makes no room")
		}
		a.Abandon()
		if memory(s, 2) != 70 {
			t.Errorf("%d bytes are kept", memory(s, 2))
		}
	})
}

// The memory of a download that made room is used again, unless HTTP/2 may still read it.
func TestMemoryIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, exposed := range []bool{false, true} {
			s := &Store{Limit: 3*PieceSize + 2*small}
			a := keep(t, s, 1, 3*PieceSize-1, true)
			a.exposed = exposed
			old := a.pieces
			again := false
			for _, p := range keep(t, s, 2, 2*PieceSize, true).pieces {
				again = again || &p.data[0] == &old[1].data[0]
			}
			if again == exposed {
				t.Errorf("exposed is %t, and memory was used again: %t", exposed, again)
			}
			if n := spare(s); n > 1 || (exposed && n > 0) {
				t.Errorf("%d pieces are left", n)
			}
			time.Sleep(defaultKeep)
			if synctest.Wait(); spare(s) != 0 {
				t.Error("the memory is never given back")
			}
			s.Close()
		}
	})
}

// spare returns the number of pieces of s that are there to be used again.
func spare(s *Store) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spare)
}

func TestClaimsWaitForTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Store)
		defer s.Close()
		a := claim(t, s, 1, &events{}, true)
		claim(t, s, 2, &events{}, true).Abandon()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := s.Claim(ctx, Key{1}, Options{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a claim ends with %v, not with its caller", err)
		}
		firsts, claims := make(chan *Download, 2), make(chan bool, 2)
		for range 2 {
			go func() {
				d, first, _ := s.Claim(t.Context(), Key{1}, Options{Observer: &events{}})
				if first {
					firsts <- d
				}
				claims <- first
			}()
		}
		synctest.Wait()
		a.Abandon()
		synctest.Wait()
		if !<-claims || len(claims) != 0 {
			t.Error("not one of those that waited is the next to fetch")
		}
		f := record(t, <-firsts)
		f.header(1)
		if synctest.Wait(); <-claims {
			t.Error("a download whose header has come is fetched again")
		}
		f.send([]byte("1"))
		f.end(true)
	})
}

// A response that arrives after the store was closed is not kept.
func TestNothingIsKeptAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Store)
		a, b := newFetch(t, s, 1, &events{}), newFetch(t, s, 2, &events{})
		a.header(10)
		s.Close()
		b.header(10)
		if !b.recorder.passing {
			t.Error("there is room after the end")
		}
		for _, f := range []*fetch{a, b} {
			f.send(make([]byte, 10))
			if !f.end(true) || len(f.w.body) != 10 {
				t.Error("the client did not get it")
			}
		}
		if isKept(s, 1) || s.used != 0 || len(s.downloads) != 0 {
			t.Errorf("%d bytes are kept after the end", s.used)
		}
	})
}

// The observer is told of a loss only if no client has got the download.
func TestLossesAreObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var downloads, size atomic.Int64
		s := &Store{Changed: func(d int, b int64) { downloads.Add(int64(d)); size.Add(b) }}
		seen := make([]*events, 4)
		record := func(key byte, delivered bool) {
			seen[key] = new(events)
			f := newFetch(t, s, key, seen[key])
			f.header(10)
			if !delivered {
				f.leave()
				synctest.Wait()
			}
			f.send(make([]byte, 10))
			f.end(true)
		}
		record(0, false)
		record(1, true)
		time.Sleep(defaultKeep / 2)
		record(2, false)
		record(3, true)
		if downloads.Load() != 4 || size.Load() < 40 {
			t.Errorf("there are %d downloads of %d bytes", downloads.Load(), size.Load())
		}
		time.Sleep(defaultKeep / 2)
		synctest.Wait()
		s.Close()
		seen[0].are(t, GoesOn, Interrupted, Expired)
		seen[1].are(t)
		seen[2].are(t, GoesOn, Interrupted, Closed)
		seen[3].are(t)
		if downloads.Load() != 0 || size.Load() != 0 {
			t.Errorf("at the end, there are %d downloads of %d bytes", downloads.Load(), size.Load())
		}
	})
}
