package tokenauth

import (
	"net/http"
	"slices"
	"strings"
)

// leaving returns those fields of header that may leave, as they may.
func (t *Transport) leaving(header http.Header) http.Header {
	out := make(http.Header, 8)
	for name, values := range header {
		if Leaves(name) || slices.Contains(t.Headers, name) {
			out[name] = values
		}
	}
	if fields, ok := out["Accept-Encoding"]; ok {
		out["Accept-Encoding"] = acceptEncoding(fields)
	}
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = []string{""} // or net/http sends one of its own
	}
	return out
}

// Leaves reports whether the request header field name, in canonical form, is
// one that every call may carry. All others are the caller's, or the proxy's,
// and nothing to the server: cookies, forwarding fields, credentials. Of
// Accept-Encoding, only those codings leave that PlainBody reads.
func Leaves(name string) bool {
	switch name {
	case "Early-Data": // must be passed on (RFC 8470 section 5.2)
		return true
	case "Content-Type", "Content-Length", "Content-Encoding", "User-Agent":
		return true
	}
	return strings.HasPrefix(name, "Accept")
}
