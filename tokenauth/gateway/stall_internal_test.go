package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// roundTripFunc is a Base.
type roundTripFunc func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// slowReader gives a byte after each pause. At a pause of 0, it waits until it is closed.
type slowReader struct {
	pauses []time.Duration
	closed chan struct{}
}

// newSlowReader returns a slowReader with the given pauses.
func newSlowReader(pauses ...time.Duration) *slowReader {
	return &slowReader{pauses, make(chan struct{})}
}

// Read implements io.Reader.
func (r *slowReader) Read(p []byte) (int, error) {
	if len(r.pauses) == 0 {
		return 0, io.EOF
	}
	next := r.pauses[0]
	r.pauses = r.pauses[1:]
	if next == 0 {
		<-r.closed
		return 0, errors.New("closed")
	}
	time.Sleep(next)
	return copy(p, "x"), nil
}

// Close implements io.Closer.
func (r *slowReader) Close() error {
	select {
	case <-r.closed:
	default:
		close(r.closed)
	}
	return nil
}

func TestLimitsOfBodies(t *testing.T) {
	const fast, slow, day = time.Second, 50 * time.Second, 24 * time.Hour
	limits := Limits{Connect: 2 * time.Minute, Write: time.Minute, Header: 3 * time.Minute, Read: time.Minute}
	large := func() io.Reader { return strings.NewReader(strings.Repeat("x", 1<<20)) }
	small := func() io.Reader { return strings.NewReader("x") }
	paused := func(pauses ...time.Duration) func() io.Reader {
		return func() io.Reader { return newSlowReader(pauses...) }
	}
	ok := &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: http.NoBody}
	// reads consumes pieces of the request body, with a pause after each.
	reads := func(r *http.Request, pauses ...time.Duration) error {
		for _, pause := range pauses {
			if n, err := r.Body.Read(make([]byte, 1<<20)); n > maxWrite || (err != nil && err != io.EOF) {
				return errors.New("cannot read on")
			}
			if pause == 0 {
				<-r.Context().Done()
				return r.Context().Err()
			}
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
				return r.Context().Err()
			}
		}
		return nil
	}
	for _, test := range []struct {
		name string
		body func() io.Reader // of the request; nil if there is none
		base func(*http.Request) (*http.Response, error)
		want Phase         // the phase that is too long, if any
		took time.Duration // time until the timeout
	}{
		{"slow server", large, func(r *http.Request) (*http.Response, error) {
			return ok, reads(r, slow, slow, slow, slow, slow, slow)
		}, "", 300 * time.Second},
		{"slow caller", paused(day, day), func(r *http.Request) (*http.Response, error) {
			return ok, reads(r, fast, fast)
		}, "", 2*day + 2*fast},
		{"server that reads nothing more", large, func(r *http.Request) (*http.Response, error) {
			return nil, reads(r, slow, 0)
		}, PhaseWrite, slow + time.Minute},
		{"server that reads nothing on a new connection", large, func(r *http.Request) (*http.Response, error) {
			trace := httptrace.ContextClientTrace(r.Context())
			trace.ConnectStart("tcp", "")
			time.Sleep(fast)
			trace.GotConn(httptrace.GotConnInfo{})
			return nil, reads(r, 0)
		}, PhaseWrite, fast + time.Minute},
		{"end that cannot be written", small, func(r *http.Request) (*http.Response, error) {
			return nil, reads(r, fast, 0)
		}, PhaseWrite, fast + time.Minute},
		{"header that does not come", small, func(r *http.Request) (*http.Response, error) {
			_ = reads(r, fast)
			httptrace.ContextClientTrace(r.Context()).WroteRequest(httptrace.WroteRequestInfo{})
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, PhaseHeader, fast + 4*time.Minute},
		{"connection that does not come", nil, func(r *http.Request) (*http.Response, error) {
			httptrace.ContextClientTrace(r.Context()).ConnectStart("tcp", "")
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, PhaseConnect, 2 * time.Minute},
		{"connection that comes while another is begun", nil, func(r *http.Request) (*http.Response, error) {
			trace := httptrace.ContextClientTrace(r.Context())
			trace.ConnectStart("tcp", "")
			trace.GotConn(httptrace.GotConnInfo{})
			trace.ConnectStart("tcp", "")
			time.Sleep(day)
			return ok, r.Context().Err()
		}, "", day},
		{"slow response", nil, func(*http.Request) (*http.Response, error) {
			return &http.Response{Body: newSlowReader(slow, slow, slow, slow)}, nil
		}, "", 4 * slow},
		{"response that stops", nil, func(*http.Request) (*http.Response, error) {
			return &http.Response{Body: newSlowReader(slow, 0)}, nil
		}, PhaseRead, slow + time.Minute},
		{"response that never begins", small, func(r *http.Request) (*http.Response, error) {
			return &http.Response{Body: newSlowReader(0)}, reads(r, fast, fast)
		}, PhaseRead, 2*fast + time.Minute},
		{"response while the request is written", paused(fast, fast, fast, fast, fast), func(r *http.Request) (*http.Response, error) {
			res := newSlowReader(5 * slow)
			go func() { _ = reads(r, slow, slow, slow, slow, slow) }()
			return &http.Response{Body: res}, nil
		}, "", 5 * slow},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", nil)
				if err != nil {
					t.Fatal(err)
				}
				if test.body != nil {
					req.Body = io.NopCloser(test.body())
				}
				start := time.Now()
				res, err := roundTrip(roundTripFunc(test.base), req, BaseTraits{}, limits, true)
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				timeout, _ := errors.AsType[*TimeoutError](err)
				switch {
				case test.want == "" && err != nil:
					t.Errorf("error is %v", err)
				case test.want != "" && (timeout == nil || timeout.Phase != test.want):
					t.Errorf("error is %v, want a timeout while %s", err, test.want)
				}
				if took := time.Since(start); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
			})
		})
	}
}

func TestTimeoutErrorIsOfNet(t *testing.T) {
	var err error = &TimeoutError{PhaseWrite, time.Minute}
	if netErr, ok := errors.AsType[net.Error](err); !ok || !netErr.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
}

// A pause of the reader between two readings does not count as a pause of the server.
func TestSlowReaderOfAResponseIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := newReceivedBody(newSlowReader(time.Second, time.Second, time.Second), time.Minute, nil, nil)
		for range 3 {
			if _, err := body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if _, err := body.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("error is %v", err)
		}
		body.Close()
	})
}
