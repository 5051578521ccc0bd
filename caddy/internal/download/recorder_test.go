package download

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecorder(t *testing.T) {
	document := document(270 << 10)
	for _, test := range []struct {
		name   string
		limit  int64
		status int
		length int // -1: without a length
		whole  bool
		kept   bool
		events []Event
	}{
		{"length known", 1 << 20, 200, len(document), true, true, nil},
		{"length unknown", 2 << 20, 200, -1, true, true, nil},
		{"length known, too large", 200 << 10, 200, len(document), true, false, []Event{NoRoom}},
		{"length unknown, too large", 200 << 10, 200, -1, true, false, []Event{NoRoom}},
		{"no room at all", 1, 200, -1, true, false, []Event{NoRoom}},
		{"less than the length", 1 << 20, 200, len(document) + 1, true, false, []Event{Broken}},
		{"cut off", 2 << 20, 200, -1, false, false, []Event{Broken}},
		{"not a document", 1 << 20, 404, len(document), true, false, nil},
		{"not yet", 1 << 20, 202, len(document), true, false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen := &Store{Limit: test.limit}, new(events)
				defer s.Close()
				d, w := claim(t, s, 1, seen, true), newWriter()
				w.header.Set("Server", "Caddy")
				w.header.Set("X-Outer", "set")
				client, leave := context.WithCancel(t.Context())
				defer leave()
				recorder := d.Record(w, httptest.NewRequestWithContext(client, http.MethodDelete, "/", nil))
				recorder.Header().Set("Content-Type", "application/json")
				recorder.Header().Del("Server")
				if test.length >= 0 {
					recorder.Header().Set("Content-Length", strconv.Itoa(test.length))
				}
				recorder.WriteHeader(test.status)
				recorder.WriteHeader(500) // this comes too late
				for p := range slices.Chunk(document, 33<<10) {
					if wrote, err := recorder.Write(p); wrote != len(p) || err != nil {
						t.Fatalf("%d of %d bytes were written: %v", wrote, len(p), err)
					}
				}
				if err := http.NewResponseController(recorder).Flush(); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				broken := slices.Contains(test.events, Broken)
				if n := len(w.content()); n != len(document) && (n != len(document)-1 || test.length < 0) {
					t.Errorf("before the end, the client has got %d bytes", n)
				}
				if recorder.End(test.whole) == broken || isKept(s, 1) != test.kept {
					t.Fatalf("kept is %t, want %t", isKept(s, 1), test.kept)
				}
				if recorder.Context().Err() == nil {
					t.Error("the request does not end")
				}
				if w.status != test.status || w.sent.Get("Content-Type") != "application/json" || w.sent.Get("X-Outer") != "set" || w.sent.Get("Server") != "" {
					t.Errorf("the client got %d, %v", w.status, w.sent)
				}
				if !bytes.Equal(w.body, document) {
					t.Errorf("the client got %d bytes, want %d", len(w.body), len(document))
				}
				seen.are(t, test.events...)
				if test.kept {
					if d.meta.Header.Get("Content-Type") != "application/json" || d.meta.Header["X-Outer"] != nil || d.meta.Status != test.status {
						t.Errorf("kept are %v", d.meta)
					}
					if n := int64(len(document)); s.used < n || s.used > n+overhead+1000+PieceSize {
						t.Errorf("%d bytes are reserved for %d", s.used, n)
					}
				} else if s.used != 0 || len(s.downloads) != 0 {
					t.Errorf("%d bytes are kept", s.used)
				}
			})
		})
	}
}

// The client gets each byte as soon as it has come, but for the last one.
func TestContentIsPassedOnAsItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Store)
		defer s.Close()
		f := newFetch(t, s, 1, &events{})
		f.header(10)
		if synctest.Wait(); f.w.status != 200 {
			t.Error("the header does not come at once")
		}
		for i := range 10 {
			f.send([]byte{'0' + byte(i)})
			if synctest.Wait(); string(f.w.content()) != "0123456789"[:min(i+1, 9)] {
				t.Errorf("after %d bytes, the client has %q", i+1, f.w.content())
			}
		}
		if !f.end(true) || string(f.w.content()) != "0123456789" {
			t.Errorf("the client got %q", f.w.content())
		}
	})
}

// A client that stalls or leaves does not slow the server down, and the next claim gets
// everything.
func TestStalledClientSlowsNobodyDown(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := new(Store)
			defer s.Close()
			f := newFetch(t, s, 1, &events{})
			f.w.stall = make(chan struct{})
			f.header(-1)
			f.send(document(5 << 20)) // this does not wait
			if leaves {
				f.w.err = errors.New("reset")
				f.leave()
				close(f.w.stall)
				if f.end(true) {
					t.Error("the client that has left got it")
				}
			} else {
				ended := make(chan bool)
				go func() { ended <- f.end(true) }()
				defer func() {
					close(f.w.stall)
					if !<-ended || !bytes.Equal(f.w.content(), document(5<<20)) {
						t.Error("the client that had stalled got nothing")
					}
				}()
				synctest.Wait()
			}
			w := newWriter()
			serve(t.Context(), claim(t, s, 1, &events{}, false), w)
			if !bytes.Equal(w.content(), document(5<<20)) {
				t.Errorf("the next claim got %d bytes", len(w.content()))
			}
		})
	}
}

// If the content turns out to be too large in the middle, the request goes on at the speed
// of the client.
func TestContentThatTurnsOutToBeTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 12 << 20
		s, seen := &Store{Limit: 3 << 20}, new(events)
		defer s.Close()
		f := newFetch(t, s, 1, seen)
		f.w.stall = make(chan struct{})
		f.header(-1)
		sent := make(chan bool)
		go func() {
			f.send(document(size))
			sent <- f.end(true)
		}()
		synctest.Wait()
		seen.are(t, NoRoom)
		if n := f.download.Length(); n > 3<<20 {
			t.Errorf("%d bytes were taken, more than there is room for", n)
		}
		claim(t, s, 1, &events{}, true).Abandon() // nobody follows any more
		close(f.w.stall)
		if !<-sent || !bytes.Equal(f.w.content(), document(size)) {
			t.Errorf("the client got %d bytes", len(f.w.content()))
		}
		if s.used != 0 {
			t.Errorf("%d bytes are reserved", s.used)
		}
	})
}

// If content that is not kept has several clients, the fastest one decides.
func TestSlowFollowerOfContentThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 12 << 20
		s := &Store{Limit: 3 << 20}
		defer s.Close()
		f := newFetch(t, s, 1, &events{})
		f.w.stall = make(chan struct{})
		f.header(-1)
		f.send(document(size)[:1<<20])
		w, ended := newWriter(), make(chan bool)
		d := claim(t, s, 1, &events{}, false)
		go func() { ended <- serve(t.Context(), d, w) }()
		synctest.Wait()
		f.send(document(size)[1<<20:])
		sent := make(chan bool)
		go func() { sent <- f.end(true) }()
		if <-ended || !bytes.Equal(w.content(), document(size)) {
			t.Errorf("the fast client got %d bytes", len(w.content()))
		}
		close(f.w.stall)
		if <-sent {
			t.Error("the slow client sees a whole response")
		}
		if s.used != 0 {
			t.Errorf("%d bytes are reserved", s.used)
		}
	})
}

// A request whose response is not kept ends with its client.
func TestRequestEndsWithItsClient(t *testing.T) {
	for name, begin := range map[string]func(f *fetch){
		"not a document":   func(f *fetch) { f.recorder.WriteHeader(400) },
		"not kept":         func(f *fetch) { f.header(5 << 20) },
		"not kept, middle": func(f *fetch) { f.header(-1); f.send(document(3 << 20)) },
		"left before":      func(f *fetch) { f.leave(); synctest.Wait(); f.header(5 << 20) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Store{Limit: 2 << 20}
				f := newFetch(t, s, 1, &events{})
				begin(f)
				f.leave()
				synctest.Wait()
				if f.recorder.Context().Err() == nil {
					t.Error("it goes on without its client")
				}
				f.end(false)
				if s.used != 0 || len(s.downloads) != 0 {
					t.Errorf("%d bytes are reserved", s.used)
				}
			})
		})
	}
}

func TestLargeHeadersAndTrailersAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Store)
		for _, trailer := range []bool{false, true} {
			seen := new(events)
			f := newFetch(t, s, 1, seen)
			if !trailer {
				f.recorder.Header().Set("X-Large", strings.Repeat("x", maxHeader))
			}
			f.header(-1)
			if trailer {
				f.recorder.Header().Set(http.TrailerPrefix+"X-Large", strings.Repeat("x", maxHeader))
			}
			f.send([]byte("document"))
			if !f.end(true) || string(f.w.body) != "document" || s.used != 0 {
				t.Errorf("the client got %q, and %d bytes are kept", f.w.body, s.used)
			}
			seen.are(t, LargeHeader)
		}
		// Headers of 40 KiB count.
		s.Limit = 1 << 20
		kept := 0
		for key := range byte(30) {
			seen := new(events)
			f := newFetch(t, s, key, seen)
			f.recorder.Header().Set("X-Large", strings.Repeat("x", 40<<10))
			f.w.err = errors.New("reset")
			f.header(1)
			_, _ = f.recorder.Write([]byte("x"))
			f.end(true)
			if isKept(s, key) {
				kept++
			}
		}
		if kept == 0 || kept > 24 || s.used > 1<<20 {
			t.Errorf("%d are kept, and take up %d bytes", kept, s.used)
		}
		s.Close()
	})
}

// The number of requests that go on alone is limited.
func TestRequestsThatGoOnAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen := new(Store), new(events)
		fetches := make([]*fetch, maxAlone)
		for i := range fetches {
			fetches[i] = newFetch(t, s, byte(i), seen)
			fetches[i].leave()
		}
		synctest.Wait()
		for i, f := range fetches {
			if f.recorder.Context().Err() != nil {
				t.Errorf("request %d has ended", i)
			}
		}
		last := new(events)
		f := newFetch(t, s, 200, last)
		f.header(10)
		f.leave()
		synctest.Wait()
		last.are(t, TooMany)
		if f.recorder.Context().Err() == nil || f.end(false) {
			t.Error("one more goes on alone")
		}
		last.are(t, TooMany)
		// Another client comes for one of them, and so there is room for one more.
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		go func() { _, _, _ = s.Claim(ctx, Key{0}, Options{}) }()
		synctest.Wait()
		f = newFetch(t, s, 200, last)
		f.leave()
		if synctest.Wait(); f.recorder.Context().Err() != nil {
			t.Error("there is no room for another one")
		}
		// The other client leaves. Its request has been there first, but goes on no longer.
		leave()
		synctest.Wait()
		if fetches[0].recorder.Context().Err() == nil {
			t.Error("one more goes on alone")
		}
		for _, f := range append(fetches, f) {
			f.end(false)
		}
		if s.alone != 0 || s.used != 0 || len(s.downloads) != 0 {
			t.Errorf("at the end, %d go on alone", s.alone)
		}
	})
}

// A request that goes on alone ends when no content comes any more. The header may take as
// long as the request allows.
func TestRequestThatGoesOnAloneEndsWhenNothingComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen := new(Store), new(events)
		f := newFetch(t, s, 1, seen)
		f.leave()
		time.Sleep(time.Hour)
		f.header(100)
		for range 10 {
			time.Sleep(idle - 1)
			f.send([]byte("x"))
		}
		if synctest.Wait(); f.recorder.Context().Err() != nil {
			t.Error("it has ended although content comes")
		}
		time.Sleep(idle)
		if synctest.Wait(); f.recorder.Context().Err() == nil {
			t.Error("it goes on for ever")
		}
		f.end(false)
		seen.are(t, GoesOn, Idle)
		// With a client, it goes on.
		f = newFetch(t, s, 1, seen)
		f.header(100)
		time.Sleep(time.Hour)
		if synctest.Wait(); f.recorder.Context().Err() != nil {
			t.Error("a request with a client has ended")
		}
		f.end(false)
	})
}

// A handler that panics while it writes does so in the goroutine of the request.
func TestPanicOfAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Store)
		f := newFetch(t, s, 1, &events{})
		f.recorder.ResponseWriter = panicking{f.w}
		f.header(10)
		f.send(document(10))
		defer func() {
			if p := recover(); p != "a fault" {
				t.Errorf("it panics with %v", p)
			}
			if !isKept(s, 1) {
				t.Error("the download is lost")
			}
			s.Close()
		}()
		f.end(true)
	})
}

// panicking is a writer with a fault.
type panicking struct{ *writer }

func (panicking) Write([]byte) (int, error) { panic("a fault") }

func TestRecorderPassesInterimResponsesOn(t *testing.T) {
	s := new(Store)
	f := newFetch(t, s, 1, &events{})
	f.recorder.WriteHeader(http.StatusEarlyHints)
	if !f.recorder.End(true) || len(s.downloads) != 0 {
		t.Error("a response that never came is kept")
	}
	if f.recorder.status != 0 || !slices.Equal(f.w.interim, []int{103}) {
		t.Errorf("the client got %v", f.w.interim)
	}
}

// What comes after the Content-Length is not part of the response.
func TestContentLongerThanItsLength(t *testing.T) {
	s := new(Store)
	defer s.Close()
	f := newFetch(t, s, 1, &events{})
	f.header(3)
	if _, err := f.recorder.Write([]byte("1234")); !errors.Is(err, http.ErrContentLength) {
		t.Errorf("writing more: %v", err)
	}
	f.end(false)
}

// A response without content is nothing to keep, so nobody gets it but its own client.
func TestResponseWithoutContentIsNotShared(t *testing.T) {
	s := new(Store)
	defer s.Close()
	f := newFetch(t, s, 1, &events{})
	f.header(0) // with this, a client has all of it, and may come again
	newFetch(t, s, 1, &events{}).end(false)
	if !f.end(true) || f.w.status != http.StatusOK {
		t.Errorf("the client got %d", f.w.status)
	}
}
