package tokenauth

import (
	"net/http"
	"strings"
)

// A CallError says that a call must not be made.
type CallError struct {
	// Status is the HTTP status that fits.
	Status int

	// Reason is fit to be shown to the caller.
	Reason string
}

// Error implements error.
func (e *CallError) Error() string { return e.Reason }

// NoSuchCall is the reason of the CallError for a call that no table names.
const NoSuchCall = "no such call: the method and path are not in the call table"

// Reasons for which a call is not made.
var (
	errNoRow   = &CallError{http.StatusNotFound, NoSuchCall}
	errUpgrade = &CallError{http.StatusBadRequest, "protocol upgrades are not supported"}
	errEarly   = &CallError{http.StatusTooEarly, "this call is not accepted in TLS early data, which can be replayed"}
	errPass    = &CallError{http.StatusForbidden, "the Authorization of this call must be a single bearer token"}
	errBody    = &CallError{http.StatusBadRequest, "the request body could not be read to its end"}
	errLarge   = &CallError{http.StatusRequestEntityTooLarge, "the request body is larger than this server allows"}
	errAgain   = &CallError{http.StatusBadGateway, "the call has been sent before, and cannot be sent again"}
)

// Check reports why r must not make the call c, although a table names it. The
// error is a *CallError.
func (c *Call) Check(r *http.Request) error {
	if len(r.Header["Upgrade"]) > 0 {
		return errUpgrade
	}
	// RFC 8470 section 5.2. A server sees the early data itself, what is behind
	// a proxy a header field.
	early := len(r.Header["Early-Data"]) > 0 || (r.TLS != nil && !r.TLS.HandshakeComplete)
	if early && (c.Replay != Safe || r.Method != http.MethodGet) {
		return errEarly
	}
	if c.Kind == Pass && !passable(r.Header["Authorization"]) {
		return errPass
	}
	return nil
}

// passable reports whether authorization is none at all, or one bearer token.
func passable(authorization []string) bool {
	if len(authorization) == 0 {
		return true
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	return len(authorization) == 1 && strings.EqualFold(scheme, string(Bearer)) &&
		token != "" && !strings.ContainsAny(token, " ,\t")
}
