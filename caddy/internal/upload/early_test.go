package upload_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/upload"
)

// pipes is a net.Listener for connections in memory, so that a server and its clients
// can be in one synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// dial makes a connection.
func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// protocols are the protocols that the tests use.
func protocols() map[string]*http.Protocols {
	h1, h2 := new(http.Protocols), new(http.Protocols)
	h1.SetHTTP1(true)
	h2.SetUnencryptedHTTP2(true)
	return map[string]*http.Protocols{"HTTP/1": h1, "HTTP/2": h2}
}

// each runs test for each protocol, in a bubble. serve starts a server, and returns a
// client of it.
func each(t *testing.T, test func(t *testing.T, protocol string, serve func(http.HandlerFunc) *http.Transport)) {
	t.Helper()
	for name, protocols := range protocols() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, name, func(handle http.HandlerFunc) *http.Transport {
					listener := newPipes()
					server := &http.Server{Protocols: protocols, Handler: handle, ReadHeaderTimeout: time.Hour}
					var serving sync.WaitGroup
					serving.Go(func() { _ = server.Serve(listener) })
					client := &http.Transport{Protocols: protocols, DialContext: listener.dial}
					t.Cleanup(func() {
						client.CloseIdleConnections()
						_ = server.Close()
						serving.Wait()
					})
					return client
				})
			})
		})
	}
}

// early responds by handle, in an EarlyResponse.
func early(handle http.HandlerFunc) http.HandlerFunc {
	drainer := new(upload.Drainer)
	return func(w http.ResponseWriter, r *http.Request) {
		body := upload.Wrap(r)
		body.KeepOpen()
		response := &upload.EarlyResponse{ResponseWriter: w, Body: body, Drainer: drainer}
		_ = response.Serve(func(w http.ResponseWriter) error {
			handle(w, r)
			return nil
		})
	}
}

// size is the size, in bytes, of an upload. It is more than a server reads by itself.
const size = 3 << 20

// newUpload returns a request with a body of size bytes. If it stops, the body does not
// end after that.
func newUpload(t *testing.T, stops bool) *http.Request {
	t.Helper()
	content, sender := io.Pipe()
	go func() {
		_, err := io.WriteString(sender, strings.Repeat("x", size))
		if err == nil && !stops {
			sender.Close()
		}
	}()
	t.Cleanup(func() { sender.Close() })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://memory/", content)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A client that stops sending, and waits for the end of an early response without a
// length, gets the response whole, with its trailer. So does a client that sends
// everything.
func TestEarlyResponseWithoutALengthIsWhole(t *testing.T) {
	respond := early(func(w http.ResponseWriter, r *http.Request) {
		kind := r.Header.Get("Accept")
		if kind == "late" { // so that more of the body has been read
			_, _ = io.CopyN(io.Discard, r.Body, size)
		}
		w.Header().Set("Trailer", "X-Trailer")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, kind)
		_ = http.NewResponseController(w).Flush()
		if kind == "long" {
			_, _ = io.WriteString(w, strings.Repeat("x", 200<<10))
		}
		w.Header().Set("X-Trailer", "trailer")
	})
	each(t, func(t *testing.T, _ string, serve func(http.HandlerFunc) *http.Transport) {
		client := serve(respond)
		for kind, want := range map[string]int{"short": 5, "long": 4 + 200<<10, "late": 4} {
			for _, stops := range []bool{false, true} {
				r := newUpload(t, stops)
				r.Header.Set("Accept", kind)
				begun := time.Now()
				res, err := client.RoundTrip(r)
				if err != nil {
					t.Errorf("%s, stops %v: %v", kind, stops, err)
					continue
				}
				content, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || len(content) != want || res.Trailer.Get("X-Trailer") != "trailer" {
					t.Errorf("%s, stops %v: %d bytes, trailer %q, %v", kind, stops, len(content), res.Trailer, err)
				}
				if waited := time.Since(begun); waited > 3*time.Second {
					t.Errorf("%s, stops %v: it took %v", kind, stops, waited)
				}
			}
		}
	})
}

// With HTTP/1, an early response comes at once, although the client sends no more of the
// body. With HTTP/2, it comes after the body.
func TestEarlyResponseComesInTime(t *testing.T) {
	for _, length := range []string{"", "9"} {
		respond := early(func(w http.ResponseWriter, _ *http.Request) {
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			_, _ = io.WriteString(w, "too large")
		})
		each(t, func(t *testing.T, protocol string, serve func(http.HandlerFunc) *http.Transport) {
			r := newUpload(t, true)
			begun := time.Now()
			res, err := serve(respond).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			content, err := io.ReadAll(res.Body)
			if res.StatusCode != http.StatusRequestEntityTooLarge || string(content) != "too large" || err != nil {
				t.Errorf("status is %d, body: %q, %v", res.StatusCode, content, err)
			}
			if waited := time.Since(begun); protocol == "HTTP/1" && (waited != 0 || !res.Close) {
				t.Errorf("it took %v; closes: %t", waited, res.Close)
			} else if protocol == "HTTP/2" && waited != 2*time.Second {
				t.Errorf("it took %v, want the pause after the last byte", waited)
			}
		})
	}
}

// An early response that does not come to its end is sent as it comes. So the client
// sees its status, although the server waits for the rest of the body.
func TestEarlyResponseThatDoesNotEndIsSeen(t *testing.T) {
	each(t, func(t *testing.T, _ string, serve func(http.HandlerFunc) *http.Transport) {
		over := make(chan struct{})
		client := serve(early(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			_, _ = io.WriteString(w, "too large")
			<-over
		}))
		begun := time.Now()
		res, err := client.RoundTrip(newUpload(t, true))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		defer close(over)
		content := make([]byte, len("too large"))
		if _, err := io.ReadFull(res.Body, content); err != nil || res.StatusCode != http.StatusRequestEntityTooLarge || string(content) != "too large" {
			t.Errorf("status is %d, body: %q, %v", res.StatusCode, content, err)
		}
		if waited := time.Since(begun); waited != 500*time.Millisecond {
			t.Errorf("it took %v", waited)
		}
	})
}

// A response that breaks off ends the body: nothing reads it after the server has ended
// the request.
func TestBrokenResponseEndsTheBody(t *testing.T) {
	each(t, func(t *testing.T, _ string, serve func(http.HandlerFunc) *http.Transport) {
		later := make(chan error, 1)
		client := serve(func(w http.ResponseWriter, r *http.Request) {
			handled := early(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				panic(http.ErrAbortHandler)
			})
			defer func() {
				_, err := r.Body.Read(make([]byte, 1))
				later <- err
			}()
			handled(w, r)
		})
		res, err := client.RoundTrip(newUpload(t, false))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status is %d", res.StatusCode)
		}
		if err := <-later; err == nil || err == io.EOF {
			t.Errorf("after it, a read of the body gives %v", err)
		}
	})
}
