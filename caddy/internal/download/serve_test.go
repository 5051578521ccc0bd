package download

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Serve tells how the transfer has ended, and panics if it has broken off.
func TestServe(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	for name, test := range map[string]struct {
		ctx     context.Context
		err     error // of the writer
		closed  bool  // the store
		outcome Outcome
		status  int
		panics  bool
	}{
		"delivered":         {t.Context(), nil, false, Delivered, 200, false},
		"delivered, closed": {t.Context(), nil, true, Delivered, 200, false},
		"breaks off":        {t.Context(), errors.New("broken"), false, Interrupted, 200, true},
		"breaks off, lost":  {t.Context(), errors.New("broken"), true, Lost, 200, true},
		"client has left":   {gone, nil, false, Interrupted, 499, false},
	} {
		t.Run(name, func(t *testing.T) {
			var s Store
			defer s.Close()
			d, _, err := s.Claim(t.Context(), Key{1}, nobody{})
			if err != nil {
				t.Fatal(err)
			}
			recorder := newRecorder(t, httptest.NewRecorder(), d)
			recorder.Header().Set("X-Order", "1")
			_, _ = recorder.Write([]byte("document"))
			if !recorder.End(true) {
				t.Fatal("it is not kept")
			}
			if test.closed {
				s.Close()
			}
			w := &flakyWriter{httptest.NewRecorder(), test.err}
			outcome, r := Outcome(-1), httptest.NewRequestWithContext(test.ctx, http.MethodGet, "/", nil)
			func() {
				defer func() {
					if p := recover(); (p == http.ErrAbortHandler) != test.panics { //nolint:errorlint // as net/http compares it
						t.Errorf("it panics with %v", p)
					}
				}()
				d.Serve(w, r, func(o Outcome) { outcome = o })
			}()
			if outcome != test.outcome || w.Code != test.status {
				t.Errorf("the outcome is %d, status %d", outcome, w.Code)
			}
			if test.outcome == Delivered && (w.Body.String() != "document" || w.Header().Get("Content-Length") != "8" || w.Header().Get("X-Order") != "1") {
				t.Errorf("the client got %q, %v", w.Body, w.Header())
			}
		})
	}
}
