package tokenauth_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// coded returns body with content codings. The first coding is applied first.
func coded(t *testing.T, body string, codings ...string) string {
	t.Helper()
	for _, coding := range codings {
		var out bytes.Buffer
		var w io.WriteCloser
		switch coding {
		case "gzip":
			w = gzip.NewWriter(&out)
		case "deflate":
			w = zlib.NewWriter(&out)
		case "raw":
			w, _ = flate.NewWriter(&out, flate.BestCompression)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		body = out.String()
	}
	return body
}

func TestErrorCodeInEveryCodingThatLeaves(t *testing.T) {
	const plain = `{"errorCode":"invalid_token"}`
	zipped := coded(t, plain, "gzip")
	for _, test := range []struct {
		codings []string // names in the response
		body    string
		want    string
	}{
		{nil, plain, "invalid_token"},
		{[]string{""}, plain, "invalid_token"},
		{[]string{"identity"}, plain, "invalid_token"},
		{[]string{"gzip"}, zipped, "invalid_token"},
		{[]string{"X-GZip"}, zipped, "invalid_token"},
		{[]string{" gzip , identity"}, zipped, "invalid_token"},
		{[]string{"deflate"}, coded(t, plain, "deflate"), "invalid_token"},
		{[]string{"Deflate"}, coded(t, plain, "raw"), "invalid_token"},
		{[]string{"deflate, gzip"}, coded(t, plain, "deflate", "gzip"), "invalid_token"},
		{[]string{"gzip", "deflate"}, coded(t, plain, "gzip", "raw"), "invalid_token"},
		{[]string{"gzip, gzip"}, coded(t, plain, "gzip", "gzip"), "invalid_token"},
		{[]string{"gzip"}, coded(t, "\ufeff"+plain, "gzip"), "invalid_token"},
		{nil, "\ufeff" + plain + "\r\n", "invalid_token"},
		// Two members of a stream are one body (RFC 1952 section 2.2).
		{[]string{"gzip"}, coded(t, plain[:10], "gzip") + coded(t, plain[10:], "gzip"), "invalid_token"},

		{[]string{"gzip, deflate"}, coded(t, plain, "deflate", "gzip"), "challenge"},
		{[]string{"gzip"}, zipped[:len(zipped)-10], "challenge"},
		{[]string{"gzip"}, plain, "challenge"},
		{[]string{"deflate"}, plain, "challenge"},
		{[]string{"br"}, plain, "challenge"},
		{[]string{"zstd"}, zipped, "challenge"},
		{[]string{"gzip, br"}, zipped, "challenge"},
		{[]string{strings.Repeat("gzip,", 1000)}, zipped, "challenge"},
		{[]string{"gzip"}, "", "challenge"},
		{[]string{"deflate"}, "", "challenge"},
		{[]string{"gzip"}, coded(t, `{"errorCode":"`+strings.Repeat("x", 1<<20)+`"}`, "gzip"), "challenge"}, // no error is that long
	} {
		res := &http.Response{
			Header: http.Header{"Content-Encoding": test.codings, "Www-Authenticate": {`Bearer error="challenge"`}},
			Body:   io.NopCloser(strings.NewReader(test.body)),
		}
		if code := tokenauth.ErrorCode(res); code != test.want {
			t.Errorf("as %q, the code is %q, want %q", test.codings, code, test.want)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != test.body {
			t.Errorf("as %q, the body is %d bytes long after that, error %v", test.codings, len(body), err)
		}
	}
}

// A small body may become very large when it is decoded.
func TestOnlyTheBeginningOfABodyIsRead(t *testing.T) {
	large := strings.Repeat(" ", 10<<20) + `{"error":"x"}`
	for _, codings := range [][]string{{"gzip"}, {"deflate"}, {"gzip", "gzip"}, {}} {
		header := http.Header{"Content-Encoding": codings}
		if code, _ := tokenauth.ParseErrorBody(header, []byte(coded(t, large, codings...))); code != "" {
			t.Errorf("%q: the code is %q", codings, code)
		}
	}
}
