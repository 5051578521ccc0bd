package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"time"
)

// A Cause says whose doing it is that there is no token, and so what an
// operator should look at.
type Cause int

// The causes of an Error.
const (
	// CauseUnavailable: the provider cannot be reached, or says that it cannot
	// answer now (429, 5xx).
	CauseUnavailable Cause = iota
	// CauseTimeout: the provider did not answer in time.
	CauseTimeout
	// CauseRefused: the provider answered, and refused this client or its
	// request (RFC 6749 section 5.2).
	CauseRefused
	// CauseUnusable: the provider answered with something that is not a token
	// or not a provider configuration.
	CauseUnusable
	// CauseConfiguration: the request could not be made, such as for a
	// credential that cannot be read.
	CauseConfiguration
)

// String returns the cause as a word for logs and metrics.
func (c Cause) String() string {
	switch c {
	case CauseUnavailable:
		return "unavailable"
	case CauseTimeout:
		return "timeout"
	case CauseRefused:
		return "refused"
	case CauseUnusable:
		return "unusable"
	case CauseConfiguration:
		return "configuration"
	}
	return "unknown"
}

// An Error says why a token could not be had. It never carries a response
// body, and of what the provider answered only the status and a known error
// code: authorization servers are known to echo the request they refuse.
type Error struct {
	// Op is what was being done, such as "discovery" or "token request".
	Op string

	// Cause classifies the failure.
	Cause Cause

	// Status is the HTTP status of the answer, 0 if there was none.
	Status int

	// Code is the error code of the answer (RFC 6749 section 5.2), "other" if
	// it is not a registered one, empty if there was none.
	Code string

	// RetryAt is when the next attempt will be made at the earliest. Zero if
	// the Source does not hold back.
	RetryAt time.Time

	// Err is the cause in detail. May be nil.
	Err error

	// retryAt is RetryAt by both clocks.
	retryAt instant

	// retryAfter is what the provider asked for by Retry-After.
	retryAfter time.Duration

	// fault is why there was no answer, as far as it can be told.
	fault fault

	// topics are what the words of the answer are about.
	topics topics

	// tokenType is that of a token which is not of the type asked for, else nil.
	tokenType *string

	// request is what is known of the token request that was answered. Nil if there
	// was no answer.
	request *requestFacts
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Op + " failed"
	if e.Status != 0 {
		s += fmt.Sprintf(": HTTP status %d", e.Status)
	}
	if e.Code != "" {
		s += ": " + e.Code
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the detailed cause.
func (e *Error) Unwrap() error { return e.Err }

// transportError classifies the error of an HTTP round trip to the provider.
func transportError(op string, err error) *Error {
	// The URL is known; repeating it in every message would only be noise.
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err
	}
	cause := CauseUnavailable
	if netErr, ok := errors.AsType[net.Error](err); (ok && netErr.Timeout()) || errors.Is(err, context.DeadlineExceeded) {
		cause = CauseTimeout
	}
	// Not wrapped: a cancelled or expired context of the fetch is not that of
	// whoever waits for it, and must not look like it.
	return &Error{Op: op, Cause: cause, fault: faultOf(err), Err: errors.New(printable(quoted.ReplaceAllString(err.Error(), `"…"`)))}
}

// quoted matches what package net/http quotes of an answer that it can make no
// sense of, such as a Location that is not a URL.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// errorCodes are the codes that an Error repeats: those registered for the
// token endpoint (RFC 6749 section 5.2, RFC 8707, RFC 9449), and Keycloak's.
var errorCodes = map[string]bool{
	"invalid_request":         true,
	"invalid_client":          true,
	"invalid_grant":           true,
	"unauthorized_client":     true,
	"unsupported_grant_type":  true,
	"invalid_scope":           true,
	"invalid_target":          true,
	"invalid_dpop_proof":      true,
	"use_dpop_nonce":          true,
	"access_denied":           true,
	"server_error":            true,
	"temporarily_unavailable": true,
	"slow_down":               true,
	"not_allowed":             true,
}

// otherCode stands for a code that is not registered.
const otherCode = "other"

// knownCode returns code if it is a registered one, else otherCode.
func knownCode(code string) string {
	if code == "" || errorCodes[code] {
		return code
	}
	return otherCode
}
