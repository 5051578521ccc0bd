package tokenauth

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"time"
)

// Limits are how long a call may make no progress. Zero is no limit.
type Limits struct {
	// Connect is for a connection that the call begins to make, until it can be used:
	// with an egress proxy and the TLS handshake. Base may have limits for parts of it.
	Connect time.Duration

	// Write is for a part of the request that is not written.
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
// again by itself, but for a safe one over HTTP/1.1: it would send the same proof, and
// also what may have been processed. And it limits how long the call may make no
// progress before its response comes.
type attempt struct {
	traits BaseTraits
	limits Limits
	safe   bool               // it may be sent twice
	cancel context.CancelFunc // nil if nothing can end the attempt
	trace  httptrace.ClientTrace
	outer  *httptrace.ClientTrace // of the caller; nil if there is none
	stall  stallTimer
	body   *sentBody // nil if there is none
	req    *http.Request

	secrets sentSecrets

	first   net.Conn // the one that Base had first for the request
	stopped error    // why Base was kept from sending again
}

// newAttempt returns an attempt to send a call for a request in ctx, and the context for
// the request that roundTrip sends. Over an insecure origin, which is http, a call that is
// safe and has no body needs nothing of it but to look at interim responses: Base limits
// all of its phases.
func newAttempt(ctx context.Context, traits BaseTraits, limits Limits, safe, empty, insecure bool) (*attempt, context.Context) {
	a := &attempt{traits: traits, limits: limits, safe: safe}
	a.outer = httptrace.ContextClientTrace(ctx)
	simple := safe && empty && insecure && !traits.Cleartext
	if simple && (a.outer == nil || a.outer.Got1xxResponse == nil) {
		return a, ctx
	}
	if a.outer != nil {
		a.trace = *a.outer
		ctx = untraced{ctx}
	}
	a.trace.Got1xxResponse = a.got1xx
	if simple {
		return a, httptrace.WithClientTrace(ctx, &a.trace)
	}
	ctx, a.cancel = context.WithCancel(ctx)
	a.stall.expire = a.cancel
	a.trace.GotConn = a.gotConn
	if limits.Connect > 0 {
		a.trace.ConnectStart = a.connecting
	}
	if limits.Write > 0 && !empty {
		a.trace.WroteRequest = a.wroteRequest
	}
	return a, httptrace.WithClientTrace(ctx, &a.trace)
}

// roundTrip sends req, whose context is that of the attempt, by base. The response has
// a body that must make progress while it is read.
func (a *attempt) roundTrip(base http.RoundTripper, req *http.Request) (*http.Response, error) {
	a.req = req
	if req.Body != nil {
		a.body = newSentBody(req.Body, &a.stall, a.limits.Write)
		req.Body = a.body
		if !repeatsOverHTTP1(req) {
			// Base asks for the body once more only if it would send it again.
			req.GetBody = func() (io.ReadCloser, error) { return nil, a.promise(a.traits.OnlyUnprocessed) }
		}
	}
	res, err := base.RoundTrip(req)
	stalled := a.stall.stop() // from now on, it is the response that must make progress
	if err == nil && hasBody(res) && (a.cancel != nil || a.limits.Read > 0) {
		body := newReceivedBody(res.Body, a.limits.Read, a.body, a.cancel)
		if res.Body = body; a.body != nil {
			a.body.answer.Store(body)
		}
		return res, nil
	}
	a.end()
	switch {
	case err == nil:
		return res, nil
	case stalled != nil:
		return nil, stalled
	case a.stopped != nil:
		return nil, a.stopped
	}
	return nil, asUnprocessed(err)
}

// end ends what the attempt has begun.
func (a *attempt) end() {
	if a.cancel != nil {
		a.cancel()
	}
}

// hasBody reports whether there is something to read of res.
func hasBody(res *http.Response) bool { return res.Body != nil && res.Body != http.NoBody }

// untraced is a context without its httptrace.ClientTrace: the attempt calls that one
// itself, and keeps some things from it.
type untraced struct{ context.Context }

// Value implements context.Context.
func (c untraced) Value(key any) any {
	value := c.Context.Value(key)
	if _, ok := value.(*httptrace.ClientTrace); ok {
		return nil
	}
	return value
}

// got1xx is called when an interim response has come. Over HTTP/2, 101 is taken for one,
// though it cannot be sent there (RFC 9113 section 8.6).
func (a *attempt) got1xx(code int, header textproto.MIMEHeader) error {
	if code == http.StatusSwitchingProtocols {
		a.stopped = ErrSwitched
		return ErrSwitched
	}
	if a.outer != nil && a.outer.Got1xxResponse != nil {
		a.secrets.concealFields(header)
		return a.outer.Got1xxResponse(code, header)
	}
	return nil
}

// connecting is called when base begins to make a connection for the request, maybe
// after it got another one.
func (a *attempt) connecting(network, addr string) {
	a.stall.beginFirst(PhaseConnect, a.limits.Connect)
	if a.outer != nil && a.outer.ConnectStart != nil {
		a.outer.ConnectStart(network, addr)
	}
}

// wroteRequest is called when base has written the request, but for what is in its
// buffer. Base waits for the header only after that is written, too.
func (a *attempt) wroteRequest(info httptrace.WroteRequestInfo) {
	if a.outer != nil && a.outer.WroteRequest != nil {
		a.outer.WroteRequest(info)
	}
	if a.limits.Header > 0 {
		a.stall.begin(PhaseHeader, a.limits.Write+a.limits.Header)
	} else {
		a.stall.end()
	}
}

// gotConn is called when base has a connection for the request, before it writes
// the header.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.stall.end()
	if a.outer != nil && a.outer.GotConn != nil {
		a.outer.GotConn(info)
	}
	if a.first == nil {
		a.first = info.Conn
		return
	}
	switch secure, _ := info.Conn.(*tls.Conn); {
	case a.traits.Cleartext || (secure != nil && secure.ConnectionState().NegotiatedProtocol == "h2"):
		// A connection that has reset a stream with PROTOCOL_ERROR is not used again.
		a.stopped = a.promise(a.traits.OnlyUnprocessed || info.Conn == a.first)
		a.cancel()
	case secure != nil && !a.safe && repeatsOverHTTP1(a.req):
		a.stopped = errRepeated
		a.cancel()
		// HTTP/1.1 does not look at the context before it writes.
		_ = secure.NetConn().Close()
	}
	// Otherwise nothing was written to the first connection, or the call is safe.
}

// promise returns the error of a call that base wanted to send again.
func (*attempt) promise(proven bool) error {
	if proven {
		return new(UnprocessedError)
	}
	return errRepeated
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
