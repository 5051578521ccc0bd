package tokenauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/internal/retry"
)

// maxRetries is how often a call is retried because its connection ended.
const maxRetries = 3

// A Transport is an http.RoundTripper that makes calls to one origin with the tokens of a
// Source. It puts the token on a copy of the request, and makes a proof for every attempt if
// the token is bound to a key (DPoP, RFC 9449).
//
// It retries a call in these cases, if the call has no body or has GetBody:
//
//   - The response is 401 (RFC 9110 section 15.5.2), and the Source has another token. There
//     is one such retry.
//   - The server wants its nonce in the proof.
//   - The connection of a call with a proof ended, and Base wanted to retry with the same
//     proof. The retry has a new proof.
//
// Otherwise the caller gets the response. Package gateway has a Transport that makes only
// the calls of a table, which says for each of them when it may be retried.
type Transport struct {
	// Source has the tokens. Required.
	Source *Source

	// Origin is where the calls go: a scheme, host and port. It must be https, or http
	// on a loopback address. A request to anywhere else is an error. Required.
	Origin *url.URL

	// Base sends the requests. Default: http.DefaultTransport.
	Base http.RoundTripper
}

// Client returns an HTTP client that makes calls to origin with the tokens of s, by a
// Transport. origin is a scheme, host and port, such as "https://api.example". A call to
// anywhere else is an error, and is not sent. The client does not follow redirects: it
// returns them as responses. It has no time limit: a call ends with its context. The error
// says what is wrong with origin.
func (s *Source) Client(origin string) (*http.Client, error) {
	u, err := ParseOrigin(origin)
	if err != nil {
		return nil, fmt.Errorf("origin %q %w", origin, err)
	}
	return &http.Client{Transport: &Transport{Source: s, Origin: u}, CheckRedirect: noRedirect}, nil
}

// noRedirect is a function for http.Client.CheckRedirect. The client returns a redirect as
// the response, and sends nothing to where it leads.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// ParseOrigin parses an origin: the scheme, host and port of an API, without a path. It must
// be https, or http on a loopback address. The error says what is wrong, as in "must not
// have a path".
func ParseOrigin(origin string) (*url.URL, error) {
	u, err := parseIssuer(origin)
	switch {
	case err != nil:
		return nil, err
	case u.Path != "":
		return nil, errors.New("must not have a path")
	}
	return u, CheckSecure(u)
}

// RoundTrip implements http.RoundTripper. An error is an *Error, the error of the request's
// context, or an error of Base. It shows no token. If the call is directed to another origin,
// the error is an *Error with CauseConfiguration.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := &call{Transport: t, req: req}
	res, err := c.make()
	if !c.begun && req.Body != nil {
		_ = req.Body.Close() // a RoundTripper closes it in every case
	}
	if err != nil {
		return nil, err
	}
	res.Request = req // code that handles the response must not see the token
	return res, nil
}

// check returns the reason why req must not be sent, or nil.
func (t *Transport) check(req *http.Request) error {
	if t.Source == nil || t.Origin == nil {
		return errors.New("the transport has no source or no origin")
	}
	if err := CheckSecure(t.Origin); err != nil {
		return fmt.Errorf("the origin %s %w", origin(t.Origin), err)
	}
	// The Host field too decides which server gets the call.
	target := &url.URL{Scheme: req.URL.Scheme, Host: cmp.Or(req.Host, req.URL.Host)}
	if own := origin(t.Origin); req.URL.Opaque != "" || origin(req.URL) != own || origin(target) != own {
		return fmt.Errorf("the call is directed to %.200q, and may go to %s only", origin(target), own)
	}
	return nil
}

// call is one call that a Transport makes.
type call struct {
	*Transport
	req   *http.Request
	begun bool // Base has the body
}

// make makes the call, and retries it once if the token is refused.
func (c *call) make() (*http.Response, error) {
	if err := c.check(c.req); err != nil {
		return nil, &Error{Op: "sending the call", Cause: CauseConfiguration, Err: err}
	}
	life := time.Duration(0)
	if !c.retryable() {
		life = retry.TokenLife
	}
	token, err := c.Source.TokenFor(c.req.Context(), life)
	if err != nil {
		return nil, err
	}
	res, err := c.sendWithNonce(token)
	if err != nil || !refuses(res, token) {
		return res, err
	}
	if !c.retryable() {
		c.Source.Reject(token, res.StatusCode) // so that later calls get another token
		return res, nil
	}
	another, _ := c.Source.Renew(c.req.Context(), token, res.StatusCode)
	if another == nil {
		return res, nil
	}
	retry.Drain(res)
	if res, err = c.sendWithNonce(another); err == nil && refuses(res, another) {
		c.Source.Reject(another, res.StatusCode)
	}
	return res, err
}

// refuses reports whether res refuses token. A request for a nonce does not. If res accepts
// token, the token remembers that.
func refuses(res *http.Response, token *Token) bool {
	if res.StatusCode < http.StatusBadRequest {
		token.MarkAccepted()
	}
	return res.StatusCode == http.StatusUnauthorized && (token.prover == nil || !WantsNonce(res))
}

// sendWithNonce sends the call, and retries it once if the server wants a nonce in the proof.
func (c *call) sendWithNonce(token *Token) (*http.Response, error) {
	res, err := c.send(token, "")
	if err != nil || token.prover == nil {
		return res, err
	}
	nonce := NextNonce(res.Header)
	if WantsNonce(res) && c.retryable() {
		// The nonce may be good for one call only, so no other call may learn it before
		// this one has used it.
		retry.Drain(res)
		if res, err = c.send(token, nonce); err != nil {
			return nil, err
		}
		// If the server gives no other nonce, it still accepts this one.
		nonce = cmp.Or(NextNonce(res.Header), nonce)
	}
	c.Source.KeepNonce(c.Origin, nonce)
	return res, nil
}

// send sends the call, and retries it with another proof if Base wanted to retry it.
func (c *call) send(token *Token, nonce string) (*http.Response, error) {
	for n := 0; ; n++ {
		res, err := c.sendOnce(token, nonce)
		if !errors.Is(err, errEnded) || n == maxRetries || !c.retryable() || c.req.Context().Err() != nil {
			return res, err
		}
	}
}

// sendOnce sends a copy of the request with token.
func (c *call) sendOnce(token *Token, nonce string) (*http.Response, error) {
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	out := c.req.WithContext(c.req.Context())
	out.Host = CanonicalHost(c.Origin)
	out.Body = body
	if out.Header = c.req.Header.Clone(); out.Header == nil {
		out.Header = make(http.Header)
	}
	proof, err := c.Source.Authorize(out, token, nonce)
	if err != nil {
		if body != nil {
			_ = body.Close()
		}
		return nil, err
	}
	base := c.Base
	if base == nil {
		base = http.DefaultTransport
	}
	var res *http.Response
	if proof.Empty() {
		res, err = base.RoundTrip(out)
	} else {
		res, err = roundTripOnce(base, out)
	}
	if err != nil && (shows(err, token.secret) || shows(err, proof)) {
		err = errEchoed
	}
	return res, err
}

// retryable reports whether the body, if any, can be sent in a retry.
func (c *call) retryable() bool {
	return c.req.Body == nil || c.req.Body == http.NoBody || c.req.GetBody != nil
}

// body returns the body for the next attempt.
func (c *call) body() (io.ReadCloser, error) {
	if !c.begun || c.req.GetBody == nil {
		c.begun = true
		return c.req.Body, nil
	}
	return c.req.GetBody()
}

// errEchoed stands for an error that shows a token or a proof: net/http quotes what it
// cannot read of a response.
var errEchoed = errors.New("the response cannot be read, and repeats the authorization of the call")

// shows reports whether the text of err has secret in it.
func shows(err error, secret Secret) bool {
	return !secret.Empty() && strings.Contains(err.Error(), secret.Reveal())
}

// errEnded is the error for a call that Base wanted to retry with the same proof.
var errEnded = fmt.Errorf("the connection ended before a response came, and the call may have been carried out: %w", io.EOF)

// roundTripOnce is base.RoundTrip, but base does not retry req by itself.
func roundTripOnce(base http.RoundTripper, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	guard := &retry.Guard{Cancel: cancel}
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: guard.GotConn}))
	if req.Body == http.NoBody {
		req.Body = nil
	}
	guard.Watch(req)
	res, err := base.RoundTrip(req)
	if err != nil {
		cancel()
		if stopped, _ := guard.Stopped(); stopped {
			return nil, errEnded
		}
		return nil, err
	}
	res.Body = &cancellingBody{res.Body, cancel}
	return res, nil
}

// A cancellingBody is the body of a response. Close ends the context of the request.
type cancellingBody struct {
	io.ReadCloser
	cancel func()
}

// Close implements io.Closer.
func (b *cancellingBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
