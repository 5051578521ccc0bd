package gateway_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// This test is generated from the table. It counts how often the server sees the call of
// each row when it refuses the credential.
func TestRetryAfterRejection(t *testing.T) {
	for _, row := range bankid.Calls(bankid.APIs()...) {
		for _, test := range []struct {
			code  int
			age   time.Duration // of the token
			body  string        // of the refusal
			sends func(gateway.Call) int
		}{
			{401, 0, `{"error":"invalid_token"}`, func(c gateway.Call) int { return retries(c, true) }},
			{401, 0, `{"error":"invalid_grant"}`, func(c gateway.Call) int { return retries(c, c.Group != "csc") }},
			{401, 0, ``, func(c gateway.Call) int { return retries(c, c.Group != "csc") }},
			{403, 0, ``, func(gateway.Call) int { return 1 }},
			{403, 6 * time.Second, ``, func(c gateway.Call) int {
				return retries(c, c.Group == "signdoc" || c.Group == "timestamp")
			}},
			{400, 6 * time.Second, `{"error":"invalid_token"}`, func(gateway.Call) int { return 1 }},
			{500, 6 * time.Second, ``, func(gateway.Call) int { return 1 }},
			{503, 6 * time.Second, ``, func(gateway.Call) int { return 1 }},
		} {
			t.Run(fmt.Sprintf("%s%s/%d,%v,%s", row.Method, row.Path, test.code, test.age, test.body), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					transport, b, _ := newTransport(t)
					b.answer = func(*http.Request) (int, string) { return test.code, test.body }
					if row.Kind == gateway.Bearer || row.Kind == gateway.DPoP {
						if _, err := transport.Sources[row.Group].Token(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(test.age)
					r := newRequest(t, row.Method, row.Path+"?sign_id=1", "body")
					code, body := status(t, transport, r)
					if code != test.code || body != test.body {
						t.Errorf("answer is %d %q, want BankID's %d %q", code, body, test.code, test.body)
					}
					if got, want := len(b.calls), test.sends(row); got != want {
						t.Errorf("it was sent %d times, want %d", got, want)
					}
					for _, body := range b.bodies {
						if body != "body" {
							t.Errorf("the body sent is %q", body)
						}
					}
				})
			})
		}
	}
}

// retries returns how often a call is sent: twice if its response refuses the credential
// (refused) and its row allows a retry, else once.
func retries(c gateway.Call, refused bool) int {
	if refused && c.Kind != gateway.Pass && c.Kind != gateway.None && c.Retry != gateway.Never {
		return 2
	}
	return 1
}

// A row without a retry class is sent once.
func TestCallOfNoReplayClassIsSentOnce(t *testing.T) {
	for _, kind := range []gateway.Kind{gateway.Bearer, gateway.DPoP} {
		synctest.Test(t, func(t *testing.T) {
			transport, b, _ := newTransport(t)
			group := map[gateway.Kind]string{gateway.Bearer: "signdoc", gateway.DPoP: "b2b"}[kind]
			transport.Table = gateway.NewTable(gateway.Call{Method: "POST", Path: "/x", Group: group, Kind: kind})
			b.header = http.Header{"Dpop-Nonce": {"n"}}
			b.answer = func(*http.Request) (int, string) { return 401, `{"error":"use_dpop_nonce"}` }
			if code, _ := status(t, transport, newRequest(t, "POST", "/x", "body")); code != 401 || len(b.calls) != 1 {
				t.Errorf("%s: the answer is %d, and it was sent %d times", kind, code, len(b.calls))
			}
		})
	}
}

func TestF15PermanentForbiddenIsRenewedOncePer30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, issuer := newTransport(t)
		b.answer = func(*http.Request) (int, string) { return 403, "" }
		const calls, every = 1000, 100 * time.Millisecond
		for range calls {
			status(t, transport, newRequest(t, "GET", "/v1/signdoc/pades", ""))
			time.Sleep(every)
		}
		// In 100 seconds there are the first token, and renewals after 5, 35, 65 and 95.
		if got := len(issuer.TokenRequests()); got > 1+4 {
			t.Errorf("%d token requests in %v, want at most one per 30 s", got, calls*every)
		}
		if got := len(issuer.TokenRequests()); got < 2 {
			t.Errorf("%d token requests: an old token was never renewed", got)
		}
	})
}

func TestRetriedCallHasTheNewToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		b.answer = func(r *http.Request) (int, string) {
			if r.Header.Get("Authorization") == "Bearer token-1" {
				return 401, "refused"
			}
			return 200, "done"
		}
		if code, body := status(t, transport, newRequest(t, "POST", "/v1/signdoc/pades", "x")); code != 200 || body != "done" {
			t.Errorf("answer is %d %q", code, body)
		}
		if got := b.calls[1].Header.Get("Authorization"); got != "Bearer token-2" {
			t.Errorf("Authorization of the retry is %q", got)
		}
	})
}

func TestSameTokenAgainIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, issuer := newTransport(t)
		issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, "same", 300) })
		b.answer = func(*http.Request) (int, string) { return 401, "refused" }
		if code, _ := status(t, transport, newRequest(t, "POST", "/v1/signdoc/pades", "x")); code != 401 {
			t.Errorf("status is %d", code)
		}
		if got := len(b.calls); got != 1 {
			t.Errorf("it was sent %d times, want once", got)
		}
	})
}

func TestFailedRenewalHandsOnTheRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, issuer := newTransport(t)
		b.answer = func(*http.Request) (int, string) { return 401, "refused" }
		if _, err := transport.Sources["signdoc"].Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		if code, body := status(t, transport, newRequest(t, "POST", "/v1/signdoc/pades", "x")); code != 401 || body != "refused" {
			t.Errorf("answer is %d %q", code, body)
		}
		// The token is still in use.
		b.answer = nil
		if code, _ := status(t, transport, newRequest(t, "GET", "/v1/signdoc/pades", "")); code != 200 {
			t.Errorf("status is %d", code)
		}
	})
}

func TestF17LargeBodyIsNotRetriedButTheTokenRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, length := range []int64{2 << 10, -1} {
			transport, b, issuer := newTransport(t)
			b.answer = func(*http.Request) (int, string) { return 401, "" }
			r := newRequest(t, "POST", "/v1/signdoc/pades", strings.Repeat("x", 2<<10))
			r.ContentLength = length
			if code, _ := status(t, transport, r); code != 401 {
				t.Errorf("status is %d", code)
			}
			if got := len(b.calls); got != 1 {
				t.Errorf("it was sent %d times, want once", got)
			}
			if got := len(b.bodies[0]); got != 2<<10 {
				t.Errorf("%d bytes were sent", got)
			}
			synctest.Wait()
			if got := len(issuer.TokenRequests()); got != 2 {
				t.Errorf("%d token requests, want 2: the next call should not fail too", got)
			}
		}
	})
}

func TestSecondSendIsRefused(t *testing.T) {
	reset := errors.New("connection reset")
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, test := range []struct {
		method, path, body string
		err                error
		sends              int // of two tries
	}{
		{"GET", "/v1/signdoc/pades", "", reset, 2},
		{"POST", "/v1/signdoc/pades", "x", reset, 1},
		{"POST", "/v1/signdoc/pades", "", reset, 1},
		{"DELETE", "/v1/signdoc/pades", "", reset, 1},
		{"POST", "/csc/v2/credentials/list", "x", reset, 1},
		{"POST", "/csc/v2/info", "", reset, 2},
		{"POST", "/csc/v2/info", "x", reset, 2},
		{"POST", "/csc/v2/info", strings.Repeat("x", 2<<10), reset, 1}, // its body has been read
		{"GET", "/v1/signdoc/pades", "x", reset, 2},
		{"DELETE", "/v1/signdoc/pades", "", dial, 1},
		{"POST", "/v1/signdoc/pades", "x", dial, 1},
		{"POST", "/v1/signdoc/pades", strings.Repeat("x", 2<<10), dial, 1},
		{"POST", "/csc/v2/credentials/list", "x", dial, 1},
	} {
		t.Run(test.method+test.path+test.body[:min(1, len(test.body))]+test.err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport, b, _ := newTransport(t)
				b.err = test.err
				r := newRequest(t, test.method, test.path, test.body)
				d := new(gateway.Exchange)
				//nolint:bodyclose // there is none
				if _, err := transport.Try(r, d); err != test.err { //nolint:errorlint // the very same
					t.Fatalf("error is %v, want the base's own", err)
				}
				if test.err == dial {
					b.err = nil
				}
				res, err := transport.Try(r, d)
				if test.err == dial && err != nil {
					t.Errorf("nothing was sent, but another try fails: %v", err)
				}
				if test.err == reset && err != reset { //nolint:errorlint // the very same
					t.Errorf("error is %v, want the first one", err)
				}
				if res != nil {
					res.Body.Close()
				}
				if got := len(b.calls); got != test.sends {
					t.Errorf("it was sent %d times, want %d", got, test.sends)
				}
				for _, body := range b.bodies {
					if body != test.body {
						t.Errorf("a body of %d bytes was sent, want %d", len(body), len(test.body))
					}
				}
			})
		})
	}
}

func TestCallThatWasAnsweredIsNotSentAgain(t *testing.T) {
	for _, method := range []string{"POST", "DELETE"} {
		synctest.Test(t, func(t *testing.T) {
			transport, b, _ := newTransport(t)
			d := new(gateway.Exchange)
			for n := range 2 {
				res, err := transport.Try(newRequest(t, method, "/v1/signdoc/pades", "x"), d)
				if (res == nil) == (err == nil) || (n == 0) != (err == nil) {
					t.Errorf("send %d: %v, %v", n+1, res, err)
				}
				if res != nil {
					res.Body.Close()
				}
			}
			if len(b.calls) != 1 {
				t.Errorf("it was sent %d times", len(b.calls))
			}
		})
	}
}

// net/http retries a request by itself if it has such a header field.
func TestIdempotencyKeyDoesNotLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		for _, row := range bankid.Calls(bankid.APIs()...) {
			r := newRequest(t, row.Method, row.Path, "x")
			r.Header.Set("Idempotency-Key", "k")
			status(t, transport, r)
			if out := b.calls[len(b.calls)-1]; out.Header.Get("Idempotency-Key") != "" {
				t.Errorf("%s %s has Idempotency-Key", row.Method, row.Path)
			}
		}
	})
}

// Some APIs of BankID answer 403 for a bad token. There, a 403 for a token that was accepted
// some time ago leads to a renewal.
func TestF26ForbiddenMeansAnotherTokenWhereItCan(t *testing.T) {
	for _, test := range []struct {
		path  string
		age   time.Duration
		sends int
	}{
		{"/v1/signdoc/pades", 4 * time.Second, 1},
		{"/v1/signdoc/pades", 6 * time.Second, 2},
		{"/v1/timestamp/pades/lta", 6 * time.Second, 2},
		{"/csc/v2/oauth2/token", 6 * time.Second, 1},
		{"/v0/b2b/ades/pades", 6 * time.Second, 1},
	} {
		t.Run(fmt.Sprint(test.path, test.age), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport, b, _ := newTransport(t)
				call := func() int {
					code, _ := status(t, transport, newRequest(t, "POST", test.path, "x"))
					return code
				}
				call()
				old := b.calls[0].Header.Get("Authorization")
				b.answer = func(r *http.Request) (int, string) {
					if r.Header.Get("Authorization") == old {
						return 403, ""
					}
					return 200, ""
				}
				time.Sleep(test.age)
				if got, want := call(), map[int]int{1: 403, 2: 200}[test.sends]; got != want {
					t.Errorf("status is %d, want %d", got, want)
				}
				if got := len(b.calls) - 1; got != test.sends {
					t.Errorf("it was sent %d times, want %d", got, test.sends)
				}
			})
		})
	}
}
