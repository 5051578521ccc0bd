package caddyesign

import (
	"net/netip"
	"strconv"
	"strings"
)

// hostname returns the name or address in a Host field, and whether the field is well
// formed: an IPv6 address in brackets, or else a name or an IPv4 address; and after a
// colon, the number of a port. URIs may have more there (RFC 3986 section 3.2): user
// information, percent-encoding, an empty port. Programs differ over what the name is
// then, and no client that means well sends it.
func hostname(host string) (name string, ok bool) {
	rest := ""
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

// isNameByte reports whether c may be in a name or an IPv4 address.
func isNameByte(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
}
