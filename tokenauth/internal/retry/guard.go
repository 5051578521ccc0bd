// Package retry has what all transports need for retries. A Guard prevents the HTTP client
// of Go from retrying a request by itself: it would send the same DPoP proof, and would
// retry calls that may have been processed.
package retry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
)

// A Guard stops a base http.RoundTripper that is about to retry a request. It is for one
// attempt, and is used by the goroutine of RoundTrip.
type Guard struct {
	// Cleartext says that the base speaks HTTP/2 over connections without TLS.
	Cleartext bool

	// OnlyUnprocessed says that the base retries a request over HTTP/2 only if the
	// server promises that it has not processed it. The HTTP/2 client of net/http also
	// retries after RST_STREAM(PROTOCOL_ERROR), which promises nothing.
	OnlyUnprocessed bool

	// Safe says that the base may retry the request over HTTP/1.1.
	Safe bool

	// Cancel ends the context of the request.
	Cancel context.CancelFunc

	req     *http.Request
	first   net.Conn // the first connection that the base had for the request
	stopped bool
	proven  bool
}

// errStopped is the error for a base that wants to read the body again.
var errStopped = errors.New("the request must not be retried")

// Watch begins to guard req, which the base is about to send. It replaces GetBody.
func (g *Guard) Watch(req *http.Request) {
	g.req = req
	req.GetBody = nil
	if req.Body != nil && !RetriesOverHTTP1(req) {
		// The base calls GetBody only if it wants to retry the request.
		req.GetBody = func() (io.ReadCloser, error) {
			g.stop(g.OnlyUnprocessed)
			return nil, errStopped
		}
	}
}

// GotConn is for httptrace.ClientTrace. The base calls it when it has a connection for the
// request, before it writes the header.
func (g *Guard) GotConn(info httptrace.GotConnInfo) {
	if g.first == nil {
		g.first = info.Conn
		return
	}
	switch secure, _ := info.Conn.(*tls.Conn); {
	case g.Cleartext || (secure != nil && secure.ConnectionState().NegotiatedProtocol == "h2"):
		// After RST_STREAM(PROTOCOL_ERROR), the base does not use the same connection
		// again.
		g.stop(g.OnlyUnprocessed || info.Conn == g.first)
	case !g.Safe && RetriesOverHTTP1(g.req) && (secure != nil || g.req.Body == nil):
		g.stop(false)
		// HTTP/1.1 does not look at the context before it writes.
		conn := info.Conn
		if secure != nil {
			conn = secure.NetConn()
		}
		_ = conn.Close()
	}
	// Otherwise nothing was written to the first connection, or the request is safe.
}

// stop ends the request.
func (g *Guard) stop(proven bool) {
	g.stopped, g.proven = true, proven
	g.Cancel()
}

// Stopped reports whether the Guard has stopped the base, and whether the server has
// promised that it did not process the request.
func (g *Guard) Stopped() (stopped, unprocessed bool) { return g.stopped, g.proven }

// RetriesOverHTTP1 reports whether net/http retries req if a reused HTTP/1.1 connection
// ends. It does that only if it knows that the body is empty, or can read the body again
// (Request.isReplayable).
func RetriesOverHTTP1(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xKey := req.Header["X-Idempotency-Key"]
	return key || xKey
}
