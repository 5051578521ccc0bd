// Package ports finds ports for the servers of tests.
package ports

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Address returns an address of 127.0.0.1 with a port that is [Free].
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", Free(t, "127.0.0.1"))
}

// Free returns a port on which nothing listens at host, a loopback address. No other process
// gets it from Free, and this one not for its next thousand ports: a test needs some before
// anything listens there. By default, Linux does not assign it automatically, which it does
// from 32768 on.
func Free(t testing.TB, host string) string {
	t.Helper()
	s, err := own()
	if err != nil {
		t.Fatal(err)
	}
	for range size {
		port := strconv.Itoa(s.first + 1 + int(s.next.Add(1)%(size-1)))
		listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		return port
	}
	t.Fatal("no port is free at " + host)
	return ""
}

// A span is a thousand ports for one process.
type span struct {
	owner net.Listener // on the first port: who listens there has the others
	first int
	next  atomic.Uint32
}

// The spans are those from begin on.
const begin, size, spans = 20000, 1000, 12

// own takes a span for this process.
var own = sync.OnceValues(func() (*span, error) {
	for n := range spans {
		first := begin + n*size
		owner, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &span{owner: owner, first: first}, nil
	}
	return nil, errors.New("too many processes run tests")
})
