package caddyesign

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the transport from Caddyfile tokens. Syntax:
//
//	transport bankid_esign {
//	    api           <api...>
//	    client        <name>
//	    scope         <scopes...>
//	    upstream      <url>
//	    call          <api> <method> <path> bearer|dpop|pass|none [safe|rejected|never]
//	    request_buffer <size>
//
//	    # any subdirective of the http transport, except those that could show
//	    # a token to others or change a body
//	    ...
//	}
//
// APIs are csc, signdoc, timestamp and b2b. The subdirective api is required, and must
// be the first.
func (t *Transport) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume transport name
	if d.NextArg() {
		// A leftover argument would make the http transport ignore its block.
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		segment := d.NewFromNextSegment()
		segment.Next()
		ours, err := t.unmarshalSubdirective(segment)
		if err != nil {
			return err
		}
		if !ours {
			if err := checkTransportSubdirective(segment); err != nil {
				return err
			}
			continue
		}
		if err := deleteSegment(d, segment); err != nil {
			return err
		}
	}
	// This comes before validate, which would report a field as missing if its
	// subdirective is only misspelt.
	d.Reset()
	if err := t.HTTPTransport.UnmarshalCaddyfile(d); err != nil {
		return unrecognizedBy(d, err, "api, client, scope, upstream, call, request_buffer, or one of the http transport")
	}
	d.Reset()
	d.Next() // errors about the whole block point to its first line
	return wrapErr(d, t.Access.validate())
}

// unmarshalSubdirective sets a field of the transport. It reports whether the
// subdirective is one of the transport's own.
func (t *Transport) unmarshalSubdirective(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "api":
		if t.APIs != nil {
			return true, d.Err("api already specified")
		}
		return true, t.unmarshalAPIs(d, d.RemainingArgs())
	case "upstream":
		if err := onceString(d, &t.Upstream); err != nil {
			return true, err
		}
		return true, wrapErr(d, checkUpstream(t.Upstream))
	}
	return t.Access.unmarshalSubdirective(d)
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Transport)(nil)
