package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/internal/retry"
)

// send sends a call. It sends the call again while the server promises that it has not
// processed it, or, if the call is safe, while its connection or stream ends.
func (t *Transport) send(req *http.Request, x *Exchange) (*http.Response, error) {
	for n := 0; ; n++ {
		res, err := t.sendOnce(req, x)
		if err == nil && res.StatusCode == http.StatusExpectationFailed && x.expecting && x.whole() {
			retry.Drain(res)
			x.unexpected = true
			res, err = t.sendOnce(req, x)
		}
		if n > 0 && errors.Is(err, errExpired) {
			err = new(UnprocessedError) // the expiry of the token is not why the call failed
		}
		if !helps(err, x.Call.safe()) || n == maxUnprocessed || !x.whole() || !pause(req.Context(), n) {
			return res, err
		}
		t.retrying(x.Call, ReasonUnprocessed)
	}
}

// sendOnce sends a copy of req, with a token if the call needs one.
func (t *Transport) sendOnce(req *http.Request, x *Exchange) (*http.Response, error) {
	attempt, ctx := newAttempt(req.Context(), t.Traits, t.Limits, x.Interim, x.Call.safe(), x.empty(), t.Origin.Scheme == "http")
	out := req.WithContext(ctx)
	out.Host = tokenauth.CanonicalHost(t.Origin)
	out.Header = t.leaving(req.Header)
	out.Trailer = nil // trailers are fields too, and none of them is on the list
	out.GetBody = nil
	if err := t.authorize(out, req, x); err != nil {
		attempt.end()
		return nil, err
	}
	t.setBody(out, req, x)
	attempt.secrets = x.secrets
	x.sent = true
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	res, err := attempt.roundTrip(base, out)
	if err != nil {
		return nil, t.sendError(req, x, err)
	}
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		_ = res.Body.Close()
		return nil, ErrSwitched
	case res.StatusCode < http.StatusContinue: // net/http takes it, and panics if it is to send it
		_ = res.Body.Close()
		return nil, ErrStatus
	}
	if x.Call.Kind == DPoP {
		x.nonce = tokenauth.NextNonce(res.Header)
	}
	// Code that handles the response must not see the token.
	res.Request = req
	return res, nil
}

// opToken is the operation in errors about the token of a call.
const opToken = "token request"

// errExpired is the error if the token of a call expires before it is sent.
var errExpired = errors.New("the token expired before it was sent")

// authorize puts the authorization of the call on out, which is a copy of req.
func (t *Transport) authorize(out, req *http.Request, x *Exchange) error {
	switch x.Call.Kind {
	case Bearer, DPoP:
		source, token := t.Sources[x.Call.Group], x.token
		if (token.Thumbprint() != "") != (x.Call.Kind == DPoP) {
			return &tokenauth.Error{Op: "sending the call", Cause: tokenauth.CauseConfiguration, Err: fmt.Errorf("the token for '%s' is not one for a call of kind %s", x.Call.Group, x.Call.Kind)}
		}
		if !token.SingleUse() && !token.Usable() {
			// It expired while the call was prepared.
			return &tokenauth.Error{Op: opToken, Cause: tokenauth.CauseTimeout, Err: errExpired}
		}
		x.secrets.addToken(token.Secret())
		var err error
		if x.secrets.proof, err = source.Authorize(out, token, x.nonce); err != nil {
			return err
		}
	case Pass:
		if authorization := req.Header["Authorization"]; len(authorization) > 0 {
			out.Header["Authorization"] = authorization
		}
	case None:
	}
	return nil
}

// setBody gives the body of the call to out, which is a copy of req. For an empty body,
// out has none, so that net/http sends a length of 0, or no length if the method needs
// none.
func (t *Transport) setBody(out, req *http.Request, x *Exchange) {
	switch {
	case x.rest != nil:
		x.stream = &streamedBody{Reader: x.rest, body: req.Body}
		out.Body = x.stream
		// If the server wants a nonce, it can say so before it gets the body.
		if x.expecting = x.Call.Kind == DPoP && !x.unexpected; x.expecting {
			out.Header["Expect"] = []string{"100-continue"}
		}
	case !x.empty():
		out.Body, out.ContentLength = x.held.reader(), x.held.length
	case t.Origin.Scheme == "http" && !t.Traits.Cleartext && !x.Call.safe() && retry.RetriesOverHTTP1(out):
		// net/http would retry this call by itself. Over TLS, gotConn prevents that;
		// here, a body that cannot be read again does.
		out.Body = emptyBody{}
	default:
		out.Body, out.ContentLength = nil, 0
	}
}

// sendError returns the error of a call for an error of Base, and notes in d whether the
// server may have seen the call.
func (t *Transport) sendError(req *http.Request, x *Exchange, err error) error {
	if x.stream != nil && x.stream.failure() != nil {
		return bodyError(req, x.stream.failure())
	}
	if timeout, ok := errors.AsType[*TimeoutError](err); ok && timeout.Phase == PhaseConnect {
		x.sent = false
	} else {
		// If part of the body was read, the rest would look like the whole body.
		begun := x.stream != nil && x.stream.state.Load() == touched
		x.sent = begun || (!isUnprocessed(err) && !t.notSent(err))
	}
	return err
}

// notSent reports whether err proves that nothing was sent.
func (t *Transport) notSent(err error) bool {
	if t.NotSent != nil {
		return t.NotSent(err)
	}
	opErr, ok := errors.AsType[*net.OpError](err)
	return ok && opErr.Op == "dial"
}
