package download

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// nobody observes nothing.
type nobody struct{}

func (nobody) Expired(*Download) {}
func (nobody) Closed(*Download)  {}

// keep puts a download of n bytes into s, in its state after the first transfer.
func keep(t *testing.T, s *Store, key byte, n int64, delivered bool) *Download {
	t.Helper()
	a, first, err := s.Claim(t.Context(), Key{key}, nobody{})
	if err != nil || !first {
		t.Fatalf("claiming %d: first is %t, %v", key, first, err)
	}
	if !a.reserve(n) {
		t.Fatalf("there is no room for %d", key)
	}
	a.keep()
	a.done(delivered)
	return a
}

// isKept reports whether there is a download at key.
func isKept(s *Store, key byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.downloads[Key{key}]
	return a != nil && a.kept
}

func TestDownloadsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{Limit: 100}
		keep(t, s, 1, 10, false)
		keep(t, s, 2, 20, true)
		time.Sleep(lifetime - time.Second)
		keep(t, s, 3, 30, false)
		if s.used != 60 || !isKept(s, 1) || !isKept(s, 2) {
			t.Errorf("before their time, %d bytes are kept", s.used)
		}
		// A transfer that is under way at the expiry continues.
		a, first, err := s.Claim(t.Context(), Key{1}, nobody{})
		if first || err != nil {
			t.Fatalf("first is %t, %v", first, err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s.used != 40 || isKept(s, 1) || isKept(s, 2) || !isKept(s, 3) {
			t.Errorf("after their time, %d bytes are kept", s.used)
		}
		if a.done(false) {
			t.Error("it counts as kept although its time is over")
		}
		if s.used != 30 {
			t.Errorf("after the transfer, %d bytes are kept", s.used)
		}
		if s.Close(); s.used != 0 || len(s.downloads) != 0 {
			t.Errorf("at the end, %d bytes are kept", s.used)
		}
	})
}

func TestDeliveredDownloadsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{Limit: 100}
		defer s.Close()
		keep(t, s, 1, 30, true)
		time.Sleep(time.Second)
		keep(t, s, 2, 30, false)
		time.Sleep(time.Second)
		keep(t, s, 3, 30, true)
		keep(t, s, 4, 40, false)
		if isKept(s, 1) || !isKept(s, 2) || !isKept(s, 3) || s.used != 100 {
			t.Errorf("not the oldest delivered one made room: %d bytes", s.used)
		}
		a, _, _ := s.Claim(t.Context(), Key{5}, nobody{})
		if a.reserve(31) || !isKept(s, 3) {
			t.Error("a download that was not delivered made room, or one made room in vain")
		}
		if a.reserve(1<<62) || a.reserve(101) {
			t.Error("more fits than the limit")
		}
		// A download that is being transferred stays, too.
		b, _, _ := s.Claim(t.Context(), Key{3}, nobody{})
		if a.reserve(30) {
			t.Error("a download made room that is being transferred")
		}
		b.done(true)
		if !a.reserve(30) || isKept(s, 3) {
			t.Error("a delivered download makes no room")
		}
		a.Abandon()
		if s.used != 70 {
			t.Errorf("%d bytes are kept", s.used)
		}
	})
}

func TestClaimsWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{Limit: 100}
		a, _, _ := s.Claim(t.Context(), Key{1}, nobody{})
		if _, first, _ := s.Claim(t.Context(), Key{2}, nobody{}); !first {
			t.Error("a claim waits for another download")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := s.Claim(ctx, Key{1}, nobody{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a claim ends with %v, not with its caller", err)
		}
		claims := make(chan bool, 2)
		for range 2 {
			go func() {
				_, first, _ := s.Claim(t.Context(), Key{1}, nobody{})
				claims <- first
			}()
		}
		synctest.Wait()
		a.Abandon()
		synctest.Wait()
		if !<-claims || len(claims) != 0 {
			t.Error("not one of those that waited is the next to fetch")
		}
		s.mu.Lock()
		b := s.downloads[Key{1}]
		s.mu.Unlock()
		b.keep()
		if <-claims {
			t.Error("a download that is kept is fetched again")
		}
		s.Close()
	})
}

// A response that arrives after the store was closed is not kept.
func TestNothingIsKeptAfterTheEnd(t *testing.T) {
	s := &Store{Limit: 100}
	a, _, _ := s.Claim(t.Context(), Key{1}, nobody{})
	b, _, _ := s.Claim(t.Context(), Key{2}, nobody{})
	if !a.reserve(10) {
		t.Fatal("there is no room")
	}
	s.Close()
	if b.reserve(10) {
		t.Error("there is room after the end")
	}
	b.Abandon()
	a.keep()
	if isKept(s, 1) || a.done(true) || s.used != 0 || a.expiry != nil {
		t.Errorf("%d bytes are kept after the end", s.used)
	}
}

// A lossLog is an Observer that remembers the length of what was lost.
type lossLog struct {
	mu              sync.Mutex
	expired, closed []int64
}

func (l *lossLog) Expired(d *Download) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expired = append(l.expired, d.Length())
}

func (l *lossLog) Closed(d *Download) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = append(l.closed, d.Length())
}

// The observer is told of a download only if no client has got it.
func TestLossesAreObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var downloads, size atomic.Int64
		s := &Store{Changed: func(d int, b int64) { downloads.Add(int64(d)); size.Add(b) }}
		var losses lossLog
		record := func(key byte, content string, delivered bool) {
			d, _, err := s.Claim(t.Context(), Key{key}, &losses)
			if err != nil {
				t.Fatal(err)
			}
			_, detached := Detach(t.Context(), func() {})
			defer detached.End()
			recorder := NewRecorder(httptest.NewRecorder(), d, detached)
			_, _ = recorder.Write([]byte(content))
			if !recorder.End(true) {
				t.Fatalf("%q is not kept", content)
			}
			d.done(delivered)
		}
		record(1, "1", false)
		record(2, "12", true)
		time.Sleep(lifetime / 2)
		record(3, "123", false)
		record(4, "1234", true)
		if downloads.Load() != 4 || size.Load() < 10 {
			t.Errorf("there are %d downloads of %d bytes", downloads.Load(), size.Load())
		}
		time.Sleep(lifetime / 2)
		synctest.Wait()
		s.Close()
		if !slices.Equal(losses.expired, []int64{1}) || !slices.Equal(losses.closed, []int64{3}) {
			t.Errorf("expired are %v, and lost at the end %v", losses.expired, losses.closed)
		}
		if downloads.Load() != 0 || size.Load() != 0 {
			t.Errorf("at the end, there are %d downloads of %d bytes", downloads.Load(), size.Load())
		}
	})
}
