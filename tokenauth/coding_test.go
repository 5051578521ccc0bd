package tokenauth_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

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
func TestPlainBodyIsBounded(t *testing.T) {
	large := strings.Repeat("x", 10<<20)
	for _, codings := range [][]string{{"gzip"}, {"deflate"}, {"gzip", "gzip"}, {}} {
		header := http.Header{"Content-Encoding": codings}
		if n := len(tokenauth.PlainBody(header, []byte(coded(t, large, codings...)))); n > 16<<10 {
			t.Errorf("%q: %d bytes", codings, n)
		}
	}
}

func TestOnlyReadableCodingsAreAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		for _, test := range []struct{ callers, want []string }{
			{nil, nil},
			{[]string{"gzip"}, []string{"gzip"}},
			{[]string{"gzip, deflate"}, []string{"gzip, deflate"}},
			{[]string{"GZIP;Q=0.5,  identity"}, []string{"GZIP;Q=0.5,  identity"}},
			{[]string{"gzip", "deflate;q=0.5"}, []string{"gzip", "deflate;q=0.5"}},
			{[]string{"identity;q=0, gzip"}, []string{"identity;q=0, gzip"}},
			{[]string{"gzip, deflate, br"}, []string{"gzip, deflate"}},
			{[]string{"gzip, deflate, br, zstd"}, []string{"gzip, deflate"}},
			{[]string{"br;q=1.0, gzip;q=0.8, *;q=0.1"}, []string{"gzip;q=0.8, deflate;q=0.1, identity;q=0.1"}},
			{[]string{"br", "gzip"}, []string{"gzip"}},
			{[]string{"br", ""}, []string{"identity"}},
			{[]string{"br"}, []string{"identity"}},
			{[]string{"br, zstd;q=0.9"}, []string{"identity"}},
			{[]string{"br, identity;q=0"}, []string{"identity"}},
			{[]string{"br, gzip, identity;q=0"}, []string{"gzip, identity;q=0"}},
			{[]string{"br, gzip;q=0"}, []string{"identity"}},
			{[]string{"br, gzip;q=0.000, deflate"}, []string{"deflate"}},
			{[]string{""}, []string{"identity"}},
			{[]string{" , "}, []string{"identity"}},
			{[]string{"*"}, []string{"gzip, deflate, identity"}},
			{[]string{"*;q=0"}, []string{"identity"}},
			{[]string{"gzip, *;q=0"}, []string{"gzip, identity;q=0"}},
			{[]string{"x-gzip, *;q=0.5"}, []string{"x-gzip, deflate;q=0.5, identity;q=0.5"}},
			{[]string{"br, gzip ; q=0.7"}, []string{"gzip;q=0.7"}},
			{[]string{"br, gzip;q=2, deflate;q=, identity;level=1"}, []string{"identity"}},
			{[]string{"compress, exi, dcz, aes128gcm"}, []string{"identity"}},
		} {
			r := newRequest(t, "GET", pades, "")
			if test.callers != nil {
				r.Header["Accept-Encoding"] = test.callers
			}
			before := slices.Clone(test.callers)
			status(t, transport, r)
			if got := b.calls[len(b.calls)-1].Header["Accept-Encoding"]; !slices.Equal(got, test.want) {
				t.Errorf("of %q, %q leaves, want %q", test.callers, got, test.want)
			}
			if !slices.Equal(r.Header["Accept-Encoding"], before) {
				t.Errorf("the caller's own header was changed to %q", r.Header["Accept-Encoding"])
			}
		}
	})
}

func FuzzAcceptEncoding(f *testing.F) {
	for _, seed := range []string{"gzip, br;q=0.5", "*;q=0", "identity;q=0", ";q=1", "br;;", "*,*;q=0.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		var left []string
		transport := &tokenauth.Transport{
			Table:  tokenauth.NewTable(tokenauth.Call{Method: "GET", Path: "/x", Kind: tokenauth.None}),
			Origin: &url.URL{Scheme: "https", Host: "api.example"},
			Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				left = r.Header["Accept-Encoding"]
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}),
		}
		r := newRequest(t, "GET", "/x", "")
		r.Header.Set("Accept-Encoding", field)
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		for coding := range strings.SplitSeq(strings.Join(left, ","), ",") {
			coding, _, _ = strings.Cut(coding, ";")
			switch strings.ToLower(strings.Trim(coding, " \t")) {
			case "gzip", "x-gzip", "deflate", "identity", "":
			default:
				t.Errorf("of %q, %q leaves", field, left)
			}
		}
	})
}
