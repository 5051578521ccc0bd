package tokenauth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
)

// send sends a call. It sends the call again while the server promises that it has not
// processed it, or, if the call is safe, while its connection or stream ends.
func (t *Transport) send(req *http.Request, call *Call, d *Delivery) (*http.Response, error) {
	for n := 0; ; n++ {
		res, err := t.sendOnce(req, call, d)
		if err == nil && res.StatusCode == http.StatusExpectationFailed && d.expecting && d.whole() {
			drain(res)
			d.unexpected = true
			res, err = t.sendOnce(req, call, d)
		}
		if n > 0 && errors.Is(err, errExpired) {
			err = new(UnprocessedError) // the expiry of the token is not why the call failed
		}
		if !helps(err, call.safe()) || n == maxUnprocessed || !d.whole() || !pause(req.Context(), n) {
			return res, err
		}
		t.repeating(call, RepeatUnprocessed)
	}
}

// sendOnce sends a copy of req, with a token if the call needs one.
func (t *Transport) sendOnce(req *http.Request, call *Call, d *Delivery) (*http.Response, error) {
	attempt, ctx := newAttempt(req.Context(), t.Traits, t.Limits, call.safe(), d.empty(), t.Origin.Scheme == "http")
	out := req.WithContext(ctx)
	out.Host = CanonicalHost(t.Origin)
	out.Header = t.leaving(req.Header)
	out.Trailer = nil // trailers are fields too, and none of them is on the list
	out.GetBody = nil
	if err := t.authorize(out, req, call, d); err != nil {
		attempt.end()
		return nil, err
	}
	t.setBody(out, req, call, d)
	attempt.secrets = d.secrets
	d.sent = true
	res, err := attempt.roundTrip(t.Base, out)
	if err != nil {
		return nil, t.sendError(req, d, err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close()
		return nil, ErrSwitched
	}
	if call.Kind == DPoP {
		d.nonce = nonceOf(res.Header)
	}
	// Code that handles the response must not see the token.
	res.Request = req
	return res, nil
}

// errExpired is the error if the token of a call expires before it is sent.
var errExpired = errors.New("the token expired before it was sent")

// authorize puts the authorization of the call on out, which is a copy of req.
func (t *Transport) authorize(out, req *http.Request, call *Call, d *Delivery) error {
	switch call.Kind {
	case Bearer, DPoP:
		token := d.token
		if (token.prover != nil) != (call.Kind == DPoP) {
			return &Error{Op: "sending the call", Cause: CauseConfiguration, Err: fmt.Errorf("the token for '%s' is not one for a call of kind %s", call.Group, call.Kind)}
		}
		if !token.once && !token.usable(readClocks()) {
			// It expired while the call was prepared.
			return &Error{Op: opToken, Cause: CauseTimeout, Err: errExpired}
		}
		out.Header["Authorization"] = []string{token.Authorization()}
		d.secrets.addToken(token.secret)
		if call.Kind == DPoP {
			proof, err := t.prove(out, call, d)
			if err != nil {
				return err
			}
			out.Header["Dpop"] = []string{proof}
			d.secrets.proof = NewSecret(proof)
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
func (t *Transport) setBody(out, req *http.Request, call *Call, d *Delivery) {
	switch {
	case d.rest != nil:
		d.stream = &streamedBody{Reader: d.rest, body: req.Body}
		out.Body = d.stream
		// If the server wants a nonce, it can say so before it gets the body.
		if d.expecting = call.Kind == DPoP && !d.unexpected; d.expecting {
			out.Header["Expect"] = []string{"100-continue"}
		}
	case !d.empty():
		out.Body, out.ContentLength = d.held.reader(), d.held.length
	case t.Origin.Scheme == "http" && !t.Traits.Cleartext && !call.safe() && repeatsOverHTTP1(out):
		// net/http would repeat this call by itself. Over TLS, gotConn prevents that;
		// here, a body that cannot be read again does.
		out.Body = emptyBody{}
	default:
		out.Body, out.ContentLength = nil, 0
	}
}

// sendError returns the error of a call for an error of Base, and notes in d whether the
// server may have seen the call.
func (t *Transport) sendError(req *http.Request, d *Delivery, err error) error {
	if d.stream != nil && d.stream.failure() != nil {
		return bodyError(req, d.stream.failure())
	}
	if timeout, ok := errors.AsType[*TimeoutError](err); ok && timeout.Phase == PhaseConnect {
		d.sent = false
	} else {
		// If part of the body was read, the rest would look like the whole body.
		begun := d.stream != nil && d.stream.state.Load() == touched
		d.sent = begun || (!isUnprocessed(err) && !t.notSent(err))
	}
	return err
}

// prove makes the proof for out, with the URL that the server sees. The nonce is that of
// the last response to this call, or else that of the last response to any call.
func (t *Transport) prove(out *http.Request, call *Call, d *Delivery) (string, error) {
	source := t.Sources[call.Group]
	nonce := d.nonce
	if nonce == "" {
		nonce = source.nonces.get(t.Origin)
	}
	proof, err := d.token.prover.proof(out.Method, out.URL, nonce, d.token, source.config.Provider.now())
	if err != nil {
		return "", &Error{Op: "making a DPoP proof", Cause: CauseConfiguration, Err: err}
	}
	return proof, nil
}

// notSent reports whether err proves that nothing was sent.
func (t *Transport) notSent(err error) bool {
	if t.NotSent != nil {
		return t.NotSent(err)
	}
	opErr, ok := errors.AsType[*net.OpError](err)
	return ok && opErr.Op == "dial"
}
