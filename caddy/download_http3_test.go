//go:build !race

// See hostile_http3_test.go for why.

package caddyesign_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

// Over HTTP/3, the caller leaves during one of the stages of the server's response, and
// gets the document with its next download.
func TestCallerOfHTTP3LeavesWhileTheServerResponds(t *testing.T) {
	f, _, config := newProtocols(t)
	o := f.serving(newOrders(100_000))
	call := func(ctx context.Context, transport http.RoundTripper, signID string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodDelete, f.url+download(signID), nil)
		if err != nil {
			t.Fatal(err)
		}
		return transport.RoundTrip(req)
	}
	for _, stage := range []string{"header", "start", "middle", "end"} {
		t.Run(stage, func(t *testing.T) {
			f.in(t)
			transport := &http3.Transport{TLSClientConfig: config.Clone()}
			defer transport.Close()
			o.stopAt(stage)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			left := make(chan struct{})
			go func() {
				defer close(left)
				if res, err := call(ctx, transport, stage); err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			}()
			<-o.reached
			leave()
			<-left
			f.noticed(goesOn, stage, 1)
			o.goOn <- struct{}{}
			f.noticed(isKept, stage, 1)
			res, err := call(t.Context(), transport, stage)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(body, o.document(stage)) {
				t.Errorf("the next download brought %d bytes, %v", len(body), err)
			}
			if n := f.deletes(); n != 1 {
				t.Errorf("upstream saw %d downloads, want 1", n)
			}
		})
	}
}
