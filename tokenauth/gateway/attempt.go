package gateway

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/internal/retry"
)

// Limits says how long a call may make no progress. Zero means no limit.
type Limits struct {
	// Connect limits the making of a connection for the call, with the egress proxy and
	// the TLS handshake. Base may have shorter limits for parts of it.
	Connect time.Duration

	// Write limits how long no part of the request is written.
	Write time.Duration

	// Header is the limit that Base itself has for the header of a response.
	Header time.Duration

	// Read limits how long no part of the response body arrives.
	Read time.Duration
}

// BaseTraits describes the HTTP/2 client of a Transport's Base.
type BaseTraits struct {
	// Cleartext says that Base speaks HTTP/2 over connections without TLS.
	Cleartext bool

	// OnlyUnprocessed says that Base retries a request by itself only if the server
	// promises that it has not processed it, as golang.org/x/net/http2 does. The HTTP/2
	// client of net/http also retries after RST_STREAM(PROTOCOL_ERROR), which promises
	// nothing.
	OnlyUnprocessed bool
}

// An attempt is one sending of a call by Base. It prevents that Base sends the call
// again by itself, unless the call is safe and goes over HTTP/1.1: Base would send the
// same proof, and would retry calls that may have been processed. An attempt also limits
// how long the call may make no progress before its response comes.
type attempt struct {
	limits  Limits
	guard   retry.Guard
	interim func(code int, header textproto.MIMEHeader) error // for interim responses; may be nil
	cancel  context.CancelFunc                                // nil if nothing can end the attempt
	trace   httptrace.ClientTrace
	outer   *httptrace.ClientTrace // of the caller; nil if there is none
	stall   stallTimer
	body    *sentBody // nil if there is none

	secrets  sentSecrets
	switched atomic.Bool // the server has switched to another protocol
}

// newAttempt returns an attempt to send a call for a request with the context ctx, and
// the context for the request that roundTrip sends. interim is that of the Exchange. If the origin is http (insecure), a
// safe call without a body needs only a look at interim responses: Base limits all of its
// phases itself.
func newAttempt(ctx context.Context, traits BaseTraits, limits Limits, interim func(int, textproto.MIMEHeader) error, safe, empty, insecure bool) (*attempt, context.Context) {
	a := &attempt{limits: limits, interim: interim}
	a.guard.Cleartext, a.guard.OnlyUnprocessed, a.guard.Safe = traits.Cleartext, traits.OnlyUnprocessed, safe
	a.outer = httptrace.ContextClientTrace(ctx)
	if a.interim == nil && a.outer != nil {
		a.interim = a.outer.Got1xxResponse
	}
	simple := safe && empty && insecure && !traits.Cleartext
	if simple && a.interim == nil {
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
	a.stall.expire, a.guard.Cancel = a.cancel, a.cancel
	a.trace.GotConn = a.gotConn
	if limits.Connect > 0 {
		a.trace.ConnectStart = a.connecting
	}
	if limits.Write > 0 && !empty {
		a.trace.WroteRequest = a.wroteRequest
	}
	return a, httptrace.WithClientTrace(ctx, &a.trace)
}

// roundTrip sends req through base. The context of req is that of newAttempt. The body of
// the response must make progress while it is read.
func (a *attempt) roundTrip(base http.RoundTripper, req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		a.body = newSentBody(req.Body, &a.stall, a.limits.Write)
		req.Body = a.body
	}
	a.guard.Watch(req)
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
	stopped, unprocessed := a.guard.Stopped()
	switch {
	case err == nil:
		return res, nil
	case stalled != nil:
		return nil, stalled
	case a.switched.Load():
		return nil, ErrSwitched
	case stopped && unprocessed:
		return nil, new(UnprocessedError)
	case stopped:
		return nil, errRetried
	}
	return nil, asUnprocessed(err)
}

// end cancels the context of the attempt.
func (a *attempt) end() {
	if a.cancel != nil {
		a.cancel()
	}
}

// hasBody reports whether res has a body to read.
func hasBody(res *http.Response) bool { return res.Body != nil && res.Body != http.NoBody }

// untraced is a context without its httptrace.ClientTrace. The attempt calls that trace
// itself, and hides some values from it.
type untraced struct{ context.Context }

// Value implements context.Context.
func (c untraced) Value(key any) any {
	value := c.Context.Value(key)
	if _, ok := value.(*httptrace.ClientTrace); ok {
		return nil
	}
	return value
}

// got1xx is called when an interim response has come. Over HTTP/2, net/http takes 101 for
// an interim response, though a server must not send it there (RFC 9113 section 8.6).
func (a *attempt) got1xx(code int, header textproto.MIMEHeader) error {
	if code == http.StatusSwitchingProtocols {
		a.switched.Store(true)
		return ErrSwitched
	}
	if a.interim != nil {
		a.secrets.concealFields(header)
		return a.interim(code, header)
	}
	return nil
}

// connecting is called when Base begins to make a connection for the request. Base may
// have got another connection for it before.
func (a *attempt) connecting(network, addr string) {
	a.stall.beginFirst(PhaseConnect, a.limits.Connect)
	if a.outer != nil && a.outer.ConnectStart != nil {
		a.outer.ConnectStart(network, addr)
	}
}

// wroteRequest is called when Base has written the request into its buffer. Its time
// limit for the header begins only when the buffer is written too.
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

// gotConn is called when Base has a connection for the request, before it writes the
// header.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.stall.end()
	if a.outer != nil && a.outer.GotConn != nil {
		a.outer.GotConn(info)
	}
	a.guard.GotConn(info)
}
