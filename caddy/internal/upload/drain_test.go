package upload_test

import (
	"bytes"
	"io"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/upload"
)

// A deadlineRecorder is a ResponseRecorder that takes the time limits of reads.
type deadlineRecorder struct{ *httptest.ResponseRecorder }

// SetReadDeadline implements what http.ResponseController looks for.
func (deadlineRecorder) SetReadDeadline(time.Time) error { return nil }

// A readCounter counts how often it is read.
type readCounter struct {
	io.Reader
	reads int
}

// Read implements io.Reader.
func (c *readCounter) Read(p []byte) (int, error) {
	c.reads++
	return c.Reader.Read(p)
}

// A long body is read in large parts: over HTTP/2, the client hears of each.
func TestDrainReadsLargeParts(t *testing.T) {
	const size = 1 << 20
	content := &readCounter{Reader: bytes.NewReader(make([]byte, size))}
	r := newRequest(t, content)
	upload.Wrap(r).Drain(deadlineRecorder{httptest.NewRecorder()}, new(upload.Drainer))
	if content.reads > size/(32<<10) {
		t.Errorf("%d bytes take %d reads", size, content.reads)
	}
	if n, _ := content.Read(make([]byte, 1)); n != 0 {
		t.Error("there is a rest")
	}
}
