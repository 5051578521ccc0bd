package tokenauth

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// uploadLife is how much life a token must have left before a body is
	// streamed that cannot be sent again.
	uploadLife = time.Minute

	// maxDrain is how much of a response is read before it is dropped, so that
	// its connection can be used again.
	maxDrain = 64 << 10
)

// A Transport is an http.RoundTripper that makes the calls of a Table: it
// attaches the authorization that a call needs to a copy of the request,
// removes what must not leave, and, when a token was rejected, repeats the call
// with another one if the table allows that: the token before, while it is valid,
// since a new one may not be known everywhere yet, and then a new one.
//
// Not every rejection is answered in that way, since a new token may be rejected
// for good: a 403 is no reason to renew a token that was obtained less than 5
// seconds ago, and a source renews for rejections at most once in 30 seconds. So if
// tokens are revoked twice within that time, the second rejection reaches the
// caller. A call ends with the context of its request, one whose answer is the
// only copy too: see Call.OneShot.
type Transport struct {
	// Base sends the requests. Its errors are returned as they are. Required.
	Base http.RoundTripper

	// Table names the calls that can be made. Default: none.
	Table *Table

	// Sources has the source for each group of the table that has calls of kind
	// Bearer or DPoP; for the latter, one of tokens that are bound to a key.
	Sources map[string]*Source

	// Origin is where the calls go: a scheme, host and port. A request to
	// anywhere else is an error. Required.
	Origin *url.URL

	// Headers names the request header fields, in canonical form, that may
	// leave besides Accept*, Content-Type, Content-Length, Content-Encoding
	// and User-Agent.
	Headers []string

	// ReplayBuffer is the size, in bytes, of the largest request body that is
	// held in memory to be sent again. Default: none is held, so that a call which
	// has a body is sent once, whatever its row allows.
	ReplayBuffer int64

	// Budget bounds the memory of held bodies. Default: unlimited.
	Budget *Budget

	// NotSent reports whether an error of Base proves that nothing of the
	// request was sent. Default: whether it is a *net.OpError of a dial.
	NotSent func(error) bool

	// Limits are how long a call may make no progress. Default: no limits.
	Limits Limits

	// Traits say what Base does by itself. Default: that of an *http.Transport.
	Traits BaseTraits

	// Observer is told what becomes of the calls. Default: nobody is.
	Observer Observer
}

// RoundTrip implements http.RoundTripper. Besides those of Base, its errors are
// *CallError, *Error, *TimeoutError, *UnprocessedError, and that of the request's
// context.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	d := new(Delivery)
	res, err := t.Deliver(req, d)
	if err != nil {
		d.fail()
	}
	// A RoundTripper closes the body in any case, but not before it is sent.
	switch {
	case req.Body == nil:
	case err == nil && d.stream != nil:
		d.stream.end()
	default:
		_ = req.Body.Close()
	}
	return res, err
}

// Ready waits until call can be sent, which is until there is a token if it
// needs one, as long as the context of req allows. While it waits, it may take the
// body of req into d. It is for callers that want to do so outside of RoundTrip.
func (t *Transport) Ready(req *http.Request, call *Call, d *Delivery) error {
	if !call.Kind.needsToken() {
		return nil
	}
	long := req.ContentLength > t.ReplayBuffer || !d.repeatable()
	if d.token != nil && (d.token.once || (!long && d.token.usable(readClocks()))) {
		return nil
	}
	source := t.Sources[call.Group]
	if source == nil {
		return &Error{Op: opToken, Cause: CauseConfiguration, Err: fmt.Errorf("no token source for '%s'", call.Group)}
	}
	life := time.Duration(0)
	if long {
		life = uploadLife
	}
	token, state := source.cached(life)
	if state == StateNone {
		var err error
		if token, err = t.wait(req, call, d, source, token); err != nil {
			return err
		}
	}
	if t.Observer != nil {
		t.Observer.Served(call.Group, state)
	}
	d.token = token
	return nil
}

// wait waits for a token of source that takes the place of short, which lasts too
// short for call, or of none.
func (t *Transport) wait(req *http.Request, call *Call, d *Delivery, source *Source, short *Token) (*Token, error) {
	// A server does not notice that a caller has left while there is something to
	// read of its body. That of a call which goes on without its caller is held
	// later, for as long as that.
	if !call.OneShot && !source.holdsBack() {
		if err := bodyError(req, d.hold(req, t.ReplayBuffer, t.Budget)); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	token, err := source.instead(req.Context(), short)
	if t.Observer != nil {
		t.Observer.Waited(req.Context(), call.Group, start, err)
	}
	return token, err
}

// Body returns the body of a call that failed, from its beginning, for whoever
// deals with the call instead. It takes req's into memory if nobody has begun to
// read it; nil if there is none in memory after that.
func (t *Transport) Body(req *http.Request, begun bool, d *Delivery) io.ReadCloser {
	if begun && !d.prepared {
		return nil
	}
	if err := d.prepare(req, t.ReplayBuffer, t.Budget); err != nil || d.held == nil {
		return nil
	}
	return d.held.reader()
}

// bodyError returns the error of a call whose body could not be read because of
// err. That is the caller's doing, not the server's.
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

// Deliver is RoundTrip for a call of which d is known; nil is a call that was not
// sent yet. After an error, the body of req may be left open, since the call may
// be tried again: it is the caller who closes it.
func (t *Transport) Deliver(req *http.Request, d *Delivery) (*http.Response, error) {
	if d == nil {
		d = new(Delivery)
	}
	res, err := t.deliver(req, d)
	if err != nil {
		d.err = d.secrets.concealError(err)
		return nil, d.err
	}
	d.secrets.conceal(res)
	d.done()
	return res, nil
}

// deliver checks req, and sends it as often as its row allows.
func (t *Transport) deliver(req *http.Request, d *Delivery) (*http.Response, error) {
	call := t.Table.Lookup(req)
	if call == nil {
		return nil, NoCall(req)
	}
	if err := t.check(req, call); err != nil {
		return nil, err
	}
	if d.sent && (call.Replay != Safe || !d.repeatable()) {
		if d.err != nil {
			return nil, d.err
		}
		return nil, errAgain
	}
	if err := bodyError(req, d.prepare(req, t.ReplayBuffer, t.Budget)); err != nil {
		return nil, err
	}
	if err := t.Ready(req, call, d); err != nil {
		return nil, err
	}
	if d.sent {
		t.repeating(call, RepeatRetry)
	}
	res, err := t.sendWithNonce(req, call, d)
	return t.remedy(req, call, d, res, err)
}

// sendWithNonce sends a call, and once more if the server wants a nonce in the proof.
func (t *Transport) sendWithNonce(req *http.Request, call *Call, d *Delivery) (*http.Response, error) {
	res, err := t.send(req, call, d)
	used := ""
	if err == nil && wantsNonce(call, res) && call.repeatable() && d.whole() {
		// The server has not looked at the call yet. Its nonce may be good for one call
		// only, so that no other call may learn it before.
		used = d.nonce
		drain(res)
		t.repeating(call, RepeatNonce)
		res, err = t.send(req, call, d)
	}
	if err == nil && call.Kind == DPoP {
		// A server that gives no other nonce goes on taking this one.
		t.Sources[call.Group].nonces.keep(t.Origin, cmp.Or(d.nonce, used))
	}
	return res, err
}

// drain drops a response, so that its connection can be used again.
func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, maxDrain)
	_ = res.Body.Close()
}

// wantsNonce reports whether res asks for the call to be made with the nonce
// that came with it (RFC 9449 section 9).
func wantsNonce(call *Call, res *http.Response) bool {
	return call.Kind == DPoP && res.StatusCode == http.StatusUnauthorized &&
		nonceOf(res.Header) != "" &&
		(challengeCode(res) == "use_dpop_nonce" || ErrorCode(res) == "use_dpop_nonce")
}

// check reports why req must not be sent.
func (t *Transport) check(req *http.Request, call *Call) error {
	if err := call.Check(req); err != nil {
		return err
	}
	if t.Origin == nil {
		return &CallError{http.StatusBadGateway, "the call may go nowhere: no origin is configured"}
	}
	if t.Base == nil {
		return &CallError{http.StatusBadGateway, "the call can go nowhere: no transport is configured that sends it"}
	}
	if req.URL.Scheme != t.Origin.Scheme || (req.URL.Host != t.Origin.Host && CanonicalHost(req.URL) != CanonicalHost(t.Origin)) {
		return &CallError{http.StatusBadGateway, fmt.Sprintf("the call is directed to %s://%s, and may go to %s://%s only",
			req.URL.Scheme, req.URL.Host, t.Origin.Scheme, t.Origin.Host)}
	}
	if err := CheckSecure(t.Origin); err != nil {
		return &CallError{http.StatusBadGateway, fmt.Sprintf("the call may not go to %s://%s, which %v", t.Origin.Scheme, t.Origin.Host, err)}
	}
	return nil
}
