package download

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
)

// Serve tells how the transfer of a whole download has ended, and panics if it has broken
// off.
func TestServe(t *testing.T) {
	gone, leave := context.WithCancel(context.Background())
	leave()
	for name, test := range map[string]struct {
		ctx    context.Context
		err    error // of the writer
		closed bool  // the store, after the claim
		event  []Event
		status int
		panics bool
	}{
		"delivered":         {nil, nil, false, []Event{HandedOver}, 200, false},
		"delivered, closed": {nil, nil, true, []Event{HandedOver}, 200, false},
		"breaks off":        {nil, errors.New("broken"), false, []Event{Interrupted}, 200, true},
		"breaks off, lost":  {nil, errors.New("broken"), true, []Event{Expired}, 200, true},
		"client has left":   {gone, nil, false, []Event{Interrupted}, 499, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s Store
				defer s.Close()
				seen := new(events)
				f := newFetch(t, &s, 1, seen)
				f.recorder.Header().Set("X-Order", "1")
				f.send([]byte("document"))
				if !f.end(true) {
					t.Fatal("it did not come")
				}
				d := claim(t, &s, 1, seen, false)
				if test.closed {
					s.Close()
				}
				w := newWriter()
				w.err = test.err
				w.header.Set("Server", "Caddy")
				ctx := t.Context()
				if test.ctx != nil {
					ctx = test.ctx
				}
				if serve(ctx, d, w) != test.panics || w.status != test.status {
					t.Errorf("it panics: %t, status %d", !test.panics, w.status)
				}
				seen.are(t, test.event...)
				if test.event[0] == HandedOver &&
					(string(w.content()) != "document" || w.sent.Get("Content-Length") != "8" || w.sent.Get("X-Order") != "1" || w.sent.Get("Server") != "") {
					t.Errorf("the client got %q, %v", w.content(), w.sent)
				}
			})
		})
	}
}

// Further clients follow the same response while it comes, from its start.
func TestClientsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 3 << 20
		s := new(Store)
		defer s.Close()
		seen := new(events)
		f := newFetch(t, s, 1, seen)
		f.header(size)
		f.send(document(size)[:2<<20])
		stalled, follower := newWriter(), newWriter()
		stalled.stall = make(chan struct{})
		ended := make(chan bool, 2)
		for _, w := range []*writer{stalled, follower} {
			d := claim(t, s, 1, seen, false)
			go func() { ended <- serve(t.Context(), d, w) }()
		}
		synctest.Wait()
		if n := len(follower.content()); n != 2<<20 || follower.sent.Get("Content-Length") != "3145728" {
			t.Errorf("the second client has got %d bytes, %v", n, follower.sent)
		}
		f.send(document(size)[2<<20:])
		if !f.end(true) || <-ended {
			t.Error("a transfer broke off")
		}
		close(stalled.stall)
		if <-ended {
			t.Error("the transfer to a client that stalled broke off")
		}
		for _, w := range []*writer{f.w, stalled, follower} {
			if !bytes.Equal(w.content(), document(size)) {
				t.Errorf("a client got %d bytes", len(w.content()))
			}
		}
		seen.are(t, HandedOver, HandedOver)
	})
}

// If the content breaks off, all its clients get what came, and see that it broke off.
func TestFollowersSeeThatTheContentBrokeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen := new(Store), new(events)
		f := newFetch(t, s, 1, seen)
		f.header(-1)
		f.send([]byte("half"))
		d, w := claim(t, s, 1, seen, false), newWriter()
		ended := make(chan bool)
		go func() { ended <- serve(t.Context(), d, w) }()
		synctest.Wait()
		if f.end(false) || !<-ended {
			t.Error("a client sees the end of the response")
		}
		if string(f.w.content()) != "half" || string(w.content()) != "half" {
			t.Errorf("the clients got %q and %q", f.w.content(), w.content())
		}
		if s.used != 0 || len(s.downloads) != 0 {
			t.Errorf("%d bytes are kept", s.used)
		}
		seen.are(t, Broken)
	})
}

func TestTrailerIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen := new(Store), new(events)
		defer s.Close()
		f := newFetch(t, s, 1, seen)
		f.recorder.Header().Set("Trailer", "X-Announced, X-Missing")
		f.recorder.Header().Set("X-Announced", "header")
		f.header(-1)
		f.send([]byte("document"))
		f.recorder.Header().Add("X-Announced", "trailer")
		f.recorder.Header().Set("X-Ignored", "1")
		f.recorder.Header().Set(http.TrailerPrefix+"X-More", "more")
		if !f.end(true) {
			t.Error("the transfer broke off")
		}
		w := newWriter()
		serve(t.Context(), claim(t, s, 1, seen, false), w)
		for _, w := range []*writer{f.w, w} {
			if w.sent.Get("Trailer") == "" || w.sent.Get("Content-Length") != "" || w.sent.Get("X-Announced") != "header" {
				t.Errorf("the header is %v", w.sent)
			}
			announced, more := w.header[http.TrailerPrefix+"X-Announced"], w.header[http.TrailerPrefix+"X-More"]
			if len(announced) != 1 || announced[0] != "trailer" || len(more) != 1 || w.header["X-Ignored"] != nil {
				t.Errorf("the trailer is %v", w.header)
			}
		}
	})
}
