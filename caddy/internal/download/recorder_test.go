package download

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
)

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

// newRecorder returns a Recorder for a client that stays.
func newRecorder(t *testing.T, w http.ResponseWriter, d *Download) *Recorder {
	t.Helper()
	_, detached := Detach(t.Context(), func() {})
	t.Cleanup(detached.End)
	return NewRecorder(w, d, detached)
}

func TestRecorder(t *testing.T) {
	document := bytes.Repeat([]byte("document "), 30<<10) // 270 KiB
	for _, test := range []struct {
		name   string
		limit  int64
		status int
		length int // -1: without a length
		whole  bool
		kept   bool
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
			synctest.Test(t, func(t *testing.T) {
				w := httptest.NewRecorder()
				w.Header().Set("Server", "Caddy")
				w.Header().Set("X-Outer", "set")
				s := &Store{Limit: test.limit}
				defer s.Close()
				a, _, _ := s.Claim(t.Context(), Key{1}, nobody{})
				client, leave := context.WithCancel(t.Context())
				ctx, detached := Detach(client, func() {})
				defer detached.End()
				recorder := NewRecorder(w, a, detached)
				recorder.Header().Set("Content-Type", "application/json")
				recorder.Header().Del("Server")
				if test.length >= 0 {
					recorder.Header().Set("Content-Length", strconv.Itoa(test.length))
				}
				recorder.WriteHeader(test.status)
				recorder.WriteHeader(500) // this comes too late
				for rest := document; len(rest) > 0; {
					n := min(len(rest), 33<<10)
					if wrote, err := recorder.Write(rest[:n]); wrote != n || err != nil {
						t.Fatalf("%d of %d bytes were written: %v", wrote, n, err)
					}
					rest = rest[n:]
				}
				if err := http.NewResponseController(recorder).Flush(); err != nil {
					t.Error(err)
				}
				kept := recorder.End(test.whole)
				if kept != test.kept || isKept(s, 1) != kept {
					t.Fatalf("kept is %t, want %t", kept, test.kept)
				}
				leave()
				if synctest.Wait(); (ctx.Err() == nil) != kept {
					t.Errorf("after its client has left, the request ends with %v", ctx.Err())
				}
				if test.kept {
					if w.Flushed || w.Body.Len() != 0 || w.Header().Get("Server") != "Caddy" || w.Header().Get("Content-Type") != "" {
						t.Error("the client got something of it already")
					}
					if a.header.Get("Content-Type") != "application/json" || a.header["X-Outer"] != nil || a.status != test.status {
						t.Errorf("kept are %d, %v", a.status, a.header)
					}
					for _, chunk := range a.body {
						w.Body.Write(chunk)
					}
					if a.length != int64(len(document)) {
						t.Errorf("the length is %d, want %d", a.length, len(document))
					}
					if reserved := s.used; reserved < a.length || reserved > a.length+overhead+chunkSize {
						t.Errorf("%d bytes are reserved for %d", reserved, a.length)
					}
					a.done(true)
				} else {
					if w.Code != test.status || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Outer") != "set" {
						t.Errorf("the client got %d, %v", w.Code, w.Header())
					}
					if s.used != 0 || len(s.downloads) != 0 {
						t.Errorf("%d bytes are kept", s.used)
					}
				}
				if !bytes.Equal(w.Body.Bytes(), document) {
					t.Errorf("the client got %d bytes, want %d", w.Body.Len(), len(document))
				}
			})
		})
	}
}

func TestRecorderTellsThatTheClientOfALargeResponseLeft(t *testing.T) {
	broken := errors.New("broken")
	s := &Store{Limit: 100 << 10}
	defer s.Close()
	a, _, _ := s.Claim(t.Context(), Key{1}, nobody{})
	recorder := newRecorder(t, &flakyWriter{httptest.NewRecorder(), broken}, a)
	if _, err := recorder.Write(make([]byte, 200<<10)); !errors.Is(err, broken) {
		t.Errorf("writing more than fits: %v", err)
	}
	if _, err := recorder.Write(make([]byte, 1)); !errors.Is(err, broken) {
		t.Errorf("writing on: %v", err)
	}
	if recorder.End(true) || s.used != 0 {
		t.Error("it is kept")
	}
}

func TestRecorderPassesInterimResponsesOn(t *testing.T) {
	w := httptest.NewRecorder()
	s := &Store{Limit: 1 << 20}
	defer s.Close()
	a, _, _ := s.Claim(t.Context(), Key{1}, nobody{})
	recorder := newRecorder(t, w, a)
	recorder.WriteHeader(http.StatusEarlyHints)
	if recorder.End(true) || len(s.downloads) != 0 {
		t.Error("a response that never came is kept")
	}
	if recorder.status != 0 {
		t.Error("an interim status is taken for the final one")
	}
}
