package caddyesign

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// keep puts an answer of n bytes into s, in its state after the first transfer.
func keep(t *testing.T, s *heldAnswers, key byte, n int64, delivered bool) *heldAnswer {
	t.Helper()
	a, first, err := s.claim(t.Context(), answerKey{key})
	if err != nil || !first {
		t.Fatalf("claiming %d: first is %t, %v", key, first, err)
	}
	if !s.reserve(a, n) {
		t.Fatalf("there is no room for %d", key)
	}
	s.hold(a)
	s.done(a, delivered)
	return a
}

// isHeld reports whether there is an answer at key.
func isHeld(s *heldAnswers, key byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.answers[answerKey{key}]
	return a != nil && a.held
}

func TestHeldAnswersExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newHeldAnswers(100)
		keep(t, s, 1, 10, false)
		keep(t, s, 2, 20, true)
		time.Sleep(heldFor - time.Second)
		keep(t, s, 3, 30, false)
		if s.used != 60 || !isHeld(s, 1) || !isHeld(s, 2) {
			t.Errorf("before their time, %d bytes are held", s.used)
		}
		// A transfer that is under way at the expiry continues.
		a, first, err := s.claim(t.Context(), answerKey{1})
		if first || err != nil {
			t.Fatalf("first is %t, %v", first, err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s.used != 40 || isHeld(s, 1) || isHeld(s, 2) || !isHeld(s, 3) {
			t.Errorf("after their time, %d bytes are held", s.used)
		}
		if s.done(a, false) {
			t.Error("it counts as held although its time is over")
		}
		if s.used != 30 {
			t.Errorf("after the transfer, %d bytes are held", s.used)
		}
		if err := s.Destruct(); err != nil || s.used != 0 || len(s.answers) != 0 {
			t.Errorf("at the end, %d bytes are held, %v", s.used, err)
		}
	})
}

func TestDeliveredAnswersMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newHeldAnswers(100)
		defer s.Destruct()
		keep(t, s, 1, 30, true)
		time.Sleep(time.Second)
		keep(t, s, 2, 30, false)
		time.Sleep(time.Second)
		keep(t, s, 3, 30, true)
		keep(t, s, 4, 40, false)
		if isHeld(s, 1) || !isHeld(s, 2) || !isHeld(s, 3) || s.used != 100 {
			t.Errorf("not the oldest delivered one made room: %d bytes", s.used)
		}
		a, _, _ := s.claim(t.Context(), answerKey{5})
		if s.reserve(a, 31) || !isHeld(s, 3) {
			t.Error("an answer that was not delivered made room, or one did in vain")
		}
		if s.reserve(a, 1<<62) || s.reserve(a, 101) {
			t.Error("more fits than the limit")
		}
		// An answer that is being handed over stays, too.
		b, _, _ := s.claim(t.Context(), answerKey{3})
		if s.reserve(a, 30) {
			t.Error("an answer made room that is being handed over")
		}
		s.done(b, true)
		if !s.reserve(a, 30) || isHeld(s, 3) {
			t.Error("a delivered answer makes no room")
		}
		s.abandon(a)
		if s.used != 70 {
			t.Errorf("%d bytes are held", s.used)
		}
	})
}

func TestClaimsWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newHeldAnswers(100)
		a, _, _ := s.claim(t.Context(), answerKey{1})
		if _, first, _ := s.claim(t.Context(), answerKey{2}); !first {
			t.Error("a claim waits for another answer")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := s.claim(ctx, answerKey{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a claim ends with %v, not with its caller", err)
		}
		claims := make(chan bool, 2)
		for range 2 {
			go func() {
				_, first, _ := s.claim(t.Context(), answerKey{1})
				claims <- first
			}()
		}
		synctest.Wait()
		s.abandon(a)
		synctest.Wait()
		if !<-claims || len(claims) != 0 {
			t.Error("not one of those who waited is the next to call")
		}
		s.mu.Lock()
		b := s.answers[answerKey{1}]
		s.mu.Unlock()
		s.hold(b)
		if <-claims {
			t.Error("a held answer is asked for again")
		}
		if err := s.Destruct(); err != nil {
			t.Error(err)
		}
	})
}

// A call that outlives the gateway's last configuration is not held.
func TestNothingIsHeldAfterTheEnd(t *testing.T) {
	s := newHeldAnswers(100)
	a, _, _ := s.claim(t.Context(), answerKey{1})
	b, _, _ := s.claim(t.Context(), answerKey{2})
	if !s.reserve(a, 10) {
		t.Fatal("there is no room")
	}
	if err := s.Destruct(); err != nil {
		t.Fatal(err)
	}
	if s.reserve(b, 10) {
		t.Error("there is room after the end")
	}
	s.abandon(b)
	s.hold(a)
	if isHeld(s, 1) || s.done(a, true) || s.used != 0 || a.expiry != nil {
		t.Errorf("%d bytes are held after the end", s.used)
	}
}

// A flakyWriter is a response writer that can fail.
type flakyWriter struct {
	*httptest.ResponseRecorder
	err error
}

func (w *flakyWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	return w.ResponseRecorder.Write(p)
}

func TestSpool(t *testing.T) {
	document := bytes.Repeat([]byte("document "), 30<<10) // 270 KiB
	for _, test := range []struct {
		name   string
		limit  int64
		status int
		length int // -1: without a length
		whole  bool
		held   bool
	}{
		{"length known", 1 << 20, 200, len(document), true, true},
		{"length unknown", 1 << 20, 200, -1, true, true},
		{"length known, too large", 200 << 10, 200, len(document), true, false},
		{"length unknown, too large", 200 << 10, 200, -1, true, false},
		{"no room at all", 1, 200, -1, true, false},
		{"more than the length", 1 << 20, 200, 10, true, true},
		{"cut off", 1 << 20, 200, -1, false, false},
		{"not a document", 1 << 20, 404, len(document), true, false},
		{"not yet", 1 << 20, 202, len(document), true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("Server", "Caddy")
			w.Header().Set("X-Outer", "set")
			s := newHeldAnswers(test.limit)
			defer s.Destruct()
			a, _, _ := s.claim(t.Context(), answerKey{1})
			attached := false
			spool := newSpool(w, s, a, func() { attached = true })
			spool.Header().Set("Content-Type", "application/json")
			spool.Header().Del("Server")
			if test.length >= 0 {
				spool.Header().Set("Content-Length", strconv.Itoa(test.length))
			}
			spool.WriteHeader(test.status)
			spool.WriteHeader(500) // this comes too late
			for rest := document; len(rest) > 0; {
				n := min(len(rest), 33<<10)
				if wrote, err := spool.Write(rest[:n]); wrote != n || err != nil {
					t.Fatalf("%d of %d bytes were written: %v", wrote, n, err)
				}
				rest = rest[n:]
			}
			if err := http.NewResponseController(spool).Flush(); err != nil {
				t.Error(err)
			}
			if held := spool.end(test.whole); held != test.held || isHeld(s, 1) != held || attached == held {
				t.Fatalf("held is %t and attached %t, want %t", held, attached, test.held)
			}
			if test.held {
				if w.Flushed || w.Body.Len() != 0 || w.Header().Get("Server") != "Caddy" || w.Header().Get("Content-Type") != "" {
					t.Error("the caller got something of it already")
				}
				if a.header.Get("Content-Type") != "application/json" || a.header["X-Outer"] != nil || a.status != test.status {
					t.Errorf("held are %d, %v", a.status, a.header)
				}
				for _, chunk := range a.body {
					w.Body.Write(chunk)
				}
				if a.length != int64(len(document)) {
					t.Errorf("the length is %d, want %d", a.length, len(document))
				}
				if reserved := s.used; reserved < a.length || reserved > a.length+heldOverhead+heldChunk {
					t.Errorf("%d bytes are reserved for %d", reserved, a.length)
				}
				s.done(a, true)
			} else {
				if w.Code != test.status || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Outer") != "set" {
					t.Errorf("the caller got %d, %v", w.Code, w.Header())
				}
				if s.used != 0 || len(s.answers) != 0 {
					t.Errorf("%d bytes are held", s.used)
				}
			}
			if !bytes.Equal(w.Body.Bytes(), document) {
				t.Errorf("the caller got %d bytes, want %d", w.Body.Len(), len(document))
			}
		})
	}
}

func TestSpoolTellsThatTheCallerOfALargeAnswerLeft(t *testing.T) {
	broken := errors.New("broken")
	s := newHeldAnswers(100 << 10)
	defer s.Destruct()
	a, _, _ := s.claim(t.Context(), answerKey{1})
	spool := newSpool(&flakyWriter{httptest.NewRecorder(), broken}, s, a, func() {})
	if _, err := spool.Write(make([]byte, 200<<10)); !errors.Is(err, broken) {
		t.Errorf("writing more than fits: %v", err)
	}
	if _, err := spool.Write(make([]byte, 1)); !errors.Is(err, broken) {
		t.Errorf("writing on: %v", err)
	}
	if spool.end(true) || s.used != 0 {
		t.Error("it is held")
	}
}

func TestSpoolPassesInterimAnswersOn(t *testing.T) {
	w := httptest.NewRecorder()
	s := newHeldAnswers(1 << 20)
	defer s.Destruct()
	a, _, _ := s.claim(t.Context(), answerKey{1})
	spool := newSpool(w, s, a, func() {})
	spool.WriteHeader(http.StatusEarlyHints)
	if spool.end(true) || len(s.answers) != 0 {
		t.Error("an answer that was never given is held")
	}
	if spool.status != 0 {
		t.Error("an interim status is taken for the final one")
	}
}

// A detached call continues for some time after its caller has left, then ends.
func TestDetachedCallEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		gone := false
		caller, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		ctx, _, end := detach(caller, func() { gone = true })
		if ctx.Value(key{}) != "value" || detachedFrom(ctx).left() != nil {
			t.Error("the context is not the caller's")
		}
		leave()
		time.Sleep(aloneFor - time.Second)
		synctest.Wait()
		if ctx.Err() != nil || !gone || !errors.Is(detachedFrom(ctx).left(), context.Canceled) {
			t.Errorf("before its time: %v, %v", ctx.Err(), detachedFrom(ctx).left())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("it goes on for ever")
		}
		end()

		caller, leave = context.WithCancel(t.Context())
		ctx, attach, end := detach(caller, func() { gone = true })
		defer end()
		gone = false
		attach()
		leave()
		synctest.Wait()
		if ctx.Err() == nil || gone {
			t.Error("an attached call goes on without its caller")
		}
	})
}
