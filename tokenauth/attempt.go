package tokenauth

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

// Limits are how long a call may make no progress. Zero is no limit.
type Limits struct {
	// Write is for a part of the request body that is not written.
	Write time.Duration

	// Header is the limit that Base has itself for the header of a response.
	Header time.Duration

	// Read is for a response body of which nothing comes.
	Read time.Duration
}

// BaseTraits are what a Transport has to know of the HTTP/2 client of its Base.
type BaseTraits struct {
	// Cleartext says that Base speaks HTTP/2 over connections without TLS.
	Cleartext bool

	// OnlyUnprocessed says that it sends again by itself only what the server
	// promises not to have processed, as golang.org/x/net/http2 does. That of
	// net/http also does so after RST_STREAM(PROTOCOL_ERROR), which promises
	// nothing.
	OnlyUnprocessed bool
}

// An attempt is one sending of a call by Base. It keeps Base from sending the call
// again by itself: it would send the same proof, and also what may have been
// processed.
type attempt struct {
	traits BaseTraits
	req    *http.Request
	cancel context.CancelFunc // nil if the attempt needs none
	body   *sentBody          // nil if there is none, or no limit for it

	first   net.Conn // the one that Base had first for the request
	stopped error    // why Base was kept from sending again
}

// roundTrip sends req, which is a copy of the caller's, by base. With repeats, base
// may send it again by itself.
func roundTrip(base http.RoundTripper, req *http.Request, traits BaseTraits, limits Limits, repeats bool) (*http.Response, error) {
	if req.Body == nil && repeats {
		res, err := base.RoundTrip(req)
		if err != nil {
			return nil, asUnprocessed(err)
		}
		if limits.Read > 0 && hasBody(res) {
			res.Body = newReceivedBody(res.Body, limits.Read, nil, nil)
		}
		return res, nil
	}
	a := &attempt{traits: traits, req: req}
	if req.Body != nil {
		a.watch(limits)
	} else {
		a.trace()
	}
	res, err := base.RoundTrip(a.req)
	if err != nil {
		return nil, a.failed(err)
	}
	if a.body != nil {
		_ = a.body.stall.stop() // from now on, it is the response that must make progress
	}
	switch {
	case hasBody(res) && (limits.Read > 0 || a.cancel != nil):
		res.Body = newReceivedBody(res.Body, limits.Read, a.body, a.cancel)
	case a.cancel != nil:
		a.cancel()
	}
	return res, nil
}

// hasBody reports whether there is something to read of res.
func hasBody(res *http.Response) bool { return res.Body != nil && res.Body != http.NoBody }

// watch gives the request a body that base cannot send again, and limits how long
// its sending may make no progress.
func (a *attempt) watch(limits Limits) {
	if !repeatsOverHTTP1(a.req) {
		// Base asks for the body once more only if it would send it again.
		a.req.GetBody = func() (io.ReadCloser, error) { return nil, a.promise(a.traits.OnlyUnprocessed) }
	}
	if limits.Write <= 0 {
		return
	}
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(a.req.Context())
	a.body = &sentBody{ReadCloser: a.req.Body, limits: limits}
	a.body.stall.expire = a.cancel
	a.req.Body = a.body
	a.req = a.req.WithContext(ctx)
}

// trace keeps base from sending the request again, which has no body.
func (a *attempt) trace() {
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(a.req.Context())
	a.req = a.req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: a.gotConn}))
}

// gotConn is called when base has a connection for the request, before it writes
// the header.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	if a.first == nil {
		a.first = info.Conn
		return
	}
	switch secure, _ := info.Conn.(*tls.Conn); {
	case a.traits.Cleartext || (secure != nil && secure.ConnectionState().NegotiatedProtocol == "h2"):
		// A connection that has reset a stream with PROTOCOL_ERROR is not used again.
		a.stopped = a.promise(a.traits.OnlyUnprocessed || info.Conn == a.first)
		a.cancel()
	case secure != nil && repeatsOverHTTP1(a.req):
		a.stopped = errRepeated
		a.cancel()
		// HTTP/1.1 does not look at the context before it writes.
		_ = secure.NetConn().Close()
	}
	// Otherwise nothing was written to the first connection.
}

// promise returns the error of a call that base wanted to send again.
func (a *attempt) promise(proven bool) error {
	if proven {
		return new(UnprocessedError)
	}
	return errRepeated
}

// failed returns the error of the attempt, for that of base.
func (a *attempt) failed(err error) error {
	var stalled error
	if a.body != nil {
		stalled = a.body.stall.stop()
	}
	if a.cancel != nil {
		a.cancel()
	}
	switch {
	case stalled != nil:
		return stalled
	case a.stopped != nil:
		return a.stopped
	}
	return asUnprocessed(err)
}

// repeatsOverHTTP1 reports whether net/http sends req again when a connection of
// HTTP/1.1 that was used before ends, provided that it knows the body to be empty or
// can read it again (Request.isReplayable).
func repeatsOverHTTP1(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xKey := req.Header["X-Idempotency-Key"]
	return key || xKey
}
