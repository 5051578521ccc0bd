package caddyesign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// handWritten is the largest number of routes in a list that is searched for a gateway
// that is never reached. The search is done for each gateway, so its time grows with
// the square of their number. Longer lists are written by programs.
const handWritten = 1000

// checkReached returns an error if no call ever reaches the last module of the lineage,
// because a gateway before it answers them all.
func checkReached(lineage []caddy.Module) error {
	for i, mod := range lineage {
		var lists []caddyhttp.RouteList
		switch mod := mod.(type) {
		case *caddyhttp.App:
			for _, server := range mod.Servers {
				lists = append(lists, behindSite(server.Routes))
			}
		case *caddyhttp.Subroute:
			lists = append(lists, behindSite(mod.Routes))
		}
		for _, routes := range lists {
			if len(routes) > handWritten {
				continue
			}
			_, within := lineage[i+1].(*Handler)
			for _, h := range gatewaysBefore(routes, within) {
				// A handle_response of that gateway may pass calls on.
				if !bytes.Contains(h.ProxyRaw, []byte(`"handle_response"`)) {
					return fmt.Errorf("a bankid_esign is never reached: the one before it, for %v, has no matcher and answers every call; give each a site of its own, or put one with a matcher first, such as 'bankid_esign /v0/b2b/* b2b'", h.APIs)
				}
			}
		}
	}
	return nil
}

// gatewaysBefore returns the gateways that every call has passed before it comes to the
// route that is being set up. within says that one of the route's own handlers is being
// set up. That route is the first one whose handlers are not loaded yet. In a server
// that is not being set up, no route before that one has handlers.
func gatewaysBefore(routes caddyhttp.RouteList, within bool) (before []*Handler) {
	at := slices.IndexFunc(routes, func(r caddyhttp.Route) bool { return r.HandlersRaw != nil })
	for _, route := range routes[:max(at, 0)] {
		for _, handler := range route.Handlers {
			// In a group, another route may be taken instead.
			if h, ok := handler.(*Handler); ok && len(route.MatcherSets) == 0 && route.Group == "" {
				before = append(before, h)
			}
		}
	}
	if at < 0 || !within {
		return before
	}
	var own []*Handler
	for _, raw := range routes[at].HandlersRaw {
		h, module := new(Handler), struct{ Handler string }{}
		if json.Unmarshal(raw, &module) == nil && module.Handler == "bankid_esign" && json.Unmarshal(raw, h) == nil {
			own = append(own, h)
		}
	}
	return append(before, own[:max(len(own)-1, 0)]...) // the last one is being set up
}
