package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// leaving returns the fields of header that may leave, in the form in which they leave.
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
		out["User-Agent"] = []string{""} // or net/http sends its own
	}
	return out
}

// Leaves reports whether every call may carry the request header field name, which is in
// canonical form: Accept and fields whose name begins with it, Content-Type,
// Content-Length, Content-Encoding, User-Agent and Early-Data. Other fields are between
// the caller and the proxy, such as cookies, forwarding fields and credentials.
// Accept-Encoding leaves with the codings that tokenauth.ParseErrorBody reads, and no others.
func Leaves(name string) bool {
	switch name {
	case "Early-Data": // must be passed on (RFC 8470 section 5.2)
		return true
	case "Content-Type", "Content-Length", "Content-Encoding", "User-Agent":
		return true
	}
	return strings.HasPrefix(name, "Accept")
}
