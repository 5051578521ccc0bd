package tokenauth

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

// A Replay says when a call may be sent a second time.
type Replay string

// The replay classes.
const (
	// Safe: sending the call again changes nothing.
	Safe Replay = "safe"
	// Rejected: once more, and only when its credential was refused, because
	// then the call itself was not carried out.
	Rejected Replay = "rejected"
	// Never: once.
	Never Replay = "never"
)

// A Call is one row of a Table.
type Call struct {
	// Method is the request method, case-sensitive (RFC 9110 section 9.1).
	Method string

	// Path is the path as escaped on the wire. It is compared byte for byte.
	Path string

	// Group names the source whose token the call carries; for BankID eSign it
	// is the API.
	Group string

	// Kind is the authorization the call carries.
	Kind Kind

	// Replay says when the call may be sent a second time. Default: Never.
	Replay Replay

	// OneShot says that the answer is the only copy of what it holds: the call
	// destroys the original. A Transport gives the call up with its context, as
	// any other. Who must not lose the answer makes the call with a context of
	// context.WithoutCancel, and a time limit of its own.
	OneShot bool

	// Rejects reports whether a response refuses the credential of the call.
	// It must restore the body if it reads from it. Default: status 401.
	Rejects func(*http.Response) bool

	// Source is where the row is documented. It is not used.
	Source string
}

// repeatable reports whether the call may be sent a second time for whatever
// reason: only if the row says so.
func (c *Call) repeatable() bool { return c.Replay == Safe || c.Replay == Rejected }

// safe reports whether the very same request may be sent twice: a proof is for one.
func (c *Call) safe() bool { return c.Replay == Safe && c.Kind != DPoP }

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

// Validate reports what is wrong with the call.
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
		if c.repeatable() {
			return fmt.Errorf("a call of kind %s can only have the replay class %s: the caller's token may be single-use", Pass, Never)
		}
	case None:
		if c.Replay == Rejected {
			return fmt.Errorf("a call of kind %s carries no credential that could be %s", None, Rejected)
		}
	default:
		return fmt.Errorf("unknown kind '%s': must be %s, %s, %s or %s", c.Kind, Bearer, DPoP, Pass, None)
	}
	switch c.Replay {
	case Safe, Rejected, Never, "":
	default:
		return fmt.Errorf("unknown replay class '%s': must be %s, %s or %s", c.Replay, Safe, Rejected, Never)
	}
	return nil
}

// callKey is what a request is found by: its method, and its path as net/url
// has parsed it, which takes no work and tells every spelling from every other.
type callKey struct{ method, path, rawPath string }

// A Table decides, per method and path, which authorization a call carries and
// whether it may be sent twice. What it does not name must not be called. It is
// not modified once requests are looked up in it.
type Table struct{ calls map[callKey]*Call }

// NewTable makes a table of calls. A later call with the method and path of an
// earlier one takes its place. A call that Validate finds something wrong with is
// left out, so that nobody can make it; of a row that is read from somewhere, ask
// Validate first.
func NewTable(calls ...Call) *Table {
	t := &Table{calls: make(map[callKey]*Call, 2*len(calls))}
	for _, call := range calls {
		path, err := url.PathUnescape(call.Path)
		if err != nil || call.Validate() != nil {
			continue
		}
		// A spelling is in RawPath if it is not the usual one of the path, and
		// may be there if it is.
		t.calls[callKey{call.Method, path, call.Path}] = &call
		if usual := (url.URL{Path: path}); usual.EscapedPath() == call.Path {
			t.calls[callKey{call.Method, path, ""}] = &call
		}
	}
	return t
}

// Lookup finds the call that r makes, nil if the table does not name it. The
// path is compared as it stands on the wire: another spelling of it is another
// path, since the server behind may read it as the same one or not. A nil Table
// names none.
func (t *Table) Lookup(r *http.Request) *Call {
	if t == nil || r.URL.Opaque != "" {
		return nil
	}
	return t.calls[callKey{r.Method, r.URL.Path, r.URL.RawPath}]
}
