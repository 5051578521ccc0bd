package sandbox

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLongestPDF(t *testing.T) {
	text := bytes.Repeat([]byte("A"), maxPDF+4)
	var p pdfFile
	if err := p.UnmarshalText(text[:maxPDF]); err != nil || len(p) != 30<<20 {
		t.Errorf("%d bytes: %v", len(p), err)
	}
	const want = "pdf is longer than 41943040 characters"
	if err := p.UnmarshalText(text); err == nil || err.Error() != want {
		t.Errorf("error is %v, want %q", err, want)
	}
}

func TestBodyEndsAtItsLimit(t *testing.T) {
	const body = `{"signProperties": {"orderName": "x"}, "padesSignProperties": {"addVisualSeals": true}, "unknown": 1, "documents": [{"pdf": "JVBERi0="}]}  `
	for limit := range len(body) {
		reader := http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(strings.NewReader(body)), int64(limit))
		if _, err := decodeOrder(newJSONReader(reader), true, contentV1); !isTooLarge(err) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	reader := http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(strings.NewReader(body)), int64(len(body)))
	if order, err := decodeOrder(newJSONReader(reader), true, contentV1); err != nil || len(order.documents) != 1 {
		t.Errorf("%d documents: %v", len(order.documents), err)
	}
}
