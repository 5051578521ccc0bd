package caddyesign

import (
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// unmarshalAPIs reads the names of APIs.
func (a *Access) unmarshalAPIs(d *caddyfile.Dispenser, names []string) error {
	if len(names) == 0 {
		return d.Errf("no API is given: name one or more of %v", bankid.APIs())
	}
	for _, name := range names {
		if _, err := parseAPI(name); err != nil {
			return d.WrapErr(err)
		}
		if slices.Contains(a.APIs, name) {
			return d.Errf("API '%s' already specified", name)
		}
		a.APIs = append(a.APIs, name)
	}
	return nil
}

// unmarshalSubdirective sets a field of the access from the next subdirective in d. It
// reports whether the subdirective is a subdirective of an access.
func (a *Access) unmarshalSubdirective(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "client":
		if err := onceString(d, &a.Client); err != nil {
			return true, err
		}
		if len(placeholders(a.Client)) > 0 {
			return true, d.Errf("client '%s' must be a plain word: a request must not choose it", a.Client)
		}

	case "scope":
		if a.Scopes != nil {
			return true, d.Err("scope already specified: write all scopes in one line")
		}
		a.Scopes = d.RemainingArgs()
		if len(a.Scopes) == 0 {
			return true, d.ArgErr()
		}
		for i, scope := range a.Scopes {
			if err := a.validateScope(scope); err != nil {
				return true, d.WrapErr(err)
			}
			if slices.Contains(a.Scopes[:i], scope) {
				return true, d.Errf("scope '%s' already specified", scope)
			}
		}

	case "call":
		return true, a.unmarshalCall(d)

	case "request_buffer":
		var size string
		if a.RequestBuffer != 0 {
			return true, d.Err("request_buffer already specified")
		}
		if !d.AllArgs(&size) {
			return true, d.ArgErr()
		}
		bytes, err := humanize.ParseBytes(size)
		if err != nil || bytes == 0 || bytes > requestBudget {
			return true, d.Errf("bad request_buffer value '%s': must be a size such as 1MiB, at most %s", size, humanize.IBytes(requestBudget))
		}
		a.RequestBuffer = int64(bytes) //nolint:gosec // bounded above

	default:
		return false, nil
	}
	return true, nil
}

// unmarshalCall adds a row to the call table.
func (a *Access) unmarshalCall(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 4 || len(args) > 5 {
		return d.Errf("wrong argument count after 'call': write 'call <api> <METHOD> <path> bearer|dpop|pass|none [safe|rejected|never]'")
	}
	c := Call{API: args[0], Method: args[1], Path: args[2], Kind: args[3]}
	if len(args) == 5 {
		c.Retry = args[4]
	}
	if !slices.Contains(a.APIs, c.API) {
		return d.Errf("API '%s' is not among those of this directive: %s", c.API, strings.Join(a.APIs, ", "))
	}
	if _, err := c.call(); err != nil {
		return d.WrapErr(err)
	}
	if slices.ContainsFunc(a.Calls, func(other Call) bool { return other.Method == c.Method && other.Path == c.Path }) {
		return d.Errf("call %s %s already specified", c.Method, c.Path)
	}
	a.Calls = append(a.Calls, c)
	return nil
}

// deleteSegment deletes from d the subdirective that d has just read. segment is a copy
// of that subdirective, and has been parsed to its end.
func deleteSegment(d, segment *caddyfile.Dispenser) error {
	if segment.Next() {
		return segment.Errf("unexpected token '%s'", segment.Val())
	}
	segment.Reset()
	count := 0
	for segment.Next() {
		count++
	}
	d.DeleteN(count)
	return nil
}

// checkUpstream checks an upstream. Placeholders are not resolved; their names are
// checked.
func checkUpstream(upstream string) error {
	if len(placeholders(upstream)) > 0 {
		return checkPlaceholders(upstream)
	}
	_, err := resolveUpstream(upstream)
	return err
}

// checkTransportSubdirective returns an error if a subdirective of the http transport
// cannot be used. d has just read its name.
func checkTransportSubdirective(d *caddyfile.Dispenser) error {
	name := d.Val()
	if reason, ok := refusedSubdirectives[name]; ok {
		return d.WrapErr(refused(name, reason))
	}
	args := d.RemainingArgs()
	switch {
	case name == "versions" && slices.Contains(args, "3"):
		return d.WrapErr(refused("versions 3", refuseHTTP3))
	case name == "tls_server_name" && len(args) > 0:
		return wrapErr(d, checkPlaceholders(args[0]))
	}
	return nil
}
