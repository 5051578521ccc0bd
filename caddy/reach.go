package caddyesign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// handWritten is the number of routes of a list up to which it is looked through for
// a gateway that is never reached. That is done for each gateway, and so would take
// a time that grows with the square of theirs; longer lists are made by programs.
const handWritten = 1000

// checkReached reports an error if no call ever comes to the last module of the
// lineage, for a gateway before it that answers them all.
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
				// What a gateway is told to do with answers may go on.
				if !bytes.Contains(h.ProxyRaw, []byte(`"handle_response"`)) {
					return fmt.Errorf("a bankid_esign is never reached: the one before it, for %v, has no matcher and answers every call; give each a site of its own, or put one with a matcher first, such as 'bankid_esign /v0/b2b/* b2b'", h.APIs)
				}
			}
		}
	}
	return nil
}

// gatewaysBefore returns the gateways that every call to the route that is being
// set up has come to before; within says that one of its own handlers is being set
// up. That is the first route whose handlers are not there yet: of a server whose
// turn it is not, none before that has any.
func gatewaysBefore(routes caddyhttp.RouteList, within bool) (before []*Handler) {
	at := slices.IndexFunc(routes, func(r caddyhttp.Route) bool { return r.HandlersRaw != nil })
	for _, route := range routes[:max(at, 0)] {
		for _, handler := range route.Handlers {
			// Of a group, another route may have been taken.
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
	return append(before, own[:max(len(own)-1, 0)]...) // the last is before none
}
