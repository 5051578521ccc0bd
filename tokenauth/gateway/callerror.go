package gateway

import (
	"errors"
	"net/http"
	"strings"
)

// A CallError says that a call must not be made.
type CallError struct {
	// Status is the HTTP status for the caller.
	Status int

	// Reason says why, and can be shown to the caller.
	Reason string
}

// Error implements error.
func (e *CallError) Error() string { return e.Reason }

// TooLarge is the Reason of the CallError for a body that is longer than its
// http.MaxBytesReader allows.
const TooLarge = "the request body is larger than this server allows"

// Reasons for which a call is not made.
var (
	errNoRow   = &CallError{http.StatusNotFound, "no such call: the method and path are not in the call table"}
	errConnect = &CallError{http.StatusBadRequest, "method CONNECT makes a tunnel, and this server makes calls only"}
	errEarly   = &CallError{http.StatusTooEarly, "this call is not accepted in TLS early data, which can be replayed"}
	errPass    = &CallError{http.StatusForbidden, "the Authorization of this call must be a single bearer token"}
	errBody    = &CallError{http.StatusBadRequest, "the request body could not be read to its end"}
	errLarge   = &CallError{http.StatusRequestEntityTooLarge, TooLarge}
	errAgain   = &CallError{http.StatusBadGateway, "the call has been sent before, and cannot be sent again"}
)

// ErrSwitched is the error for a call that the server responded to with 101 (Switching
// Protocols). No call asks for that (RFC 9110 section 7.8).
var ErrSwitched = errors.New("the server switched to another protocol, which the call did not ask for")

// ErrStatus is the error for a call that the server responded to with a status below 100
// (RFC 9110 section 15).
var ErrStatus = errors.New("the server responded with a status below 100, which is invalid")

// NoCall returns the error for a request that is not in the table: status 400 for the
// method CONNECT, which can never be a call, and else 404.
func NoCall(r *http.Request) *CallError {
	if r.Method == http.MethodConnect {
		return errConnect
	}
	return errNoRow
}

// Check returns an error if r must not make the call c, although the call is in the
// table. The error is a *CallError: 425 for TLS early data, unless c is a GET of class
// Safe; 403 if c is of kind Pass and the Authorization of r is not one bearer token.
func (c *Call) Check(r *http.Request) error {
	// RFC 8470 section 5.2. The server that ends TLS sees early data by itself. A
	// server behind a proxy sees a header field.
	early := len(r.Header["Early-Data"]) > 0 || (r.TLS != nil && !r.TLS.HandshakeComplete)
	if early && (c.Retry != Safe || r.Method != http.MethodGet) {
		return errEarly
	}
	if c.Kind == Pass && !passable(r.Header["Authorization"]) {
		return errPass
	}
	return nil
}

// passable reports whether authorization is empty, or is one bearer token.
func passable(authorization []string) bool {
	if len(authorization) == 0 {
		return true
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	return len(authorization) == 1 && strings.EqualFold(scheme, string(Bearer)) &&
		token != "" && !strings.ContainsAny(token, " ,\t")
}
