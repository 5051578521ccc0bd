package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// If the server promises that it has not processed a call, the call is sent again, in every
// retry class, while its body is whole and there is time. Each sending has a new proof.
func TestUnprocessedCallIsSentAgain(t *testing.T) {
	const forEver = 1000
	for _, test := range []struct {
		name     string
		path     string
		body     string
		refusals int
		timeout  time.Duration // of the caller
		sends    int
		ok       bool
	}{
		{"once", "/v1/signdoc/pades", "body", 1, time.Hour, 2, true},
		{"with a proof", "/v0/b2b/ades/pades", "body", 3, time.Hour, 4, true},
		{"row that allows no retry", "/csc/v2/credentials/list", "body", 3, time.Hour, 4, true},
		{"without a token", "/csc/v2/info", "body", 3, time.Hour, 4, true},
		{"ten times", "/v1/signdoc/pades", "body", 10, time.Hour, 11, true},
		{"for ever", "/v1/signdoc/pades", "body", forEver, time.Hour, 11, false},
		{"body that is too large to be held", "/v1/signdoc/pades", strings.Repeat("x", 2<<10), 1, time.Hour, 1, false},
		{"no time", "/v1/signdoc/pades", "", forEver, 1500 * time.Millisecond, 2, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport, b, _ := newTransport(t)
				for _, source := range transport.Sources {
					if _, err := source.Token(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				var bodies []string
				proofs := make(map[string]bool)
				transport.Base = roundTripFunc(func(r *http.Request) (*http.Response, error) {
					time.Sleep(time.Second)
					body := ""
					if r.Body != nil {
						read, err := io.ReadAll(r.Body)
						if err != nil {
							return nil, err
						}
						body = string(read)
					}
					bodies = append(bodies, body)
					if proof := r.Header.Get("DPoP"); proof != "" {
						proofs[proof] = true
					}
					if len(bodies) <= test.refusals {
						return nil, new(gateway.UnprocessedError)
					}
					return b.RoundTrip(r)
				})
				r := newRequest(t, "POST", test.path, test.body)
				ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
				start := time.Now()
				res, err := transport.RoundTrip(r.WithContext(ctx))
				if res != nil {
					res.Body.Close()
				}
				if (err == nil) != test.ok {
					t.Errorf("error is %v", err)
				}
				if _, unprocessed := errors.AsType[*gateway.UnprocessedError](err); err != nil && !unprocessed {
					t.Errorf("error is %v, want one that says that nothing was done", err)
				}
				if len(bodies) != test.sends {
					t.Errorf("it was sent %d times, want %d", len(bodies), test.sends)
				}
				for _, body := range bodies {
					if body != test.body {
						t.Errorf("a body of %d bytes was sent, want %d", len(body), len(test.body))
					}
				}
				if strings.HasPrefix(test.path, "/v0/b2b") && len(proofs) != test.sends {
					t.Errorf("there were %d proofs, want %d", len(proofs), test.sends)
				}
				if took := time.Since(start); took > 20*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// A host that does not support Expect gets the call without that field.
func TestExpectationThatIsNotSupported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		var expectations []string
		transport.Base = roundTripFunc(func(r *http.Request) (*http.Response, error) {
			expectations = append(expectations, r.Header.Get("Expect"))
			if r.Header.Get("Expect") != "" {
				return &http.Response{StatusCode: http.StatusExpectationFailed, Header: make(http.Header), Body: http.NoBody}, nil
			}
			return b.RoundTrip(r)
		})
		body := strings.Repeat("x", 2<<10)
		if code, _ := status(t, transport, newRequest(t, "POST", "/v0/b2b/ades/pades", body)); code != http.StatusOK {
			t.Errorf("status is %d", code)
		}
		if len(expectations) != 2 || expectations[1] != "" || len(b.bodies) != 1 || b.bodies[0] != body {
			t.Errorf("expectations were %q, and %d bodies came", expectations, len(b.bodies))
		}
	})
}

// If a part of a body was read, the rest is not sent as if it were the whole body.
func TestRestOfABodyIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, _, _ := newTransport(t)
		var bodies []string
		transport.Base = roundTripFunc(func(r *http.Request) (*http.Response, error) {
			read := make([]byte, 4)
			_, err := io.ReadFull(r.Body, read)
			bodies = append(bodies, string(read))
			return nil, errors.Join(err, new(gateway.UnprocessedError))
		})
		r := newRequest(t, "POST", "/v1/signdoc/pades", strings.Repeat("x", 2<<10))
		d := new(gateway.Exchange)
		for range 2 {
			if res, err := transport.Try(r, d); err == nil {
				res.Body.Close()
				t.Error("there is no error")
			}
		}
		if len(bodies) != 1 {
			t.Errorf("it was sent %d times, want once", len(bodies))
		}
	})
}

// If a token expires while a call is sent again, the error is that of the sending before.
func TestTokenExpiresWhileACallIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, _, issuer := newTransport(t)
		issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, "short", 2) })
		sends := 0
		transport.Base = roundTripFunc(func(*http.Request) (*http.Response, error) {
			sends++
			time.Sleep(time.Second)
			return nil, new(gateway.UnprocessedError)
		})
		d := new(gateway.Exchange)
		res, err := transport.Try(newRequest(t, "GET", "/v1/signdoc/pades", ""), d)
		if res != nil {
			res.Body.Close()
		}
		if _, ok := errors.AsType[*gateway.UnprocessedError](err); !ok || sends != 2 {
			t.Errorf("it was sent %d times, and the error is %v", sends, err)
		}
	})
}
