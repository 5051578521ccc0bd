package gateway_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// oddToken has all characters that a token may have (RFC 6750 section 2.1) and that an
// encoding may change.
const oddToken = "planted.token~with+odd/characters_0123456789=="

// newEchoTransport returns a transport whose tokens are oddToken, and its backend.
func newEchoTransport(t *testing.T) (*gateway.Transport, *backend) {
	t.Helper()
	transport, b, issuer := newTransport(t)
	issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
		kind := "Bearer"
		if r.Header.Get("DPoP") != "" {
			kind = "DPoP"
		}
		tokenauthtest.WriteJSON(w, http.StatusOK, map[string]any{"access_token": oddToken, "token_type": kind, "expires_in": 300})
	})
	return transport, b
}

// If a header field of a response shows the token in any form, its value does not reach the
// caller. All other values do.
func TestEchoedTokenIsLeftOut(t *testing.T) {
	base := base64.StdEncoding.EncodeToString
	for name, echo := range map[string]string{
		"as it is":            oddToken,
		"within":              "the token " + oddToken + " is not known",
		"challenge":           `Bearer error="invalid_token", error_description="` + oddToken + `"`,
		"percent-encoded":     "https://elsewhere.example/?access_token=" + url.QueryEscape(oddToken) + "&a=b",
		"lower case":          strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(oddToken),
		"twice":               url.QueryEscape(url.QueryEscape(oddToken)),
		"three times":         url.QueryEscape(url.QueryEscape(url.QueryEscape(oddToken))),
		"needlessly":          strings.Replace(oddToken, "p", "%70", 1),
		"beside no encoding":  "100% " + url.QueryEscape(oddToken),
		"base64":              base([]byte(oddToken)),
		"base64 of a field":   base([]byte("Authorization: Bearer " + oddToken)),
		"base64 of a pair":    base([]byte("client:" + oddToken + ":more")),
		"base64 for URLs":     base64.RawURLEncoding.EncodeToString([]byte("Bearer " + oddToken)),
		"base64, encoded too": url.QueryEscape(base([]byte("x" + oddToken))),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport, b := newEchoTransport(t)
				b.header = http.Header{
					"X-Echo": {echo}, http.CanonicalHeaderKey("X-" + oddToken): {"name"}, "X-Several": {"a", echo, "b"},
					"Content-Type": {"text/plain; charset=utf-8; token=planted"}, "Etag": {base([]byte(strings.Repeat("x", 100)))},
				}
				b.answer = func(*http.Request) (int, string) { return 200, echo }
				b.trailer = http.Header{http.CanonicalHeaderKey("X-" + oddToken): nil}
				res, err := transport.RoundTrip(newRequest(t, "GET", "/v1/signdoc/pades", ""))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if _, ok := res.Header["X-Echo"]; ok || !slices.Equal(res.Header["X-Several"], []string{"a", "b"}) || len(res.Header) != 3 {
					t.Errorf("the header has %d fields, of several values %d", len(res.Header), len(res.Header["X-Several"]))
				}
				if len(b.header["X-Several"]) != 3 {
					t.Error("the values of the server were changed")
				}
				if len(res.Trailer) != 0 {
					t.Error("a trailer is announced whose name shows it")
				}
				if body, err := io.ReadAll(res.Body); string(body) != echo || err != nil {
					t.Errorf("the body was changed, or broke off: %v", err)
				}
			})
		})
	}
}

// interim is a server that sends an interim response, and a response with a trailer and a
// reason phrase. All of them show the secrets of the request.
type interim struct{ err error }

// RoundTrip implements http.RoundTripper.
func (s interim) RoundTrip(r *http.Request) (*http.Response, error) {
	echo := []string{strings.Join(append(r.Header["Authorization"], r.Header["Dpop"]...), " ")}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.Got1xxResponse != nil {
		if err := trace.Got1xxResponse(http.StatusEarlyHints, textproto.MIMEHeader{"Link": {"</>"}, "X-Echo": echo}); err != nil {
			return nil, err
		}
	}
	if s.err != nil {
		return nil, fmt.Errorf("%w %q", s.err, echo)
	}
	res := &http.Response{StatusCode: 401, Status: "401 " + echo[0], Header: http.Header{"X-Echo": echo}, Trailer: http.Header{"X-Echo": nil, "X-Other": nil}}
	res.Body = struct {
		io.Reader
		io.Closer
	}{readerFunc(func([]byte) (int, error) {
		res.Trailer["X-Echo"], res.Trailer["X-Other"] = echo, []string{"other"}
		return 0, io.EOF
	}), io.NopCloser(nil)}
	return res, nil
}

// Interim responses, trailers, the reason phrase and errors do not show the token or the
// proof either.
func TestNothingOfAnAnswerShowsTheToken(t *testing.T) {
	for _, path := range []string{"/v1/signdoc/pades", "/v0/b2b/seal/order"} {
		for _, origin := range []string{"https://api.example", "http://127.0.0.1:1"} {
			for _, err := range []error{nil, errMalformed} {
				t.Run(fmt.Sprint(path, " ", origin, " ", err), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { testNothingShows(t, path, origin, err) })
				})
			}
		}
	}
}

var errMalformed = errors.New("malformed HTTP status code")

// testNothingShows makes a call to a server that shows all secrets. The call may fail with
// err.
func testNothingShows(t *testing.T, path, origin string, err error) {
	t.Helper()
	transport, _ := newEchoTransport(t)
	transport.Base = interim{err}
	transport.Origin, _ = url.Parse(origin)
	transport.Table = gateway.NewTable(
		gateway.Call{Method: "GET", Path: "/v1/signdoc/pades", Group: "signdoc", Kind: gateway.Bearer, Retry: gateway.Safe},
		gateway.Call{Method: "GET", Path: "/v0/b2b/seal/order", Group: "b2b", Kind: gateway.DPoP, Retry: gateway.Safe},
	)
	var shown []string
	r := newRequest(t, "GET", path, "")
	r.URL.Scheme, r.URL.Host = transport.Origin.Scheme, transport.Origin.Host
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
		shown = append(shown, fmt.Sprint(header))
		return nil
	}}))
	res, failed := transport.RoundTrip(r)
	if err != nil {
		if !errors.Is(failed, err) || !strings.Contains(failed.Error(), err.Error()) {
			t.Errorf("the error is not the one of Base")
		}
		shown = append(shown, failed.Error())
	} else {
		if failed != nil {
			t.Fatal("the call failed")
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		shown = append(shown, fmt.Sprint(res.Header, res.Status, res.Trailer))
		if !strings.HasPrefix(res.Status, "401 ") || res.Trailer.Get("X-Other") != "other" {
			t.Errorf("the status is %.4q, the trailer has %d fields", res.Status, len(res.Trailer))
		}
	}
	if len(shown) < 2 || !strings.Contains(shown[0], "</>") {
		t.Errorf("%d responses, want an interim one with its link, and another one", len(shown))
	}
	for i, text := range shown {
		if strings.Contains(text, oddToken) || strings.Contains(text, "eyJ") {
			t.Errorf("response %d shows a secret", i)
		}
	}
}

// trailingBody is a body whose trailer comes when it is closed while it is read.
type trailingBody struct {
	res    *http.Response
	closed chan struct{}
}

func (b trailingBody) Read([]byte) (int, error) {
	<-b.closed
	b.res.Trailer["X-Trailer"] = []string{"late"}
	return 0, io.EOF
}

func (b trailingBody) Close() error {
	close(b.closed)
	return nil
}

// net/http's own bodies can be closed while they are read.
func TestClosingABodyDoesNotLookAtTrailersThatCome(t *testing.T) {
	transport, _ := newEchoTransport(t)
	transport.Base = roundTripFunc(func(*http.Request) (*http.Response, error) {
		res := &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Trailer: http.Header{"X-Trailer": nil}}
		res.Body = trailingBody{res, make(chan struct{})}
		return res, nil
	})
	res, err := transport.RoundTrip(newRequest(t, "GET", "/v1/signdoc/pades", "")) //nolint:bodyclose // closing it is what is tested
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(res.Body)
		read <- err
	}()
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}
