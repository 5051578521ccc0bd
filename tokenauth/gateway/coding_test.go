package gateway_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

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
		transport := &gateway.Transport{
			Table:  gateway.NewTable(gateway.Call{Method: "GET", Path: "/x", Kind: gateway.None}),
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
