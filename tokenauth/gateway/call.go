package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// A Kind is the authorization that a call carries.
type Kind string

// The kinds of authorization.
const (
	Bearer Kind = "bearer" // "Authorization: Bearer" with the source's token (RFC 6750)
	DPoP   Kind = "dpop"   // "Authorization: DPoP" and a proof (RFC 9449)
	Pass   Kind = "pass"   // the caller's own bearer token, untouched
	None   Kind = "none"   // no Authorization
)

// needsToken reports whether a call of the kind carries a source's token.
func (k Kind) needsToken() bool { return k == Bearer || k == DPoP }

// A Retry is the retry class of a call: it says when the call may be sent again.
type Retry string

// The retry classes.
const (
	// Safe: sending the call again changes nothing.
	Safe Retry = "safe"
	// Rejected: the call may be sent again only if its credential was refused, because
	// then the call itself was not carried out.
	Rejected Retry = "rejected"
	// Never: the call is sent once.
	Never Retry = "never"
)

// A Call is one row of a Table.
type Call struct {
	// Method is the request method, case-sensitive (RFC 9110 section 9.1).
	Method string

	// Path is the path as escaped on the wire. It is compared byte for byte.
	Path string

	// Group is the name of the source whose token the call carries. For BankID eSign it
	// is the API.
	Group string

	// Kind is the authorization that the call carries.
	Kind Kind

	// Retry says when the call may be sent again. Default: Never.
	Retry Retry

	// Download says that the response is the only copy of its content, since the call
	// destroys the original. A Transport ends such a call with its context, like any
	// other call. A caller that must not lose the response makes the call with
	// context.WithoutCancel, and with a time limit of its own.
	Download bool

	// Rejects reports whether a response refuses the credential of the call.
	// If it reads from the body, it must restore it. Default: status 401.
	Rejects func(*http.Response) bool

	// Source is where the row is documented. This package does not use it.
	Source string
}

// retryable reports whether there is any case in which the call may be sent again.
func (c *Call) retryable() bool { return c.Retry == Safe || c.Retry == Rejected }

// safe reports whether the very same request may be sent twice. A request with a DPoP
// proof may not: each request needs its own proof.
func (c *Call) safe() bool { return c.Retry == Safe && c.Kind != DPoP }

// rejected reports whether res refuses the credential of the call.
func (c *Call) rejected(res *http.Response) bool {
	if !c.Kind.needsToken() {
		return false
	}
	if c.Rejects != nil {
		return c.Rejects(res)
	}
	return res.StatusCode == http.StatusUnauthorized
}

// Validate returns an error that says what is wrong with the call, or nil.
func (c *Call) Validate() error {
	if c.Method == "" || strings.ToUpper(c.Method) != c.Method || strings.ContainsAny(c.Method, " \t/") {
		return fmt.Errorf("method '%s' is not an upper-case HTTP method", c.Method)
	}
	if c.Method == http.MethodConnect || c.Method == http.MethodTrace {
		return fmt.Errorf("method %s cannot be proxied", c.Method)
	}
	u, err := url.ParseRequestURI(c.Path)
	if err != nil || !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, "?#{}*") || u.EscapedPath() != c.Path {
		return fmt.Errorf("path '%s' is not an absolute path as sent on the wire, without query, placeholder or wildcard", c.Path)
	}
	for segment := range strings.SplitSeq(u.Path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("path '%s' has an empty or dot segment", c.Path)
		}
	}
	switch c.Kind {
	case Bearer, DPoP:
	case Pass:
		if c.retryable() {
			return fmt.Errorf("a call of kind %s can only have the retry class %s: the caller's token may be single-use", Pass, Never)
		}
	case None:
		if c.Retry == Rejected {
			return fmt.Errorf("a call of kind %s carries no credential that could be %s", None, Rejected)
		}
	default:
		return fmt.Errorf("unknown kind '%s': must be %s, %s, %s or %s", c.Kind, Bearer, DPoP, Pass, None)
	}
	switch c.Retry {
	case Safe, Rejected, Never, "":
	default:
		return fmt.Errorf("unknown retry class '%s': must be %s, %s or %s", c.Retry, Safe, Rejected, Never)
	}
	return nil
}

// callKey identifies a call: the method, and the path as net/url has parsed it. These
// fields cost no work, and they differ for every two spellings of a path.
type callKey struct{ method, path, rawPath string }

// A Table lists the calls that may be made. It says, for a method and path, which
// authorization the call carries and whether it may be sent twice. A call that is not in
// the table must not be made. A Table does not change, and is safe for concurrent use.
type Table struct{ calls map[callKey]*Call }

// NewTable makes a table of calls. A later call replaces an earlier one with the same
// method and path. A call that is not valid is left out, so that it cannot be made: use
// Validate first for a call that is read from a configuration.
func NewTable(calls ...Call) *Table {
	t := &Table{calls: make(map[callKey]*Call, 2*len(calls))}
	for _, call := range calls {
		path, err := url.PathUnescape(call.Path)
		if err != nil || call.Validate() != nil {
			continue
		}
		// If the spelling is not the usual one of the path, net/url has it in RawPath.
		// If it is the usual one, RawPath may have it or may be empty.
		t.calls[callKey{call.Method, path, call.Path}] = &call
		if usual := (url.URL{Path: path}); usual.EscapedPath() == call.Path {
			t.calls[callKey{call.Method, path, ""}] = &call
		}
	}
	return t
}

// Lookup returns the call that r makes, or nil if it is not in the table. It compares
// the path as it is on the wire: another spelling is another path, since the server
// behind may or may not take it for the same. A nil Table has no calls.
func (t *Table) Lookup(r *http.Request) *Call {
	if t == nil || r.URL.Opaque != "" {
		return nil
	}
	return t.calls[callKey{r.Method, r.URL.Path, r.URL.RawPath}]
}
