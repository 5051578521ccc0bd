package caddyesign

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// closedBody says that it was closed.
type closedBody struct{ io.Reader }

var errClosedBody = errors.New("closed")

// Close implements io.Closer.
func (closedBody) Close() error { return errClosedBody }

// Other handlers of a site close the bodies of their requests, which net/http looks at;
// those of calls stay open, to be read to their end.
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
