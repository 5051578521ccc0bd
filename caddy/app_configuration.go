package caddyesign

import (
	"bytes"
	"reflect"

	"github.com/caddyserver/caddy/v2"
)

// configuration returns the configuration that ctx belongs to, or nil if it cannot be
// found. The caller must not change it. Caddy does not give it to its modules, so it is
// read from a private field of ctx.
func configuration(ctx caddy.Context) *caddy.Config {
	field := reflect.ValueOf(ctx).FieldByName("cfg")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*caddy.Config]() {
		return nil
	}
	return (*caddy.Config)(field.UnsafePointer())
}

// readsProxy reports whether the HTTP app that cfg configures may read placeholders of
// Caddy's reverse proxy. It reports true if the app's configuration is not known, or has the
// handler templates, whose files may read placeholders.
func readsProxy(cfg *caddy.Config) bool {
	if cfg == nil || cfg.AppsRaw["http"] == nil {
		return true
	}
	app := cfg.AppsRaw["http"]
	return bytes.Contains(app, []byte("http.reverse_proxy.")) || bytes.Contains(app, []byte(`"templates"`))
}

// tellsCallersApart reports whether something that cfg configures may tell callers apart:
// an authentication handler, of whatever kind, or client certificates. It reports true if
// the configuration is not known.
func tellsCallersApart(cfg *caddy.Config) bool {
	if cfg == nil || cfg.AppsRaw["http"] == nil {
		return true
	}
	app := cfg.AppsRaw["http"]
	for _, word := range []string{`"authentication"`, `"client_authentication"`, `"` + userID + `"`, `"forward_auth"`} {
		if bytes.Contains(app, []byte(word)) {
			return true
		}
	}
	return false
}
