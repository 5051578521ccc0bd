package caddyesign

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// hostForm matches the forms of a Host field: an IPv6 address in brackets, or else a
// name or an IPv4 address; and after a colon, the number of a port.
var hostForm = regexp.MustCompile(`^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]+))?$`)

// hostname returns the name or address in a Host field, and whether the field is well
// formed. URIs may have more there (RFC 3986 section 3.2): user information,
// percent-encoding, an empty port. Programs differ over what the name is then, and no
// client that means well sends it.
func hostname(host string) (name string, ok bool) {
	match := hostForm.FindStringSubmatch(host)
	if match == nil {
		return "", false
	}
	address, name, port := match[1], match[2], match[3]
	if address != "" {
		addr, err := netip.ParseAddr(address)
		if err != nil || !strings.Contains(address, ":") {
			return "", false
		}
		name = addr.String()
	}
	if port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", false
		}
	}
	return name, true
}
