package gateway_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// brokenUpload is a body that goes on until it is broken off.
type brokenUpload struct {
	io.Reader
	broken <-chan struct{}
}

func (b brokenUpload) Read(p []byte) (int, error) {
	if n, err := b.Reader.Read(p); err == nil {
		return n, nil
	}
	<-b.broken
	return 0, errors.New("the caller has ended its upload")
}

// A caller that breaks off its upload because of an early response gets the rest of that
// response.
func TestEarlyAnswerIsWholeThoughTheUploadBreaksOff(t *testing.T) {
	const size = 2 << 20
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			broken := make(chan struct{})
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				w.WriteHeader(http.StatusBadRequest)
				_ = http.NewResponseController(w).Flush()
				<-broken
				_, _ = io.WriteString(w, strings.Repeat("x", size))
			}))
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			transport, _, _ := newTransport(t)
			transport.Base = server.Client().Transport
			transport.Origin, _ = url.Parse(server.URL)
			req := newRequest(t, "POST", "/v1/signdoc/pades", "")
			req.URL.Host = transport.Origin.Host
			req.Body = io.NopCloser(brokenUpload{strings.NewReader(strings.Repeat("x", 2<<20)), broken})
			req.ContentLength = 30 << 20
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			close(broken)
			if body, err := io.ReadAll(res.Body); len(body) != size || err != nil {
				t.Errorf("%d bytes of %d come, %v", len(body), size, err)
			}
		})
	}
}
