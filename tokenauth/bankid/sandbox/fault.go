package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Effect is what a [Fault] does. The values are those of "effect" in JSON.
type Effect string

// Effects on requests. A request meets all faults that are for it, in the order
// in which they were injected: the first is the outermost.
const (
	// Delay waits for Fault.Delay before the request is carried out.
	Delay Effect = "delay"

	// Status responds with Fault.Status: with an error body in the form that is
	// documented for the endpoint if there is a Fault.Code, and without body
	// otherwise.
	Status Effect = "status"

	// Hang never responds. It ends when the client leaves.
	Hang Effect = "hang"

	// Reset resets the connection, or with HTTP/2 the stream.
	Reset Effect = "reset"

	// BrokenJSON carries the request out and responds with the first half of the
	// body, which is well-formed HTTP, but no JSON.
	BrokenJSON Effect = "broken_json"

	// DemandNonce refuses DPoP proofs without the sandbox's nonce with the error
	// use_dpop_nonce (RFC 9449, sections 8 and 9), at the token endpoint and at
	// B2B. The nonce to use is in the DPoP-Nonce header of each response. It
	// changes every 30 s, and at once when the fault is injected again.
	DemandNonce Effect = "demand_nonce"
)

// Effects on the sandbox, at once.
const (
	// RevokeTokens makes the access tokens invalid that Fault.ClientID, or
	// everyone, got so far. A gateway.Transport whose token is refused gets
	// another one, unless the refusal is a 403 and the token younger than 5 seconds,
	// or it got one for that reason less than 30 seconds ago: then the refusal
	// reaches its caller.
	RevokeTokens Effect = "revoke_tokens"

	// MoveClock moves the sandbox's clock by Fault.Offset away from the right
	// time: the Date header, the times in tokens, timestamps, certificates and what tells
	// about these, the expiry of tokens and of CSC's codes, and the windows for assertions
	// and proofs.
	MoveClock Effect = "move_clock"

	// RotateKey gives access tokens a new signing key, which the JWKS shows. The
	// three keys before it still verify, unless Fault.DisableOld.
	RotateKey Effect = "rotate_key"
)

// A Fault is something that goes wrong on demand. In JSON durations are written
// as "1.5s" or "-2m".
type Fault struct {
	// Effect is what happens. Required.
	Effect Effect `json:"effect"`

	// ClientID, Method and Path restrict an effect on requests to those of a
	// client, a method, a path as it is escaped on the wire, without query. Default:
	// any. The client of an API call is the one that got the token. The sandbox's
	// own paths, below /sandbox/, have no faults.
	ClientID string `json:"client_id,omitempty"`
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"`

	// Count is how many requests meet the fault until it is over. Default: all,
	// until the faults are cleared.
	Count int `json:"count,omitempty"`

	// Late says that Delay, Status, Hang and Reset come after the request was
	// carried out: what it did stays done, and only the response is late or lost.
	Late bool `json:"late,omitempty"`

	// Delay is for the effect of the same name.
	Delay time.Duration `json:"delay,omitempty"`

	// Status is for the effect of the same name, from 400 to 599. Code is an
	// error code for the body. RetryAfter is for the header of that name, in
	// whole seconds. Default: neither.
	Status     int           `json:"status,omitempty"`
	Code       string        `json:"code,omitempty"`
	RetryAfter time.Duration `json:"retry_after,omitempty"`

	// Offset is for MoveClock. Zero puts the clock right.
	Offset time.Duration `json:"offset,omitempty"`

	// DisableOld is for RotateKey: the keys before vanish from the JWKS, and
	// tokens that they signed are invalid.
	DisableOld bool `json:"disable_old,omitempty"`
}

// check tells what is wrong with a fault in itself. Errors name fields as they
// are in JSON.
func (f Fault) check() error {
	onRequests := []Effect{Delay, Status, Hang, Reset, BrokenJSON, DemandNonce}
	onSandbox := []Effect{RevokeTokens, MoveClock, RotateKey}
	if known := slices.Concat(onRequests, onSandbox); !slices.Contains(known, f.Effect) {
		return fmt.Errorf("effect %q is unknown: it must be one of %v", abridged(string(f.Effect)), known)
	}
	for _, field := range []struct {
		name  string
		given bool
		of    []Effect
	}{
		{"client_id", f.ClientID != "", append([]Effect{RevokeTokens}, onRequests...)},
		{"method", f.Method != "", onRequests},
		{"path", f.Path != "", onRequests},
		{"count", f.Count != 0, onRequests},
		{"late", f.Late, []Effect{Delay, Status, Hang, Reset}},
		{"delay", f.Delay != 0, []Effect{Delay}},
		{"status", f.Status != 0, []Effect{Status}},
		{"code", f.Code != "", []Effect{Status}},
		{"retry_after", f.RetryAfter != 0, []Effect{Status}},
		{"offset", f.Offset != 0, []Effect{MoveClock}},
		{"disable_old", f.DisableOld, []Effect{RotateKey}},
	} {
		if field.given && !slices.Contains(field.of, f.Effect) {
			return fmt.Errorf("%s is not for effect %q", field.name, f.Effect)
		}
	}
	switch {
	case strings.Contains(f.Path, "?"):
		return errors.New("path has a query: write it without query, and the fault meets every one")
	case f.Count < 0:
		return errors.New("count is negative")
	case f.Effect == Delay && f.Delay <= 0:
		return errors.New("delay is missing or negative")
	case f.Effect == Status && (f.Status < 400 || f.Status > 599):
		return errors.New("status is not from 400 to 599")
	case f.RetryAfter < 0 || f.RetryAfter%time.Second != 0:
		return errors.New("retry_after is not a number of whole seconds")
	case len(f.Code) > 100 || strings.ContainsFunc(f.Code, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }):
		return errors.New("code has more than 100 characters, or one that no error code may have")
	}
	return nil
}
