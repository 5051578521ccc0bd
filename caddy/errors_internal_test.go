package caddyesign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// It is a matter of chance which side of a broken connection notices first.
func TestBrokenConnectionIsTerminated(t *testing.T) {
	for _, err := range []error{
		io.EOF,
		&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
		&net.OpError{Op: "readfrom", Net: "tcp", Err: &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}},
		&net.OpError{Op: "readfrom", Net: "tcp", Err: &net.OpError{Op: "write", Net: "tcp", Err: net.ErrClosed}},
		fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", &net.OpError{Op: "write", Net: "tcp", Err: net.ErrClosed}),
	} {
		if kind := failureOf(caddyhttp.Error(http.StatusBadGateway, err)).kind; kind != connectionTerminated {
			t.Errorf("%v is %q, want %q", err, kind, connectionTerminated)
		}
	}
}

// A test cannot cause these failures at will.
func TestFailuresThatAreRare(t *testing.T) {
	dial := func(errno syscall.Errno) error {
		return reverseproxy.NewDialError(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)})
	}
	for _, test := range []struct {
		err  error
		kind string
	}{
		{dial(syscall.EHOSTUNREACH), addressUnroutable},
		{dial(syscall.EACCES), addressProhibited},
		{dial(syscall.EPERM), addressProhibited},
		{dial(syscall.ETIMEDOUT), connectionTimeout},
		{dial(syscall.ECONNRESET), connectionTerminated},
		{dial(syscall.EMFILE), proxyInternal},
		{reverseproxy.NewDialError(&net.DNSError{Err: "Temporary failure in name resolution", Name: "api.example"}), dnsError},
		{reverseproxy.NewDialError(&net.DNSError{Err: "i/o timeout", Name: "api.example", IsTimeout: true}), dnsTimeout},
		{errors.New("net/http: cannot rewind body after connection loss"), connectionTerminated},
		{errors.New("http: server closed idle connection"), connectionTerminated},
		{errors.New("http2: client connection lost"), connectionTerminated},
		{errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR"), connectionTerminated},
		{errors.New("stream error: stream ID 3; REFUSED_STREAM; received from peer"), connectionTerminated},
		{errors.New("stream error: stream ID 3; PROTOCOL_ERROR; malformed response from server: missing status pseudo header"), protocolError},
		{errors.New("connection error: PROTOCOL_ERROR"), protocolError},
		{errors.New("http2: response header list larger than advertised limit"), headerTooLarge},
		{errors.New("http: ContentLength=10 with Body length 5"), requestError},
		{errors.New("something else"), proxyInternal},
	} {
		if f := failureOf(caddyhttp.Error(http.StatusBadGateway, test.err)); f.kind != test.kind {
			t.Errorf("%v is %q, want %q", test.err, f.kind, test.kind)
		}
	}
	if f := failureOf(caddyhttp.Error(statusClientClosedRequest, dial(syscall.ECANCELED))); f.kind != "" {
		t.Errorf("a caller that has left is told %q", f.kind)
	}
}

// An egress proxy that does not respond has a minute.
func TestSilentEgressProxy(t *testing.T) {
	ctx := context.WithValue(t.Context(), caddyhttp.VarsCtxKey, map[string]any{
		egressVar: &url.URL{Scheme: "http", User: url.UserPassword("gateway", "planted"), Host: "proxy.example:3128"},
	})
	err := throughEgress(ctx, context.DeadlineExceeded)
	if netErr, ok := err.(net.Error); !ok || !netErr.Timeout() { //nolint:errorlint // as Caddy looks at it
		t.Errorf("%v is not a timeout to Caddy", err)
	}
	f := failureOf(caddyhttp.Error(http.StatusGatewayTimeout, err))
	if f.kind != connectionTimeout || f.details != "the egress proxy http://proxy.example:3128 does not connect in time" {
		t.Errorf("it is %+v", f)
	}
	if strings.Contains(err.Error(), "planted") {
		t.Errorf("the error is %v", err)
	}
}
