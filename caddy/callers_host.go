package caddyesign

import (
	"net/netip"
	"strconv"
	"strings"
)

// hostname returns the name or address in a Host field, and whether the field is well
// formed. It accepts an IPv6 address in brackets, a name, or an IPv4 address, each with
// an optional colon and port number. URIs allow more there (RFC 3986 section 3.2): user
// information, percent-encoding, an empty port. Programs disagree about the name in
// such a field, and no honest client sends one.
func hostname(host string) (name string, ok bool) {
	var rest string
	if address, found := strings.CutPrefix(host, "["); found {
		if name, rest, found = strings.Cut(address, "]"); !found {
			return "", false
		}
		addr, err := netip.ParseAddr(name)
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", false
		}
		name = addr.String()
	} else {
		end := strings.IndexFunc(host, func(c rune) bool { return !isNameByte(c) })
		if end < 0 {
			return host, host != ""
		}
		if name, rest = host[:end], host[end:]; name == "" {
			return "", false
		}
	}
	if rest == "" {
		return name, true
	}
	port, found := strings.CutPrefix(rest, ":")
	if !found {
		return "", false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", false
	}
	return name, true
}

// isNameByte reports whether c can be in a name or an IPv4 address.
func isNameByte(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
}
