package caddyesign

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// unprocessedRetryAfter is how long a caller is told to wait before it retries a call
// that the API's host did not process, although the gateway sent it several times.
const unprocessedRetryAfter = time.Second

// gatewayError is an error of the gateway, not of BankID. Its text may be shown to the
// caller, so it contains nothing of a provider's response.
type gatewayError struct {
	status     int
	kind       string // the proxy error type
	message    string
	retryAfter time.Time // zero if it is not known
	noToken    bool      // whether an access token is missing
}

// Error implements error.
func (e *gatewayError) Error() string { return e.message }

// asGatewayError translates an error of package tokenauth. It returns nil for any other
// error, since Caddy interprets those by their own types.
func asGatewayError(err error) *gatewayError {
	if callErr, ok := errors.AsType[*gateway.CallError](err); ok {
		e := &gatewayError{status: callErr.Status, kind: clientErrorType(callErr.Status), message: callErr.Reason}
		if callErr.Status >= http.StatusInternalServerError {
			e.kind = proxyConfiguration
		}
		return e
	}
	if _, ok := errors.AsType[*gateway.UnprocessedError](err); ok {
		return &gatewayError{
			status: http.StatusServiceUnavailable, kind: destinationUnavailable,
			message:    "the API's host did not process the call, which can be retried",
			retryAfter: time.Now().Add(unprocessedRetryAfter),
		}
	}
	if errors.Is(err, gateway.ErrSwitched) || errors.Is(err, gateway.ErrStatus) {
		return &gatewayError{status: http.StatusBadGateway, kind: protocolError, message: "the API's host " + strings.TrimPrefix(err.Error(), "the server ")}
	}
	tokenErr, ok := errors.AsType[*tokenauth.Error](err)
	if !ok {
		return nil
	}
	if keyErr, ok := errors.AsType[*tokenauth.KeyError](err); ok {
		return keyFailure(keyErr)
	}
	e := &gatewayError{noToken: true}
	switch tokenErr.Cause {
	case tokenauth.CauseTimeout:
		e.status, e.kind = http.StatusGatewayTimeout, connectionTimeout
		e.message = "no access token: BankID OIDC did not respond in time"
	case tokenauth.CauseUnavailable:
		e.status, e.kind = http.StatusServiceUnavailable, destinationUnavailable
		e.message = "no access token: BankID OIDC is not available"
	case tokenauth.CauseRefused:
		e.status, e.kind = http.StatusBadGateway, proxyConfiguration
		e.message = "no access token: BankID OIDC refused the gateway's client"
	case tokenauth.CauseConfiguration:
		e.status, e.kind = http.StatusBadGateway, proxyConfiguration
		e.message = "no access token: the gateway's client is not usable as it is configured; see the gateway's log"
	default:
		e.status, e.kind = http.StatusBadGateway, proxyInternal
		e.message = "no access token: the response of BankID OIDC is not usable"
	}
	if tokenErr.Code != "" && tokenErr.Code != "other" {
		e.message += " (" + tokenErr.Code + ")"
	}
	if e.status == http.StatusServiceUnavailable || e.status == http.StatusGatewayTimeout {
		e.retryAfter = tokenErr.RetryAt
	}
	return e
}

// keyFailure translates the error of a key that has not signed. The text does not show the
// device; what holds the key logs why it fails.
func keyFailure(err *tokenauth.KeyError) *gatewayError {
	e := &gatewayError{
		status: http.StatusBadGateway, kind: proxyInternal, noToken: true,
		message: "the key of the gateway's client does not sign; see the gateway's log",
	}
	if err.Timeout() {
		e.status, e.kind = http.StatusGatewayTimeout, connectionTimeout
		e.message = "the key of the gateway's client has not signed in time"
	}
	return e
}

// waitError translates the error from waiting for a token.
func waitError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return caddyhttp.Error(statusClientClosedRequest, errors.New("the caller left while waiting for an access token"))
	case errors.Is(err, context.DeadlineExceeded):
		return handlerError(&gatewayError{
			status: http.StatusGatewayTimeout, kind: connectionTimeout,
			message: "no access token: BankID OIDC did not respond before the deadline of the call",
		})
	}
	return handlerError(asGatewayError(err))
}

// handlerError makes an error that Caddy's error routes understand. It does not say in
// detail why there is no token; the log of the app does.
func handlerError(e *gatewayError) caddyhttp.HandlerError {
	return caddyhttp.Error(e.status, e)
}

// finish prepares the response to r for err, which has ended it. It adds Proxy-Status and
// Retry-After to header, and sets the placeholder. name is that of the gateway in
// Proxy-Status. finish returns the proxy error type, and err with the right status: Caddy
// does not treat a connection that cannot be made in time as a timeout.
func finish(header http.Header, r *http.Request, name string, err error) (kind string, finished error) {
	kind = setErrorHeader(header, name, err)
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok && (kind == connectionTimeout || kind == dnsTimeout) {
		handlerErr.StatusCode = http.StatusGatewayTimeout
		err = handlerErr
	}
	setErrorPlaceholder(r, kind)
	return kind, err
}

// setErrorPlaceholder tells error routes and the access log the kind of the error.
func setErrorPlaceholder(r *http.Request, kind string) {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok && kind != "" {
		repl.Set("http.bankid_esign.error", kind)
	}
}

// retryAfter formats the time at for Retry-After: as seconds from now, rounded up,
// since an earlier retry would fail.
func retryAfter(at time.Time) string {
	seconds := math.Ceil(max(time.Until(at).Seconds(), 1))
	return strconv.FormatFloat(seconds, 'f', 0, 64)
}

// setErrorHeader adds Proxy-Status and Retry-After for err to header. They tell an
// integrator that the error is not BankID's (RFC 9209). It returns the proxy error
// type. If Caddy has set Proxy-Status already, it leaves that unchanged.
func setErrorHeader(header http.Header, name string, err error) string {
	f := failureOf(err)
	if e, ok := errors.AsType[*gatewayError](err); ok {
		f = failure{kind: e.kind, details: e.message}
		if !e.retryAfter.IsZero() {
			header.Set("Retry-After", retryAfter(e.retryAfter))
		}
	}
	if f.kind == "" || header.Get("Proxy-Status") != "" {
		return f.kind
	}
	item := httpsfv.NewItem(httpsfv.Token(name))
	item.Params.Add("error", httpsfv.Token(f.kind))
	if f.params != nil {
		for _, name := range f.params.Names() {
			value, _ := f.params.Get(name)
			item.Params.Add(name, value)
		}
	}
	if f.details != "" {
		item.Params.Add("details", f.details)
	}
	value, err := httpsfv.Marshal(httpsfv.List{item})
	if err != nil {
		// The name is not a token, or the text is not ASCII. A string is always valid.
		item.Value, item.Params = name, httpsfv.NewParams()
		item.Params.Add("error", httpsfv.Token(f.kind))
		if value, err = httpsfv.Marshal(httpsfv.List{item}); err != nil {
			return f.kind
		}
	}
	header.Set("Proxy-Status", value)
	return f.kind
}

// errorStatus returns the status of the response for err.
func errorStatus(err error) int {
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		return handlerErr.StatusCode
	}
	return http.StatusInternalServerError
}
