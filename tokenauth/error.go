package tokenauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"time"
)

// A Cause says why there is no token, and so where an operator should look.
type Cause int

// The causes of an Error.
const (
	// CauseUnavailable: the provider cannot be reached, or its response says that it cannot
	// serve the request now (429, 5xx).
	CauseUnavailable Cause = iota
	// CauseTimeout: the provider did not respond in time.
	CauseTimeout
	// CauseRefused: the provider responded, and refused this client or its
	// request (RFC 6749 section 5.2).
	CauseRefused
	// CauseUnusable: the provider responded with something that is not a token
	// or not a provider configuration.
	CauseUnusable
	// CauseConfiguration: the request could not be made, for example because a
	// credential cannot be read.
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

// An Error says why there is no token. From a response, it has only the status and a
// registered error code, and never the body: some authorization servers repeat the
// request that they refuse.
type Error struct {
	// Op is the operation that failed, such as "discovery" or "token request".
	Op string

	// Cause classifies the failure.
	Cause Cause

	// Status is the HTTP status of the response, 0 if there was none.
	Status int

	// Code is the error code of the response (RFC 6749 section 5.2). It is "other" if
	// the code is not registered, and empty if there was none.
	Code string

	// RetryAt is the earliest time of the next attempt. It is zero if the Source does
	// not hold back.
	RetryAt time.Time

	// Err is the cause in detail. May be nil.
	Err error

	// retryAt is RetryAt on both clocks.
	retryAt instant

	// retryAfter is what the provider asked for by Retry-After.
	retryAfter time.Duration

	// fault is why there was no response, as far as it is known.
	fault fault

	// topics are the topics of the response's error_description.
	topics topics

	// tokenType is the type of a token that has another type than was asked for; else
	// nil.
	tokenType *string

	// request has facts about the token request. It is nil if there was no response.
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

// MarshalJSON implements json.Marshaler. The members are the cause as a word; the status and
// the code, left out if there is none; and the text of Error.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Cause  string `json:"cause"`
		Status int    `json:"status,omitempty"`
		Code   string `json:"code,omitempty"`
		Text   string `json:"text"`
	}{e.Cause.String(), e.Status, e.Code, e.Error()})
}

// Unwrap returns the detailed cause.
func (e *Error) Unwrap() error { return e.Err }

// transportError makes an Error from the error of an HTTP round trip to the provider.
func transportError(op string, err error) *Error {
	// The URL is known, so the message does not repeat it.
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err
	}
	cause := CauseUnavailable
	if netErr, ok := errors.AsType[net.Error](err); (ok && netErr.Timeout()) || errors.Is(err, context.DeadlineExceeded) {
		cause = CauseTimeout
	}
	// The error is not wrapped: the context of the fetch is not the context of a caller
	// that waits for it, so its end must not look like the caller's.
	return &Error{Op: op, Cause: cause, fault: faultOf(err), Err: errors.New(printable(quoted.ReplaceAllString(err.Error(), `"…"`)))}
}

// quoted matches text of a response that net/http quotes in an error because it cannot
// read it, such as a Location that is not a URL.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// errorCodes are the codes that an Error repeats: the codes registered for the token
// endpoint (RFC 6749 section 5.2, RFC 8707, RFC 9449), and Keycloak's.
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

// otherCode stands for a code that is not among errorCodes.
const otherCode = "other"

// knownCode returns code if it is empty or among errorCodes, else otherCode.
func knownCode(code string) string {
	if code == "" || errorCodes[code] {
		return code
	}
	return otherCode
}
