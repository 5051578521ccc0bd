package gateway_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A backend is the Base of a Transport. It records the requests, and answers as its fields
// say.
type backend struct {
	calls  []*http.Request
	bodies []string
	answer func(r *http.Request) (int, string)
	err    error
	header http.Header

	trailer http.Header // an announced trailer
}

// RoundTrip implements http.RoundTripper.
func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	if opErr, ok := errors.AsType[*net.OpError](b.err); ok && opErr.Op == "dial" {
		return nil, b.err
	}
	body := ""
	if r.Body != nil {
		read, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(read)
		r.Body.Close()
	}
	b.calls, b.bodies = append(b.calls, r), append(b.bodies, body)
	if b.err != nil {
		return nil, b.err
	}
	status, text := http.StatusOK, "ok"
	if b.answer != nil {
		status, text = b.answer(r)
	}
	return &http.Response{
		StatusCode: status, Header: b.header.Clone(), Trailer: b.trailer.Clone(), Request: r,
		Body: io.NopCloser(strings.NewReader(text)),
	}, nil
}

// newTransport returns a transport with the whole table of BankID, a backend and an issuer.
// It must be called in a bubble. Its sources are closed when the test ends.
func newTransport(t *testing.T) (*gateway.Transport, *backend, *tokenauthtest.Server) {
	t.Helper()
	issuer := tokenauthtest.NewServer()
	provider, err := tokenauth.NewProvider(issuer.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	sources := make(map[string]*tokenauth.Source)
	for _, api := range bankid.APIs() {
		source, err := tokenauth.NewSource(tokenauth.Config{
			Provider:    provider,
			Credentials: func() (tokenauth.Credentials, error) { return tokenauth.Credentials{ClientID: "client"}, nil },
			Scopes:      bankid.Scopes(api, nil),
			// With this, a token is not renewed before a test wants it: it is renewed
			// at 260 of its 300 s, and the last 30 s are not used.
			RefreshBefore: 10 * time.Second,
			DPoP:          api == bankid.B2B,
		})
		if err != nil {
			t.Fatal(err)
		}
		source.Attach(tokenauth.Runtime{Client: issuer.Client()})
		t.Cleanup(source.Close)
		sources[string(api)] = source
	}
	b := new(backend)
	origin, _ := url.Parse("https://api.example")
	return &gateway.Transport{
		Base: b, Table: gateway.NewTable(bankid.Calls(bankid.APIs()...)...),
		Sources: sources, Origin: origin, RequestBuffer: 1 << 10,
	}, b, issuer
}

// newRequest makes a request to the origin of newTransport.
func newRequest(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = io.NopCloser(strings.NewReader(body))
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "https://api.example"+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = int64(len(body))
	return r
}

// status makes a call and returns the status and body of the answer.
func status(t *testing.T, transport *gateway.Transport, r *http.Request) (int, string) {
	t.Helper()
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestLargeBodyWaitsForATokenThatLasts(t *testing.T) {
	for _, length := range []int64{2 << 10, -1} {
		testLargeBodyWaits(t, length)
	}
}

func testLargeBodyWaits(t *testing.T, length int64) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, issuer := newTransport(t)
		if _, err := transport.Sources["signdoc"].Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(235 * time.Second) // 35 s are left before the leeway
		issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			tokenauthtest.WriteToken(w, "lasting", 300)
		})
		r := newRequest(t, "POST", "/v1/signdoc/pades", strings.Repeat("x", 2<<10))
		r.ContentLength = length
		x := &gateway.Exchange{Call: transport.Table.Lookup(r)}
		if err := transport.Ready(r, x); err != nil {
			t.Fatal(err)
		}
		res, err := transport.Try(r, x)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := b.calls[0].Header.Get("Authorization"); got != "Bearer lasting" {
			t.Errorf("Authorization is %q", got)
		}
	})
}

func TestBudgetOfHeldBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		transport.Budget = gateway.NewBudget(100)
		b.answer = func(r *http.Request) (int, string) {
			if r.Header.Get("Authorization") == "Bearer token-1" {
				// While the first body is held, there is no room for the second.
				if r.URL.RawQuery == "" {
					r := newRequest(t, "POST", "/v1/signdoc/pades?inner", strings.Repeat("i", 60))
					if code, _ := status(t, transport, r); code != 401 {
						t.Errorf("the call that could not be held was retried: %d", code)
					}
				}
				return 401, ""
			}
			return 200, ""
		}
		for range 3 { // released memory can be used again
			if code, _ := status(t, transport, newRequest(t, "POST", "/v1/signdoc/pades", strings.Repeat("o", 60))); code != 200 {
				t.Errorf("status is %d", code)
			}
		}
	})
}

func TestCallsThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		status int // of the CallError
	}{
		{"unknown path", func(r *http.Request) { r.URL.Path = "/x" }, 404},
		{"other spelling", func(r *http.Request) { r.URL.RawPath = "/v1/signdoc/p%61des" }, 404},
		{"opaque", func(r *http.Request) { r.URL.Opaque = "//evil.example/v1/signdoc/pades" }, 404},
		{"other host", func(r *http.Request) { r.URL.Host = "evil.example" }, 502},
		{"other port", func(r *http.Request) { r.URL.Host = "api.example:8443" }, 502},
		{"plain http", func(r *http.Request) { r.URL.Scheme = "http" }, 502},
		{"tunnel", func(r *http.Request) { r.Method = http.MethodConnect }, 400},
		{"early data", func(r *http.Request) { r.Header.Set("Early-Data", "1") }, 425},
		{"pass with basic", func(r *http.Request) {
			r.URL.Path = "/csc/v2/credentials/list"
			r.Header.Set("Authorization", "Basic x")
		}, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport, b, issuer := newTransport(t)
				closed := false
				r := newRequest(t, "POST", "/v1/signdoc/pades", "x")
				r.Body = &closeWatch{Reader: r.Body, closed: &closed}
				test.change(r)
				//nolint:bodyclose // there is none
				_, err := transport.RoundTrip(r)
				if callErr, ok := errors.AsType[*gateway.CallError](err); !ok || callErr.Status != test.status {
					t.Errorf("error is %v, want one with status %d", err, test.status)
				}
				if len(b.calls) != 0 || len(issuer.TokenRequests()) != 0 {
					t.Error("something was sent")
				}
				if !closed {
					t.Error("the body was not closed")
				}
			})
		})
	}
}

// closeWatch notes that it was closed.
type closeWatch struct {
	io.Reader
	closed *bool
}

func (w *closeWatch) Close() error {
	*w.closed = true
	return nil
}

func TestDefaultPortIsTheSameOriginAndNotInHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		r := newRequest(t, "GET", "/v1/signdoc/pades", "")
		r.URL.Host = "API.example:443"
		r.Host = "gateway.example"
		status(t, transport, r)
		if got := b.calls[0].Host; got != "api.example" {
			t.Errorf("Host is %q", got)
		}
	})
}

func TestResponseDoesNotShowTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, _, _ := newTransport(t)
		r := newRequest(t, "GET", "/v1/signdoc/pades", "")
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.Request != r || r.Header.Get("Authorization") != "" {
			t.Error("the response leads to the request with the token")
		}
	})
}

func TestF06ExpiredTokenIsNotSentAfterASlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		status(t, transport, newRequest(t, "GET", "/v1/signdoc/pades", "")) // so that Ready does not wait for a token
		r := newRequest(t, "POST", "/v1/signdoc/pades", "x")
		x := &gateway.Exchange{Call: transport.Table.Lookup(r)}
		if err := transport.Ready(r, x); err != nil {
			t.Fatal(err)
		}
		r.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
			time.Sleep(10 * time.Minute)
			return copy(p, "x"), io.EOF
		}))
		res, err := transport.Try(r, x)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := b.calls[1].Header.Get("Authorization"); got == "Bearer token-1" {
			t.Error("the expired token was sent")
		}
	})
}

// readerFunc is a function as an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestFailedRoundTripGivesItsMemoryBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		transport.Budget = gateway.NewBudget(100)
		b.err = &net.OpError{Op: "dial", Err: errors.New("refused")}
		for range 20 {
			//nolint:bodyclose // there is none
			if _, err := transport.RoundTrip(newRequest(t, "POST", "/v1/signdoc/pades", strings.Repeat("x", 60))); err == nil {
				t.Fatal("it succeeded")
			}
		}
		b.err = nil
		b.answer = func(r *http.Request) (int, string) {
			if r.Header.Get("Authorization") == "Bearer token-1" {
				return 401, ""
			}
			return 200, ""
		}
		if code, _ := status(t, transport, newRequest(t, "POST", "/v1/signdoc/pades", strings.Repeat("x", 60))); code != 200 {
			t.Errorf("status is %d: the body was not held", code)
		}
	})
}

func TestBodyThatEndsEarlyIsTheCallersError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		r := newRequest(t, "POST", "/v1/signdoc/pades", "half")
		r.ContentLength = 100
		//nolint:bodyclose // there is none
		_, err := transport.RoundTrip(r)
		if callErr, ok := errors.AsType[*gateway.CallError](err); !ok || callErr.Status != 400 {
			t.Errorf("error is %v, want one with status 400", err)
		}
		if len(b.calls) != 0 {
			t.Error("half of a call was sent")
		}
	})
}

// The runtime of a source decides which servers are trusted. Without a runtime, the source
// must not send the secret to any server.
func TestSourceThatNobodyUsesSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := tokenauthtest.NewServer()
		provider, err := tokenauth.NewProvider(issuer.Issuer())
		if err != nil {
			t.Fatal(err)
		}
		source, err := tokenauth.NewSource(tokenauth.Config{
			Provider:    provider,
			Credentials: func() (tokenauth.Credentials, error) { return tokenauth.Credentials{}, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		detach := source.Attach(tokenauth.Runtime{Client: issuer.Client()})
		detach()
		_, err = source.Token(t.Context())
		if failure, ok := errors.AsType[*tokenauth.Error](err); !ok || failure.Cause != tokenauth.CauseConfiguration || !strings.Contains(failure.Hint(), "attach a Runtime") {
			t.Errorf("error is %v, want one that says what to attach", err)
		}
		if issuer.Discoveries() != 0 {
			t.Error("a request was sent")
		}
		// There was no attempt, so the source does not hold back.
		defer source.Attach(tokenauth.Runtime{Client: issuer.Client()})()
		if err := source.Refresh(t.Context()); err != nil {
			t.Errorf("once something is attached: %v", err)
		}
	})
}

func TestTransportWithoutAnOriginSendsNothing(t *testing.T) {
	transport := &gateway.Transport{
		Base:  roundTripFunc(func(*http.Request) (*http.Response, error) { panic("it was sent") }),
		Table: gateway.NewTable(gateway.Call{Method: "GET", Path: "/x", Kind: gateway.None, Retry: gateway.Safe}),
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err == nil {
		res.Body.Close()
		t.Error("it is sent")
	}
}

// closeCounter is a body that counts the calls of Close.
type closeCounter struct {
	io.Reader
	closed atomic.Int32
}

// Close implements io.Closer.
func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return nil
}

func TestRoundTripClosesTheBody(t *testing.T) {
	for name, test := range map[string]struct {
		size int
		read bool // by the server
	}{
		"held":             {10, true},
		"held, not read":   {10, false},
		"streamed":         {5000, true},
		"streamed, unread": {5000, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport, b, _ := newTransport(t)
				transport.RequestBuffer = 1000
				base := transport.Base
				transport.Base = roundTripFunc(func(req *http.Request) (*http.Response, error) {
					if !test.read {
						req.Body.Close()
						return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
					}
					defer req.Body.Close()
					return base.RoundTrip(req)
				})
				body := &closeCounter{Reader: strings.NewReader(strings.Repeat("x", test.size))}
				req := newRequest(t, "POST", "/v1/signdoc/pades", "")
				req.Body, req.ContentLength = body, int64(test.size)
				res, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if body.closed.Load() == 0 {
					t.Error("the body was not closed")
				}
				if test.read && len(b.calls) != 1 {
					t.Errorf("%d calls were made", len(b.calls))
				}
			})
		})
	}
}

// net/http closes a body when the server resets the stream. A reader then gets an error that
// the caller has not caused.
func TestBodyThatTheServerDoesNotWantIsNotBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, _, _ := newTransport(t)
		reset := errors.New("stream error: stream ID 1; INTERNAL_ERROR; received from peer")
		transport.Base = roundTripFunc(func(r *http.Request) (*http.Response, error) {
			read := make(chan struct{})
			go func() {
				defer close(read)
				_, _ = io.Copy(io.Discard, r.Body)
			}()
			synctest.Wait()
			r.Body.Close()
			<-read
			return nil, reset
		})
		body, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, "begun") }()
		req := newRequest(t, "POST", "/v1/signdoc/pades", "x")
		req.Body, req.ContentLength = body, 10<<20
		if _, err := transport.RoundTrip(req); !errors.Is(err, reset) { //nolint:bodyclose // there is none
			t.Errorf("the error is %v, want that of the server", err)
		}
	})
}
