package download

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// events is an Observer that remembers.
type events struct {
	mu   sync.Mutex
	seen []Event
	err  error // of the last one
}

// Observe implements Observer.
func (o *events) Observe(_ *Download, e Event, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
	o.seen = append(o.seen, e)
}

// are asserts that want has happened.
func (o *events) are(t *testing.T, want ...Event) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.seen, want) {
		t.Errorf("%v has happened, want %v", o.seen, want)
	}
}

// A writer is the response writer of a client. The client can stall, or break off.
type writer struct {
	mu      sync.Mutex
	header  http.Header
	sent    http.Header // the header at WriteHeader
	status  int
	interim []int
	body    []byte
	flushed int           // number of bytes at the last flush
	stall   chan struct{} // if not nil, Write waits until it is closed
	stallAt int           // Write does not wait before the client has got that many bytes
	err     error         // if not nil, Write returns it
}

func newWriter() *writer { return &writer{header: make(http.Header)} }

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if status < 200 {
		w.interim = append(w.interim, status)
		return
	}
	w.status, w.sent = status, w.header.Clone()
}

func (w *writer) Write(p []byte) (int, error) {
	if w.stall != nil && len(w.body) >= w.stallAt { // nobody else changes the body
		<-w.stall
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

func (w *writer) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushed = len(w.body)
	return w.err
}

// content returns what the client has got so far.
func (w *writer) content() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.body[:w.flushed])
}

// A fetch is the request of a first claim.
type fetch struct {
	t        *testing.T
	download *Download
	recorder *Recorder
	w        *writer
	leave    context.CancelFunc // makes the client leave
}

// newFetch claims the download at key, and begins to fetch it.
func newFetch(t *testing.T, s *Store, key byte, o Observer) *fetch {
	t.Helper()
	return newFetchWith(t, s, key, Options{Observer: o})
}

// newFetchWith is newFetch with options.
func newFetchWith(t *testing.T, s *Store, key byte, options Options) *fetch {
	t.Helper()
	d, first, err := s.Claim(t.Context(), Key{key}, options)
	if err != nil || !first {
		t.Fatalf("claiming %d: first is %t, %v", key, first, err)
	}
	return record(t, d)
}

// record begins to fetch d.
func record(t *testing.T, d *Download) *fetch {
	f := &fetch{t: t, download: d, w: newWriter()}
	ctx, leave := context.WithCancel(t.Context())
	f.leave = leave
	f.recorder = d.Record(f.w, httptest.NewRequestWithContext(ctx, http.MethodDelete, "/", nil))
	return f
}

// header makes the header come. length is the Content-Length; there is none if it is
// negative.
func (f *fetch) header(length int) {
	if length >= 0 {
		f.recorder.Header().Set("Content-Length", strconv.Itoa(length))
	}
	f.recorder.WriteHeader(http.StatusOK)
}

// send makes a part of the content come, in the steps of a proxy.
func (f *fetch) send(content []byte) {
	f.t.Helper()
	for p := range slices.Chunk(content, 32<<10) {
		if n, err := f.recorder.Write(p); n != len(p) || err != nil {
			f.t.Fatalf("%d of %d bytes were written: %v", n, len(p), err)
		}
	}
}

// end ends the response. It reports whether the client has got all of it.
func (f *fetch) end(whole bool) bool { return f.recorder.End(whole) && f.w.status == http.StatusOK }

// serve serves d to a client with the context ctx. It reports whether that broke off.
func serve(ctx context.Context, d *Download, w http.ResponseWriter) (aborted bool) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			aborted = true
		} else if p != nil {
			panic(p)
		}
	}()
	d.Serve(w, httptest.NewRequestWithContext(ctx, http.MethodDelete, "/", nil))
	return false
}

// document returns a document of n bytes.
func document(n int) []byte { return bytes.Repeat([]byte("document "), n/9+1)[:n] }
