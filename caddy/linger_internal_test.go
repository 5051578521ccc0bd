package caddyesign

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// closedBody returns an error from Close, so a test sees that it was closed.
type closedBody struct{ io.Reader }

var errClosedBody = errors.New("closed")

// Close implements io.Closer.
func (closedBody) Close() error { return errClosedBody }

// If other handlers of a site close the body of a request, it is closed, which net/http
// notices. The body of a gateway's call stays open, to be read to its end.
func TestOnlyBodiesOfCallsStayOpen(t *testing.T) {
	for _, ours := range []bool{false, true} {
		ctx := context.WithValue(t.Context(), caddyhttp.VarsCtxKey, make(map[string]any))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", closedBody{strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		body := linger(r)
		body.ours.Store(ours)
		if linger(r) != body {
			t.Error("a request has two bodies")
		}
		if err := r.Body.Close(); (err == nil) != ours {
			t.Errorf("ours is %v, and closing it gives %v", ours, err)
		}
	}
}

// What follows a broken body is not taken for a call, whatever Go's server makes of it:
// the connection ends with the answer.
func TestNothingAfterABrokenBodyIsACall(t *testing.T) {
	for name, routes := range map[string]bool{"refused": false, "for error routes": true} {
		t.Run(name, func(t *testing.T) {
			ctx := context.WithValue(t.Context(), caddyhttp.VarsCtxKey, make(map[string]any))
			broken := io.MultiReader(strings.NewReader("some"), iotest.ErrReader(errors.New("malformed chunk")))
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", closedBody{broken})
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = -1
			body := linger(r)
			_, failure := io.ReadAll(r.Body)
			w := httptest.NewRecorder()
			body.settle(w, r, failure, routes, make(chan struct{}, 1))
			if got := w.Header().Get("Connection"); got != "close" {
				t.Errorf("Connection is %q", got)
			}
		})
	}
}
