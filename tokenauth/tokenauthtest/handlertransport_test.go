package tokenauthtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// get sends a request to handler through a HandlerTransport, and returns the body.
func get(ctx context.Context, handler http.HandlerFunc) (body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://server.test/", nil)
	if err != nil {
		return "", err
	}
	res, err := tokenauthtest.HandlerTransport{Handler: handler}.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	return string(read), err
}

// Like net/http's server, a HandlerTransport breaks the response off if the handler does.
func TestHandlerThatBreaksOff(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		body    string
		err     error
	}{
		"not":                 {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "whole") }, "whole", nil},
		"before the response": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", io.ErrUnexpectedEOF},
		"by Goexit":           {func(http.ResponseWriter, *http.Request) { runtime.Goexit() }, "", io.ErrUnexpectedEOF},
		"after the header": {func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "", io.ErrUnexpectedEOF},
		"in the body": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}, "half", io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			if body, err := get(t.Context(), test.handler); body != test.body || !errors.Is(err, test.err) {
				t.Errorf("body %q, error %v, want %q and %v", body, err, test.body, test.err)
			}
		})
	}
}

// A caller that gives up gets the error of its context, and not that of the handler.
func TestHandlerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := get(ctx, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want that of the context", err)
		}
	})
}

func TestServerWithoutANetworkHasNoAddress(t *testing.T) {
	server := tokenauthtest.NewServer()
	if server.Address() != "" || server.Certificate() != nil {
		t.Errorf("it has the address %q and the certificate %v", server.Address(), server.Certificate())
	}
	plain := tokenauthtest.NewHTTPServer()
	defer plain.Close()
	if plain.Address() == "" || plain.Certificate() != nil {
		t.Errorf("without TLS, it has the address %q and the certificate %v", plain.Address(), plain.Certificate())
	}
}
