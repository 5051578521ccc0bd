package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/internal/retry"
)

// DefaultRequestBuffer is the default of Transport.RequestBuffer, in bytes: 1 MiB.
const DefaultRequestBuffer = 1 << 20

// A Transport is an http.RoundTripper that makes the calls of a Table. It attaches
// the authorization that a call needs to a copy of the request, and removes the header
// fields that must not leave. If the server rejects the token, the Transport retries
// the call with another token, where the table allows that: first with the previous
// token, while that is valid, since a new one may not be known everywhere yet; then
// with a new one.
//
// Some rejections reach the caller, since the server may reject every new token too: a
// 403 does not renew a token that was obtained less than 5 seconds ago, and a source
// renews rejected tokens at most once in 30 seconds. So if tokens are revoked twice
// within that time, the caller gets the second rejection. Every call ends with the
// context of its request, also a call whose response is the only copy: see
// Call.Download.
type Transport struct {
	// Base sends the requests. Its errors are returned as they are. Default:
	// http.DefaultTransport.
	Base http.RoundTripper

	// Table lists the calls that can be made. Default: none.
	Table *Table

	// Sources has a source for each group of the table with calls of kind Bearer or
	// DPoP. The source for calls of kind DPoP needs Config.DPoP.
	Sources map[string]*tokenauth.Source

	// Origin is where the calls go: a scheme, host and port. A request to
	// anywhere else is an error. Required.
	Origin *url.URL

	// Headers names further request header fields that may leave, in canonical form.
	// Those for which Leaves reports true always may. Default: none.
	Headers []string

	// RequestBuffer is the size, in bytes, of the largest request body that is held in
	// memory to be sent again. If it is negative, no body is held, and a call with a
	// body is sent once, even if its row allows more. Default: DefaultRequestBuffer.
	RequestBuffer int64

	// Budget limits the memory for held bodies. Default: unlimited.
	Budget *Budget

	// NotSent reports whether an error of Base proves that nothing of the request was
	// sent. Default: a *net.OpError with the operation "dial" proves that.
	NotSent func(error) bool

	// Limits says how long a call may make no progress. Default: no limits.
	Limits Limits

	// Traits says what Base does by itself. The default suits an *http.Transport.
	Traits BaseTraits

	// Observer is told about tokens, rejections and retries of the calls. Default:
	// none.
	Observer Observer
}

// RoundTrip implements http.RoundTripper. An error is a *CallError, *tokenauth.Error,
// *TimeoutError, *UnprocessedError, ErrSwitched, ErrStatus, the error of the request's
// context, or an error of Base.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x := new(Exchange)
	res, err := t.Try(req, x)
	if err != nil {
		x.fail()
	}
	// A RoundTripper closes the body in every case, but not before it is sent.
	switch {
	case req.Body == nil:
	case err == nil && x.stream != nil:
		x.stream.end()
	default:
		_ = req.Body.Close()
	}
	return res, err
}

// Ready waits for the token that the call of x needs, if any, as long as the context of
// req allows, and keeps it in x. While it waits, it may read the body of req into x. It
// is for callers that want to wait outside of RoundTrip. The error is a *CallError, a
// *tokenauth.Error, or the error of the context.
func (t *Transport) Ready(req *http.Request, x *Exchange) error {
	if !x.Call.Kind.needsToken() {
		return nil
	}
	long := req.ContentLength > t.requestBuffer() || !x.retryable()
	if x.token != nil && (x.token.SingleUse() || (!long && x.token.Usable())) {
		return nil
	}
	source := t.Sources[x.Call.Group]
	if source == nil {
		return &tokenauth.Error{Op: opToken, Cause: tokenauth.CauseConfiguration, Err: fmt.Errorf("no token source for '%s'", x.Call.Group)}
	}
	life := time.Duration(0)
	if long {
		life = retry.TokenLife
	}
	token, state := source.Cached(life)
	if state == tokenauth.StateNone {
		var err error
		if token, err = t.wait(req, x, source, token); err != nil {
			return err
		}
	}
	if t.Observer != nil && x.token == nil { // else the call had a token that does not last long enough
		t.Observer.Served(x.Call.Group, state)
	}
	x.token = token
	return nil
}

// requestBuffer returns the size of the largest body that is held, which may be negative.
func (t *Transport) requestBuffer() int64 { return cmp.Or(t.RequestBuffer, DefaultRequestBuffer) }

// wait waits for a token of source that replaces short, which is nil or expires too
// soon for call.
func (t *Transport) wait(req *http.Request, x *Exchange, source *tokenauth.Source, short *tokenauth.Token) (*tokenauth.Token, error) {
	// net/http's server notices that a caller has left only when the caller's body has
	// been read. So the body is read before the wait. The body of a download is
	// read later: the download may go on without its caller, with a longer context.
	if !x.Call.Download && !source.BackingOff() {
		if err := bodyError(req, x.hold(req, t.requestBuffer(), t.Budget)); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	token, err := source.Next(req.Context(), short)
	if t.Observer != nil {
		t.Observer.Waited(req.Context(), x.Call.Group, start, err)
	}
	return token, err
}

// Body returns the body of a failed call from its beginning, for the handler that
// deals with the call instead. If nobody has begun to read the body of req, Body reads
// it into memory first. The result is nil if the body is not in memory after that.
func (t *Transport) Body(req *http.Request, begun bool, x *Exchange) io.ReadCloser {
	if begun && !x.prepared {
		return nil
	}
	if err := x.prepare(req, t.requestBuffer(), t.Budget); err != nil || x.held == nil {
		return nil
	}
	return x.held.reader()
}

// bodyError returns the error of a call whose body could not be read because of err:
// the caller has caused it, not the server. It returns nil if err is nil.
func bodyError(req *http.Request, err error) error {
	switch {
	case err == nil:
		return nil
	case req.Context().Err() != nil:
		return req.Context().Err()
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errLarge
	}
	return errBody
}

// Try is RoundTrip for a caller that may try the same call again: x remembers what
// has become of the call so far. A nil x is a call that was not sent yet. After an
// error, the body of req may still be open, since the call may be tried again. The
// caller must close it. Errors are those of RoundTrip.
func (t *Transport) Try(req *http.Request, x *Exchange) (*http.Response, error) {
	if x == nil {
		x = new(Exchange)
	}
	res, err := t.try(req, x)
	if err != nil {
		x.err = x.secrets.concealError(err)
		return nil, x.err
	}
	x.secrets.conceal(res)
	x.done()
	return res, nil
}

// try checks req, and sends it as often as its row allows.
func (t *Transport) try(req *http.Request, x *Exchange) (*http.Response, error) {
	if x.Call = t.Table.Lookup(req); x.Call == nil {
		return nil, NoCall(req)
	}
	if err := t.check(req, x.Call); err != nil {
		return nil, err
	}
	if x.sent && (x.Call.Retry != Safe || !x.retryable()) {
		if x.err != nil {
			return nil, x.err
		}
		return nil, errAgain
	}
	if err := bodyError(req, x.prepare(req, t.requestBuffer(), t.Budget)); err != nil {
		return nil, err
	}
	if err := t.Ready(req, x); err != nil {
		return nil, err
	}
	if x.sent {
		t.retrying(x.Call, ReasonProxy)
	}
	res, err := t.sendWithNonce(req, x)
	return t.remedy(req, x, res, err)
}

// sendWithNonce sends a call, and once more if the server wants a nonce in the proof.
func (t *Transport) sendWithNonce(req *http.Request, x *Exchange) (*http.Response, error) {
	res, err := t.send(req, x)
	used := ""
	if err == nil && wantsNonce(x.Call, res) && x.Call.retryable() && x.whole() {
		// The server has not looked at the call yet. Its nonce may be good for one call
		// only, so no other call may learn it before this one has used it.
		used = x.nonce
		retry.Drain(res)
		t.retrying(x.Call, ReasonNonce)
		res, err = t.send(req, x)
	}
	if err == nil && x.Call.Kind == DPoP {
		// If the server gives no other nonce, it goes on taking this one.
		t.Sources[x.Call.Group].KeepNonce(t.Origin, cmp.Or(x.nonce, used))
	}
	return res, err
}

// wantsNonce reports whether res asks for a retry of the call with the nonce in
// res (RFC 9449 section 9).
func wantsNonce(call *Call, res *http.Response) bool {
	return call.Kind == DPoP && tokenauth.WantsNonce(res)
}

// check returns the reason why req must not be sent, or nil.
func (t *Transport) check(req *http.Request, call *Call) error {
	if err := call.Check(req); err != nil {
		return err
	}
	if t.Origin == nil {
		return &CallError{http.StatusBadGateway, "the call may go nowhere: no origin is configured"}
	}
	if req.URL.Scheme != t.Origin.Scheme || (req.URL.Host != t.Origin.Host && tokenauth.CanonicalHost(req.URL) != tokenauth.CanonicalHost(t.Origin)) {
		return &CallError{http.StatusBadGateway, fmt.Sprintf("the call is directed to %s://%s, and may go to %s://%s only",
			req.URL.Scheme, req.URL.Host, t.Origin.Scheme, t.Origin.Host)}
	}
	if err := tokenauth.CheckSecure(t.Origin); err != nil {
		return &CallError{http.StatusBadGateway, fmt.Sprintf("the call may not go to %s://%s, which %v", t.Origin.Scheme, t.Origin.Host, err)}
	}
	return nil
}
